package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit codes of every command.
const (
	ExitOK       = 0
	ExitFailed   = 1
	ExitUsage    = 2
	ExitTimedOut = 3
	ExitDenied   = 5
	ExitNotFound = 6
)

// Failure is an error for a person: what went wrong, why with numbers, a command that fixes it, and the AWS
// error code where there is one.
type Failure struct {
	What, Cause, Fix, Code string
	Exit                   int // 0 means ExitFailed
}

func (f *Failure) Error() string {
	if f.Cause == "" {
		return f.What
	}
	return f.What + ": " + f.Cause
}

// ExitCode is the code of an error that names none itself.
func ExitCode(err error) int {
	if errors.Is(err, context.DeadlineExceeded) {
		return ExitTimedOut
	}
	return ExitFailed
}

// Report writes err in Berth's form to w and returns the exit code.
func Report(w io.Writer, err error) int {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		fmt.Fprintf(w, "error: %v\n", err)
		return ExitCode(err)
	}
	for _, part := range []struct{ name, text string }{
		{"error", f.What}, {"cause", f.Cause}, {"fix", f.Fix}, {"code", f.Code},
	} {
		if part.text != "" {
			fmt.Fprintf(w, "%-6s %s\n", part.name+":", strings.ReplaceAll(part.text, "\n", "\n       "))
		}
	}
	if f.Exit == 0 {
		return ExitFailed
	}
	return f.Exit
}
