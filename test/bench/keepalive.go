package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// address is something that answers HTTP, and the request for it.
type address struct {
	host    string // and port
	request []byte
}

// newAddress takes http://HOST[:PORT]/PATH.
func newAddress(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return address{}, err
	}
	host := u.Host
	if u.Port() == "" {
		host += ":80"
	}
	path := u.RequestURI()
	// The header of curl: a request of a few lines, as clients send them.
	return address{host, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", path, u.Host)}, nil
}

// drive keeps so many connections open and sends on each a request as soon as the last one is answered. It does less than net/http, so that the
// machine's time goes to what is measured. An answer other than 200 with a Content-Length, or a connection that ends, is an error.
func (a address) drive(ctx context.Context, connections int, d time.Duration) (runs, error) {
	open := make([]net.Conn, connections)
	for i := range open {
		c, err := net.Dial("tcp", a.host)
		if err != nil {
			return runs{}, err
		}
		defer c.Close()
		open[i] = c
	}
	var (
		wg   sync.WaitGroup
		took = make([][]time.Duration, connections)
		errs = make([]error, connections)
	)
	began := time.Now()
	for i, c := range open {
		took[i] = make([]time.Duration, 0, 1<<14)
		wg.Go(func() {
			r := bufio.NewReaderSize(c, 4096)
			for at := began; ctx.Err() == nil && at.Sub(began) < d; {
				if errs[i] = a.once(c, r); errs[i] != nil {
					return
				}
				now := time.Now()
				took[i] = append(took[i], now.Sub(at))
				at = now
			}
		})
	}
	wg.Wait()
	all := runs{wall: time.Since(began)}
	for i := range open {
		if errs[i] != nil {
			return all, fmt.Errorf("%s, connection %d: %w", a.host, i, errs[i])
		}
		all.took = append(all.took, took[i]...)
	}
	return all, ctx.Err()
}

var lengthHeader = []byte("content-length:")

// once sends the request and reads the answer.
func (a address) once(c net.Conn, r *bufio.Reader) error {
	if _, err := c.Write(a.request); err != nil {
		return err
	}
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answer %s", line)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > len(lengthHeader) && bytes.EqualFold(line[:len(lengthHeader)], lengthHeader) {
			if length, err = strconv.Atoi(strings.TrimSpace(string(line[len(lengthHeader):]))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer of unknown length from %s", a.host)
	}
	_, err = r.Discard(length)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
