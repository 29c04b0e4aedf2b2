// Command hello is Berth's sample: a page with a visitor counter, in two parts that run as two containers of one
// task. "hello store" counts visits in a file; "hello web" shows the page and asks the store. "hello greet" is a page for
// replicas behind a load balancer, "hello load" asks a page again and again and counts what fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: hello store|web|check|greet|load [flags]")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	listen := flags.String("listen", ":8080", "address to listen on")
	file := flags.String("file", "/data/visits", "where the store keeps its count")
	store := flags.String("store", "http://store:7000", "where the web part finds the store")
	target := flags.String("url", "", "what load asks for")
	clients := flags.Int("clients", 8, "how many ask at the same time")
	_ = flags.Parse(os.Args[2:])

	var err error
	switch os.Args[1] {
	case "store":
		err = serve(*listen, &counter{file: *file})
	case "web":
		err = serve(*listen, page(*store))
	case "greet":
		err = serve(*listen, http.HandlerFunc(greet))
	case "load":
		err = load(*target, *clients)
	case "check":
		_, err = get(*store + "/health")
	default:
		err = fmt.Errorf("no part named %s", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// serve answers until SIGTERM and then lets open requests end.
func serve(listen string, handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	server := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.Printf("listening on %s", listen)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	log.Print("asked to stop")
	drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(drain)
}

// counter counts visits in a file, so that they outlive the container.
type counter struct {
	file string
	mu   sync.Mutex
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		fmt.Fprintln(w, "ok")
		return
	}
	n, err := c.add()
	if err != nil {
		log.Printf("count a visit: %v", err)
		http.Error(w, "the count cannot be kept", http.StatusInternalServerError)
		return
	}
	log.Printf("visit %d", n)
	fmt.Fprintln(w, n)
}

func (c *counter) add() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	data, err := os.ReadFile(c.file)
	switch {
	case err == nil:
		if n, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
			return 0, fmt.Errorf("read %s: %w", c.file, err)
		}
	case !errors.Is(err, os.ErrNotExist):
		return 0, err
	}
	n++
	next := c.file + ".new"
	if err := os.WriteFile(next, []byte(strconv.Itoa(n)+"\n"), 0o644); err != nil {
		return 0, err
	}
	return n, os.Rename(next, c.file)
}

func page(store string) http.Handler {
	host, _ := os.Hostname()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			fmt.Fprintln(w, "ok")
			return
		}
		visits, err := get(store + "/visit")
		if err != nil {
			log.Printf("ask the store: %v", err)
			http.Error(w, "the store does not answer", http.StatusBadGateway)
			return
		}
		log.Printf("%s %s: visitor %s", r.Method, r.URL.Path, visits)
		fmt.Fprintf(w, "Hello from Berth! You are visitor %s. (%s, %s)\n", visits, os.Getenv("GREETING"), host)
	})
}

// greet says which release and which replica answers.
func greet(w http.ResponseWriter, r *http.Request) {
	host, _ := os.Hostname()
	fmt.Fprintf(w, "Hello from release %s! (%s)\n", os.Getenv("RELEASE"), host)
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return strings.TrimSpace(string(body)), nil
}
