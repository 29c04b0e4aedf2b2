package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// Choice is what becomes of a deployment that is no longer watched.
type Choice int

// Choices of AskDetached.
const (
	Detach Choice = iota
	RollBack
	KeepWaiting
)

// AskDetached asks whoever interrupted a command what to do now. Elsewhere than at a terminal, at the end of the input or of ctx (a
// second interrupt) the answer is Detach.
func AskDetached(ctx context.Context, in *os.File, out io.Writer, service string) Choice {
	if !IsTerminal(in) || !IsTerminal(out) {
		return Detach
	}
	answers := make(chan Choice, 1)
	// A read of a terminal cannot be interrupted; the process ends soon after a second interrupt, and the read with it.
	go func() { answers <- readChoice(in, out, service) }()
	select {
	case c := <-answers:
		return c
	case <-ctx.Done():
		fmt.Fprintln(out)
		return Detach
	}
}

// readChoice asks until it understands the answer.
func readChoice(in io.Reader, out io.Writer, service string) Choice {
	lines := bufio.NewScanner(in)
	for {
		fmt.Fprintf(out, "\n%s: [r]oll back, [d]etach and let it go on, or [k]eep waiting? ", service)
		if !lines.Scan() {
			return Detach
		}
		switch answer := strings.ToLower(strings.TrimSpace(lines.Text())); {
		case answer == "":
		case strings.HasPrefix("rollback", answer), strings.HasPrefix("roll back", answer):
			return RollBack
		case strings.HasPrefix("detach", answer):
			return Detach
		case strings.HasPrefix("keep waiting", answer):
			return KeepWaiting
		}
	}
}
