package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"berth/agent"
)

const (
	nameCannotPull   = "CannotPullContainerError"
	nameCannotCreate = "CannotCreateContainerError"
	nameCannotStart  = "CannotStartContainerError"
	nameCannotRemove = "CannotRemoveContainerError"
	nameNoContainer  = "NoSuchContainerError"
)

// resolveError words a failure to find the image, after tries attempts.
// Source: the texts that ECS shows, specification 8.4.
func resolveError(ref string, tries int, err error) error {
	detail := err.Error()
	var te *transport.Error
	switch {
	case errors.As(err, &te):
		detail = ref + ": " + registryAnswer(ref, te)
	case errors.Is(err, context.DeadlineExceeded):
		detail = "timed out: " + err.Error()
	}
	return pullError(fmt.Sprintf("pull image manifest has been retried %d time(s): failed to resolve ref %s: %s", tries, ref, detail), err)
}

// registryAnswer words what the registry said.
func registryAnswer(ref string, te *transport.Error) string {
	switch te.StatusCode {
	case http.StatusNotFound:
		return "not found"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "pull access denied, repository does not exist or may require authorization: " + firstDiagnostic(te)
	case http.StatusTooManyRequests:
		return "toomanyrequests: " + firstDiagnostic(te)
	}
	return fmt.Sprintf("unexpected status %d: %s", te.StatusCode, firstDiagnostic(te))
}

func firstDiagnostic(te *transport.Error) string {
	if len(te.Errors) > 0 {
		d := te.Errors[0]
		s := strings.ToLower(string(d.Code))
		if d.Message != "" {
			s += ": " + d.Message
		}
		return clip(s, 300)
	}
	return http.StatusText(te.StatusCode)
}

// copyError words a failure while the image was fetched or unpacked.
func copyError(ref string, tries int, err error) error {
	var platform errPlatform
	switch {
	case errors.As(err, &platform):
		return pullError(platform.Error(), err)
	case noSpace(err):
		return pullError("failed to register layer: no space left on device", err)
	case errors.Is(err, context.Canceled):
		return pullError("context canceled", err)
	}
	return pullError(fmt.Sprintf("image pull has been attempted %d time(s): failed to copy %s: %s", tries, ref, err), err)
}

func pullError(detail string, err error) error {
	return &agent.Error{Name: nameCannotPull, Detail: clip(detail, 1000), Err: err}
}

// permanent says whether trying again is of no use.
func permanent(err error) bool {
	var te *transport.Error
	if errors.As(err, &te) {
		return te.StatusCode >= 400 && te.StatusCode < 500 && te.StatusCode != http.StatusTooManyRequests && te.StatusCode != http.StatusRequestTimeout
	}
	return errors.As(err, new(errPlatform)) || errors.Is(err, errPlainHTTP) || errors.Is(err, errTooLarge) ||
		errors.Is(err, context.Canceled) || noSpace(err)
}

// noSpace says whether the disk was full. The layer is unpacked by a child process, from which only text comes back.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

// clip shortens s to n bytes; the texts of registries and runtimes are input.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
