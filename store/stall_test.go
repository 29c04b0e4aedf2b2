package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"berth/store"
)

// stuckLog never answers the first commit until it is freed.
type stuckLog struct {
	free chan error
	seen int
	rev  int64
}

func (l *stuckLog) Load(context.Context, func(store.Record) error) (int64, error) { return 0, nil }
func (l *stuckLog) Limits() store.Limits                                          { return store.Limits{Ops: 10, Bytes: 1000} }
func (l *stuckLog) Close() error                                                  { return nil }

func (l *stuckLog) Follow(context.Context, int64, func(store.Commit) error) error { return nil }

func (l *stuckLog) Commit(ctx context.Context, _ *store.Batch) (int64, error) {
	l.seen++
	l.rev++
	if l.seen == 1 {
		select {
		case err := <-l.free:
			return l.rev, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return l.rev, nil
}

func TestUnansweredCommitRefusesWhatComesAfterIt(t *testing.T) {
	for name, answer := range map[string]error{"written": nil, "not written": store.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &stuckLog{free: make(chan error)}
				st, err := store.Open(store.Config{Tables: []store.AnyTable{items}, Log: l})
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				put := func(id string) chan error {
					done := make(chan error, 1)
					go func() {
						done <- st.Update(t.Context(), func(tx *store.Tx) error { items.Put(tx, item{ID: id}); return nil })
					}()
					synctest.Wait()
					return done
				}
				first, second := put("first"), put("second")
				time.Sleep(6 * time.Second) // virtual
				synctest.Wait()
				if err := <-second; !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("queued update: %v", err)
				}
				if err := <-put("third"); !errors.Is(err, store.ErrUnavailable) || st.Health() == nil {
					t.Errorf("new update: %v, health %v", err, st.Health())
				}
				l.free <- answer
				if err := <-first; !errors.Is(err, answer) {
					t.Errorf("first update: %v, want %v", err, answer)
				}
				if err := <-put("fourth"); err != nil || st.Health() != nil {
					t.Errorf("update after the answer: %v, health %v", err, st.Health())
				}
				_, ok := items.Get(st.Read(), "first")
				if _, queued := items.Get(st.Read(), "second"); ok != (answer == nil) || queued {
					t.Errorf("first is there: %v, second: %v", ok, queued)
				}
			})
		})
	}
}
