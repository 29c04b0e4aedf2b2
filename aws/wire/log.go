package wire

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// recorder remembers what was answered. It lets flushing, hijacking and deadlines through.
type recorder struct {
	http.ResponseWriter
	status  int
	in, out int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.out += int64(n)
	return n, err
}

// Unwrap is how http.ResponseController finds the methods below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for handlers that look for http.Flusher themselves, as Hijack and ReadFrom are.
func (w *recorder) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack hands the connection over, for websockets.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// ReadFrom keeps large downloads from being copied through a buffer.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.out += n
	return n, err
}

// logRequest writes one line: no body, no query, no header, so no secret.
func (f *frontDoor) logRequest(c *call) {
	if f.RequestLog == nil {
		return
	}
	attrs := []slog.Attr{slog.String("request", c.id), slog.Int("status", c.w.status), slog.Duration("took", time.Since(c.start).Round(time.Microsecond))}
	if c.service != nil {
		attrs = append(attrs, slog.String("op", c.service.API.Name+":"+c.op), slog.String("account", c.caller.Account), slog.String("region", c.caller.Region))
	} else {
		attrs = append(attrs, slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path))
	}
	if c.code != "" {
		attrs = append(attrs, slog.String("code", c.code))
	}
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		host = c.r.RemoteAddr
	}
	attrs = append(attrs, slog.String("from", host), slog.Int64("in", c.w.in), slog.Int64("out", c.w.out))
	f.RequestLog.LogAttrs(c.r.Context(), slog.LevelInfo, "request", attrs...)
}
