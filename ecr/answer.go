package ecr

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"syscall"

	"berth/aws"
)

// pass lets distribution answer. What it could not do is logged, and told without its details. The bytes of an upload
// that failed are removed at once: on a full disk they would be in the way of the next attempt.
func (s *Service) pass(w http.ResponseWriter, r *http.Request) {
	watched := &failureWriter{ResponseWriter: w}
	s.files.http().ServeHTTP(watched, r)
	if watched.status == 0 {
		return
	}
	if t, ok := parseTarget(r.URL.Path); ok && t.kind == "uploads" && t.ref != "" {
		if err := s.files.cancel(context.WithoutCancel(r.Context()), t.key(), t.ref); err != nil {
			s.Log.Warn("failed upload was not removed", "err", err)
		}
	}
	s.refuseFailure(w, r, watched.status, watched.body)
}

func (s *Service) refuseFailure(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	s.Log.Error("registry request failed", "op", r.Method+" "+r.URL.Path, "request", aws.RequestIDFrom(r.Context()), "status", status, "err", string(body))
	message := "The registry could not complete the request"
	if bytes.Contains(body, []byte(syscall.ENOSPC.Error())) {
		message = "The registry's disk is full"
	}
	w.Header().Del("Content-Length")
	refuse(w, status, "UNKNOWN", message)
}

// failureWriter keeps an answer that is a 5xx, or its beginning, and passes on any other.
type failureWriter struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (f *failureWriter) WriteHeader(status int) {
	if status >= http.StatusInternalServerError {
		f.status = status
		return
	}
	f.ResponseWriter.WriteHeader(status)
}

func (f *failureWriter) Write(p []byte) (int, error) {
	if f.status == 0 {
		return f.ResponseWriter.Write(p)
	}
	if len(f.body) < 1024 {
		f.body = append(f.body, p...)
	}
	return len(p), nil
}

// ReadFrom lets layers go to the socket without a copy.
func (f *failureWriter) ReadFrom(r io.Reader) (int64, error) {
	if f.status != 0 {
		return io.Copy(io.Discard, r)
	}
	return io.Copy(f.ResponseWriter, r)
}

// Unwrap is for http.ResponseController.
func (f *failureWriter) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func refuse(w http.ResponseWriter, status int, code, message string) {
	reply(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func reply(w http.ResponseWriter, status int, body any) { replyAs(w, status, "application/json", body) }

func replyAs(w http.ResponseWriter, status int, mediaType string, body any) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}

// buffered keeps an answer until it may be sent.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header { return b.header }

func (b *buffered) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

func (b *buffered) send(w http.ResponseWriter) {
	for k, v := range b.header {
		w.Header()[k] = v
	}
	w.WriteHeader(b.status)
	_, _ = w.Write(b.body.Bytes())
}
