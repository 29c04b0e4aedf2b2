package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTime     = 10 * time.Second
	idleTime       = 60 * time.Second
	maxHeaderBytes = 64 << 10
)

// NewServer returns a server with the time limits of a public listener. Bodies have their own limit in the handler, so that
// images may be pushed and sessions may last.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.Default()
	}
	limit := &connections{silent: map[string]int{}, open: map[net.Conn]string{}}
	return &http.Server{
		ConnState: limit.observe,
		Handler:   h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// endingKey finds the channel that is closed when the server begins to end.
type endingKey struct{}

// untilEnding returns a context that ends with ctx, or when the server begins to end: for answers that have no end of
// their own.
func untilEnding(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	ending, _ := ctx.Value(endingKey{}).(<-chan struct{})
	if ending == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Serve answers on ln until ctx ends, then takes no new connections and gives requests grace to finish. The contexts of
// requests end when grace is over, not with ctx; event streams end at once.
func Serve(ctx context.Context, srv *http.Server, ln net.Listener, grace time.Duration) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	base := context.WithValue(requests, endingKey{}, ctx.Done())
	srv.BaseContext = func(net.Listener) context.Context { return base }
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	shutdown, stop := context.WithTimeout(requests, grace)
	defer stop()
	err := srv.Shutdown(shutdown)
	if err != nil {
		cancel()
		err = errors.Join(fmt.Errorf("shut down %s: %w", ln.Addr(), err), srv.Close())
	}
	<-failed
	return err
}
