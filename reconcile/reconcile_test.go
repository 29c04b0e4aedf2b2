package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/reconcile"
	"berth/store"
)

type thing struct {
	ID    string `json:"id"`
	Owner string `json:"o,omitzero"`
	N     int    `json:"n,omitzero"`
}

var things = store.NewTable("test/thing", func(t thing) string { return t.ID })

// fake remembers its runs and does what it is told for a key.
type fake struct {
	triggers []reconcile.Trigger
	do       func(ctx context.Context, key string, run int) (time.Duration, error)
	atOnce   int // 0: as many as usual

	mu   sync.Mutex // guards runs
	runs map[string][]time.Time
}

func (f *fake) Name() string                  { return "test.thing" }
func (f *fake) Triggers() []reconcile.Trigger { return f.triggers }

func (f *fake) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	f.mu.Lock()
	if f.runs == nil {
		f.runs = map[string][]time.Time{}
	}
	f.runs[key] = append(f.runs[key], time.Now())
	n := len(f.runs[key])
	f.mu.Unlock()
	if f.do == nil {
		return 0, nil
	}
	return f.do(ctx, key, n)
}

// waiter is a fake that says how many of its keys run at once.
type waiter struct{ *fake }

func (w waiter) AtOnce() int { return w.atOnce }

// count is how often the key ran so far.
func (f *fake) count(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.runs[key])
}

type world struct {
	*testing.T
	st   *store.Store
	loop *reconcile.Loop
	f    *fake
}

// inWorld runs check in virtual time, with a loop of f on a store that holds the things.
func inWorld(t *testing.T, f *fake, begin []thing, check func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(store.Config{Tables: []store.AnyTable{things}})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if f.triggers == nil {
			f.triggers = []reconcile.Trigger{reconcile.OnSelf(things)}
		}
		w := &world{T: t, st: st, f: f}
		for _, b := range begin {
			w.put(b)
		}
		var r reconcile.Reconciler = f
		if f.atOnce > 0 {
			r = waiter{f}
		}
		w.loop = reconcile.New(st, slog.New(slog.NewTextHandler(io.Discard, nil)), r)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.loop.Run(ctx) }()
		synctest.Wait()
		check(w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (w *world) put(v thing) {
	w.Helper()
	if err := w.st.Update(w.Context(), func(tx *store.Tx) error { things.Put(tx, v); return nil }); err != nil {
		w.Fatal(err)
	}
}

// after lets virtual time pass and wants the key to have run n times by then.
func (w *world) after(d time.Duration, key string, n int) {
	w.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := w.f.count(key); got != n {
		w.Errorf("after %v: %s ran %d times, want %d", d, key, got, n)
	}
}

func TestAllKeysRunOnceAtTheStart(t *testing.T) {
	f := &fake{}
	inWorld(t, f, []thing{{ID: "a"}, {ID: "b"}, {ID: "c"}}, func(w *world) {
		for _, key := range []string{"a", "b", "c"} {
			w.after(0, key, 1)
		}
		w.after(time.Hour, "a", 1)
	})
}

func TestKeysThatWaitKeepNoOtherFromRunning(t *testing.T) {
	f := &fake{atOnce: 6, do: func(ctx context.Context, key string, _ int) (time.Duration, error) {
		if key != "quick" {
			<-ctx.Done()
		}
		return 0, nil
	}}
	inWorld(t, f, []thing{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "e"}}, func(w *world) {
		w.put(thing{ID: "quick"})
		w.after(0, "quick", 1)
	})
}

func TestAChangeWakesItsKey(t *testing.T) {
	inWorld(t, &fake{}, []thing{{ID: "a"}, {ID: "b"}}, func(w *world) {
		w.put(thing{ID: "a", N: 1})
		w.after(0, "a", 2)
		w.after(0, "b", 1)
	})
}

func TestATriggerWakesTheKeysOfBeforeAndAfter(t *testing.T) {
	f := &fake{triggers: []reconcile.Trigger{reconcile.On(things, func(v thing) []string { return []string{v.Owner} })}}
	inWorld(t, f, []thing{{ID: "a", Owner: "x"}}, func(w *world) {
		w.put(thing{ID: "a", Owner: "y"})
		w.after(0, "x", 2)
		w.after(0, "y", 1)
	})
}

func TestAgainWakesTheKeyThen(t *testing.T) {
	f := &fake{do: func(_ context.Context, _ string, run int) (time.Duration, error) {
		if run == 1 {
			return 10 * time.Minute, nil
		}
		return 0, nil
	}}
	inWorld(t, f, []thing{{ID: "a"}}, func(w *world) {
		w.after(10*time.Minute-time.Second, "a", 1)
		w.after(2*time.Second, "a", 2)
		w.after(time.Hour, "a", 2)
	})
}

func TestAChangeDoesNotWaitForAgain(t *testing.T) {
	f := &fake{do: func(context.Context, string, int) (time.Duration, error) { return time.Hour, nil }}
	inWorld(t, f, []thing{{ID: "a"}}, func(w *world) {
		w.put(thing{ID: "a", N: 1})
		w.after(0, "a", 2)
		w.after(59*time.Minute, "a", 2)
		w.after(2*time.Minute, "a", 3)
	})
}

