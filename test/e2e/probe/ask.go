package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"time"
)

// ask posts to a URL without end, with four clients of which half keep their connections, and answers at listen how that went: how many
// requests, how many that failed, and the last failure.
func ask(listen, url string) {
	var mu sync.Mutex // guards what follows
	total, failed, last := 0, 0, ""
	for i := range 4 {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		go func() {
			for range time.Tick(25 * time.Millisecond) {
				err := post(client, url)
				mu.Lock()
				if total++; err != nil {
					failed++
					last = err.Error()
				}
				mu.Unlock()
			}
		}()
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%d %d %s\n", total, failed, last)
	})
	log.Fatal(http.ListenAndServe(listen, nil))
}

func post(client *http.Client, url string) error {
	resp, err := client.Post(url, "text/plain", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
