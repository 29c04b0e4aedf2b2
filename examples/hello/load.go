package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tally counts the answers of a request loop.
type tally struct {
	mu       sync.Mutex
	answers  map[string]int // by first line
	failures map[string]int // by what went wrong
}

// load asks for a page until SIGTERM or an interrupt and then says what was answered. Every second request opens a connection of its own; the
// others keep theirs. It fails if a request failed.
func load(url string, clients int) error {
	if url == "" || clients < 1 {
		return errors.New("load needs -url and at least one client")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	began := time.Now()
	t := &tally{answers: map[string]int{}, failures: map[string]int{}}
	keep := &http.Transport{MaxIdleConnsPerHost: clients}
	fresh := &http.Transport{DisableKeepAlives: true}
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				transport := keep
				if n%2 == 1 {
					transport = fresh
				}
				t.ask(&http.Client{Transport: transport, Timeout: 10 * time.Second}, url)
			}
		})
	}
	work.Wait()
	return t.report(time.Since(began))
}

func (t *tally) ask(client *http.Client, url string) {
	answer, err := func() (string, error) {
		resp, err := client.Get(url)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		first, _, _ := strings.Cut(string(body), "!")
		return first, err
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failures[err.Error()]++
		return
	}
	t.answers[answer]++
}

func (t *tally) report(took time.Duration) error {
	total, failed := 0, 0
	for _, n := range t.answers {
		total += n
	}
	for _, n := range t.failures {
		failed += n
	}
	fmt.Printf("%d requests in %.0f s (%.0f a second), %d failed\n", total+failed, took.Seconds(), float64(total+failed)/took.Seconds(), failed)
	for _, list := range []map[string]int{t.answers, t.failures} {
		var lines []string
		for what, n := range list {
			lines = append(lines, fmt.Sprintf("  %7d  %s", n, what))
		}
		slices.Sort(lines)
		for _, l := range lines {
			fmt.Println(l)
		}
	}
	if failed > 0 {
		return errors.New("requests failed")
	}
	return nil
}