func TestErrorsBackOffAndSuccessForgetsThem(t *testing.T) {
	f := &fake{do: func(_ context.Context, _ string, run int) (time.Duration, error) {
		if run <= 5 {
			return 0, errors.New("not yet")
		}
		return 0, nil
	}}
	inWorld(t, f, []thing{{ID: "a"}}, func(w *world) {
		w.after(time.Hour, "a", 6)
		runs := f.runs["a"]
		for i := 1; i < len(runs); i++ {
			pause, most := runs[i].Sub(runs[i-1]), 100*time.Millisecond<<(i-1)
			if pause < most/2 || pause > most+time.Millisecond {
				t.Errorf("pause %d is %v, want between half and all of %v", i, pause, most)
			}
		}
		if s := w.loop.Stats()[0]; s.Errors != 5 || s.Runs != 6 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestAKeyNeverRunsTwiceAtOnceAndIsNotForgotten(t *testing.T) {
	free, atOnce, most := make(chan struct{}), 0, 0
	var mu sync.Mutex
	f := &fake{do: func(context.Context, string, int) (time.Duration, error) {
		mu.Lock()
		atOnce++
		most = max(most, atOnce)
		mu.Unlock()
		<-free
		mu.Lock()
		atOnce--
		mu.Unlock()
		return 0, nil
	}}
	inWorld(t, f, nil, func(w *world) {
		free = make(chan struct{})
		for n := range 5 {
			w.put(thing{ID: "a", N: n})
			w.after(time.Second, "a", 1)
		}
		free <- struct{}{}
		w.after(time.Second, "a", 2) // once for all that came meanwhile
		free <- struct{}{}
		w.after(time.Second, "a", 2)
		if most != 1 {
			t.Errorf("%d runs at once", most)
		}
	})
}

func TestAPanickingKeyIsQuarantinedAndOthersGoOn(t *testing.T) {
	var mu sync.Mutex
	cured := false
	f := &fake{do: func(_ context.Context, key string, _ int) (time.Duration, error) {
		mu.Lock()
		defer mu.Unlock()
		if key == "poison" && !cured {
			panic("nil map")
		}
		return 0, nil
	}}
	inWorld(t, f, []thing{{ID: "poison"}, {ID: "b"}}, func(w *world) {
		w.after(time.Hour, "poison", 3)
		if got := w.loop.Stats()[0].Quarantined; !slices.Equal(got, []string{"poison"}) {
			t.Errorf("quarantined: %v", got)
		}
		w.put(thing{ID: "b", N: 1})
		w.after(0, "b", 2)
		w.put(thing{ID: "poison", N: 1})
		w.after(2*time.Minute, "poison", 4)
		w.after(time.Hour, "poison", 4)
		mu.Lock()
		cured = true
		mu.Unlock()
		w.put(thing{ID: "poison", N: 2})
		w.after(2*time.Minute, "poison", 5)
		if got := w.loop.Stats()[0].Quarantined; len(got) != 0 {
			t.Errorf("still quarantined: %v", got)
		}
	})
}

func TestManyKeysAllRun(t *testing.T) {
	var begin []thing
	for i := range 500 {
		begin = append(begin, thing{ID: fmt.Sprint("k", i)})
	}
	f := &fake{do: func(context.Context, string, int) (time.Duration, error) { time.Sleep(time.Second); return 0, nil }}
	inWorld(t, f, begin, func(w *world) {
		time.Sleep(126 * time.Second) // 500 keys, four at a time
		synctest.Wait()
		for _, b := range begin {
			if n := f.count(b.ID); n != 1 {
				t.Errorf("%s ran %d times", b.ID, n)
			}
		}
	})
}

func TestTheLoopEndsWithItsContextAndWaitsForRunningKeys(t *testing.T) {
	ended := false
	f := &fake{do: func(ctx context.Context, _ string, _ int) (time.Duration, error) {
		<-ctx.Done()
		time.Sleep(time.Second)
		ended = true
		return 0, ctx.Err()
	}}
	inWorld(t, f, []thing{{ID: "a"}}, func(*world) {})
	if !ended {
		t.Error("Run returned before the running key did")
	}
}

func TestAReconcilerThatWritesSettles(t *testing.T) {
	var st *store.Store
	f := &fake{}
	f.do = func(ctx context.Context, key string, _ int) (time.Duration, error) {
		return 0, st.Update(ctx, func(tx *store.Tx) error {
			if v, ok := things.Get(tx, key); ok && v.N < 3 && !strings.HasPrefix(key, "x") {
				v.N++
				things.Put(tx, v)
			}
			return nil
		})
	}
	inWorld(t, f, nil, func(w *world) {
		st = w.st
		w.put(thing{ID: "a"})
		w.after(time.Minute, "a", 4)
		if v, _ := things.Get(w.st.Read(), "a"); v.N != 3 {
			t.Errorf("N is %d, want 3", v.N)
		}
	})
}
