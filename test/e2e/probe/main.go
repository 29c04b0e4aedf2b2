// Command probe is what the end-to-end tests run in containers: one static program that serves, ends, eats memory,
// forks or floods, as its first argument says.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	args := append(slices.Clone(os.Args[1:]), "", "", "")
	switch args[0] {
	case "serve":
		serve(os.Args[2:]...)
	case "tell":
		tell(args[1], args[2])
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		announce(args[1])
		for {
			time.Sleep(time.Hour)
		}
	case "udp":
		echo(args[1])
	case "sleep":
		wait(args[1])
	case "exit":
		announce(args[3])
		exit(args[1], args[2])
	case "oom":
		eat()
	case "fork":
		fork(args[1])
	case "flood":
		flood()
	case "lines":
		lines(args[1])
	case "get":
		get(args[1])
	case "ask":
		ask(args[1], args[2])
	case "write":
		if err := os.WriteFile(args[1], []byte(args[2]), 0o644); err != nil {
			log.Fatal(err)
		}
	case "file":
		if _, err := os.Stat(args[1]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatalf("no part named %q", args[0])
	}
}

// serve answers HTTP with what the container looks like from inside.
func serve(addresses ...string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, strings.Join(os.Environ(), "\n")) })
	mux.HandleFunc("/protection", protection)
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, r.URL.Query().Get("name")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintf(w, "pid %d uid %d host %s\n", os.Getpid(), os.Getuid(), host)
	})
	for _, listen := range addresses {
		if !strings.Contains(listen, ":") {
			break // the rest only marks the process
		}
		server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		log.Printf("listening on %s", listen)
		go func() { log.Fatal(server.ListenAndServe()) }()
	}
	<-ctx.Done()
	log.Print("asked to stop")
}

// echo sends every datagram back.
func echo(listen string) {
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			log.Fatal(err)
		}
		_, _ = conn.WriteTo(buf[:n], from)
	}
}

// announce makes a file that says that signals are treated as they should be from now on.
func announce(file string) {
	if file == "" {
		return
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		log.Fatal(err)
	}
}

// wait does nothing until SIGTERM, and then ends with 0. A file says that it is ready for that.
func wait(ready string) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	announce(ready)
	log.Print("waiting")
	<-term
	log.Print("asked to stop")
}

// exit ends with a code: after a duration, or, when the second argument is a path, once that file exists.
func exit(code, when string) {
	n, _ := strconv.Atoi(code)
	if delay, err := time.ParseDuration(when); err == nil {
		time.Sleep(delay)
	}
	if strings.HasPrefix(when, "/") {
		for {
			if _, err := os.Stat(when); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	log.Printf("ending with %d", n)
	os.Exit(n)
}

// eat takes memory until the kernel objects.
func eat() {
	log.Print("eating")
	var kept [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		kept = append(kept, b)
		_ = kept
	}
}

// fork starts itself for ever, each child doing the same.
func fork(mark string) {
	log.Print("forking")
	for {
		if err := exec.Command("/bin/probe", "fork", mark).Start(); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// flood writes as fast as it can.
func flood() {
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for {
		if _, err := os.Stdout.Write(line); err != nil {
			return
		}
	}
}

// lines writes numbered lines, and waits.
func lines(count string) {
	n, _ := strconv.Atoi(count)
	for i := range n {
		fmt.Printf("line %d\n", i)
	}
	wait("")
}

func get(url string) {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(os.Stdout, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		log.Fatal(resp.Status)
	}
}
