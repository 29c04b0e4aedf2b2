package cli

import (
	"context"
	"fmt"
	"io"
	"time"
)

// quiet is how long something may take before it deserves a line.
const quiet = time.Second

// Progress runs work and, when it takes longer than a second, says what is being done on w: one live line on a
// terminal, a line every 15 seconds in a pipe.
func Progress(ctx context.Context, w io.Writer, what string, work func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	began := time.Now()
	live, every := IsTerminal(w), 15*time.Second
	if live {
		every = 200 * time.Millisecond
	}
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	said := false
	for {
		select {
		case err := <-done:
			if said && live {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return err
		case <-timer.C:
			said = true
			took := time.Since(began).Round(time.Second)
			if live {
				fmt.Fprintf(w, "\r\x1b[K%s ... %s", what, took)
			} else {
				fmt.Fprintf(w, "%s ... %s\n", what, took)
			}
			timer.Reset(every)
		}
	}
}
