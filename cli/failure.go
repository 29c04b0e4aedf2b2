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

// codeOf is AWS's name for what an exit code means, for failures that no service answered with.
func codeOf(exit int) string {
	switch exit {
	case ExitUsage:
		return "InvalidParameterException"
	case ExitTimedOut:
		return "RequestTimeout"
	case ExitDenied:
		return "AccessDeniedException"
	case ExitNotFound:
		return "ResourceNotFoundException"
	}
	return ""
}

// Report writes err in Berth's form to w and returns the exit code.
func Report(w io.Writer, err error) int {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		fmt.Fprintf(w, "error: %v\n", err)
		return ExitCode(err)
	}
	code := f.Code
	if code == "" {
		code = codeOf(f.Exit)
	}
	for _, part := range []struct{ name, text string }{
		{"error", f.What}, {"cause", f.Cause}, {"fix", f.Fix}, {"code", code},
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
