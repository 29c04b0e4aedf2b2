package ecs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/elbv2"
	"berth/store"
)

// crashLog keeps commits in memory. Commit number fail is lost, as if the control plane had died before it was on disk.
type crashLog struct {
	revision, commits, fail int64
	most                    int // writes of a commit; 0: 1000
	records                 map[string]store.Record
}

var errCrash = errors.New("crash")

func (l *crashLog) Load(_ context.Context, add func(store.Record) error) (int64, error) {
	for _, r := range l.records {
		if err := add(r); err != nil {
			return 0, err
		}
	}
	return l.revision, nil
}

func (l *crashLog) Limits() store.Limits {
	return store.Limits{Ops: cmp.Or(l.most, 1000), Bytes: 1 << 20}
}

func (l *crashLog) Commit(_ context.Context, b *store.Batch) (int64, error) {
	if l.commits++; l.commits == l.fail {
		return 0, errCrash
	}
	l.revision++
	for _, w := range b.Writes {
		delete(l.records, w.Table+"|"+w.Key)
		if w.Value != nil {
			l.records[w.Table+"|"+w.Key] = store.Record{Table: w.Table, Key: w.Key, Value: w.Value, Revision: l.revision}
		}
	}
	return l.revision, nil
}

func (l *crashLog) Follow(ctx context.Context, _ int64, _ func(store.Commit) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (l *crashLog) Close() error { return nil }

// start opens the control plane on what the log has.
func (w *world) start(l *crashLog) {
	w.t.Helper()
	st, err := store.Open(store.Config{Tables: append(Tables(), elbv2.Tables()...), Log: l})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = New(Deps{Store: st, Now: func() time.Time { return w.clock }, Pages: aws.NewPages([]byte("test"))})
}

// A deployment behind a load balancer comes to the same end wherever the control plane dies, and never has fewer healthy targets than
// it may.
func TestADeploymentResumesAfterACrashAtEveryTransaction(t *testing.T) {
	last := int64(1)
	for n := int64(0); n <= last; n++ {
		w := &world{t: t, clock: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)}
		w.ctx = aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))
		l := &crashLog{records: map[string]store.Record{}}
		w.start(l)
		w.balanced(2, "")
		w.play(3, "web", always("healthy"))
		w.update(`{"service":"web","taskDefinition":"web:2"}`)
		l.commits, l.fail = 0, n
		for range 8 {
			w.survives(l, w.turnOnce)
			if n := w.serving(); n < 2 {
				t.Fatalf("%d healthy targets", n)
			}
		}
		if n == 0 {
			last = l.commits
		}
		w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
		if left := w.tasks(Task.Active); len(left) != 2 || len(targets(w)) != 2 {
			t.Errorf("crash at %d: %d tasks, %d targets", n, len(left), len(targets(w)))
		}
		_ = w.store.Close()
	}
	t.Logf("%d transactions", last)
}

// survives runs a part of the control plane; if it dies, another one is started from the log and the part runs again.
func (w *world) survives(l *crashLog, part func()) {
	w.t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if err, ok := r.(error); !ok || !errors.Is(err, errCrash) {
				panic(r)
			}
			_ = w.store.Close()
			w.start(l)
			part()
		}
	}()
	part()
}

// serving is how many targets get requests and answer them.
func (w *world) serving() (n int) {
	r := w.store.Read()
	for target := range elbv2.Targets.All(r) {
		h, _ := elbv2.TargetHealths.Get(r, target.Key()+"|"+testIngress)
		if target.Draining == 0 && h.State == proto.TargetHealthy {
			n++
		}
	}
	return n
}

// turnOnce lets everything have its turn once; it panics with the error of a transaction that failed.
func (w *world) turnOnce() {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	update := func(f func(tx *store.Tx) error) { check(w.store.Update(w.ctx, f)) }
	r := w.store.Read()
	_, err := ServiceReconciler{w.Service}.Reconcile(w.ctx, ServiceKey(testAccount, testRegion, "default", "web"))
	check(err)
	for _, t := range w.tasks(Task.Active) {
		sent, _ := AssignmentFor(w.store.Read(), t.InstanceKey())
		i := slices.IndexFunc(sent, func(p proto.Task) bool { return p.Arn == string(t.ARN()) })
		update(func(tx *store.Tx) error {
			return ApplyReport(tx, t.InstanceKey(), w.reported(t, sent[i].DesiredStatus), w.clock)
		})
	}
	now := w.store.Read().Revision()
	update(func(tx *store.Tx) error { follows(tx, now); return nil })
	balancing := w.balancing()
	for target := range elbv2.Targets.All(r) {
		state := proto.TargetHealthy
		if now, _ := elbv2.Targets.Get(w.store.Read(), target.Key()); now.Draining != 0 {
			state = proto.TargetDrained
		}
		update(func(tx *store.Tx) error {
			says(tx, target, state, "")
			return nil
		})
		_, err := balancing.Reconcile(w.ctx, target.Key())
		check(err)
	}
	for _, t := range w.tasks(Task.Active) {
		_, err := (LeaveReconciler{store: w.store, now: w.now}).Reconcile(w.ctx, t.Key())
		check(err)
	}
	w.clock = w.clock.Add(time.Second)
}

// A service that restarted tasks for days has more events than one transaction takes.
func TestAServiceOfManyEventsMakesRoomForAnother(t *testing.T) {
	w := &world{t: t, clock: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)}
	w.ctx = aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))
	w.start(&crashLog{records: map[string]store.Record{}})
	defer w.store.Close()
	w.cluster("default")
	w.register(webDefinition)
	key := ServiceKey(testAccount, testRegion, "default", "web")
	for range 3 { // the same name again and again
		w.create("web", 0)
		if n := len(w.events("web")); n != 0 {
			t.Errorf("a new service has %d events", n)
		}
		for range 2 {
			w.write(func(tx *store.Tx) {
				v, _ := Services.Get(tx, key)
				for range 600 {
					v.event(tx, MillisOf(w.clock), "", "something happened")
				}
				Services.Put(tx, v)
			})
		}
		must(w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web"), Force: new(true)}))(t)
		w.schedule("web")
		w.clock = w.clock.Add(time.Hour)
	}
	w.clock = w.clock.Add(inactiveServiceLife)
	w.schedule("web")
	if v, ok := Services.Get(w.store.Read(), key); ok {
		t.Errorf("the service is there yet: %s", v.Status())
	}
	w.create("web", 0)
	w.clock = w.clock.Add(eventLife)
	for e := range ServiceEvents.All(w.store.Read()) {
		if _, err := w.expireServiceEvents().Reconcile(w.ctx, e.Key()); err != nil {
			t.Fatal(err)
		}
	}
	if n := ServiceEvents.Len(w.store.Read()); n != 0 {
		t.Errorf("%d events are left", n)
	}
}

// An external etcd takes few operations in a transaction: what is to be done for many tasks is done in several.
func TestManyTasksAreKeptInSmallTransactions(t *testing.T) {
	w := &world{t: t, clock: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)}
	w.ctx = aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))
	w.start(&crashLog{records: map[string]store.Record{}, most: 90})
	defer w.store.Close()
	w.balanced(60, "")
	w.machine("default", "m2", 1000, 1000)
	w.play(3, "web", always("healthy"))
	w.want("web", "ACTIVE 60/60/0 PRIMARY web:1 COMPLETED 60/0 failed=0")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.play(12, "web", always("healthy"))
	w.want("web", "ACTIVE 60/60/0 PRIMARY web:2 COMPLETED 60/0 failed=0")
	w.update(`{"service":"web","desiredCount":0}`)
	w.play(8, "web", always("healthy"))
	if n := len(w.tasks(Task.Active)) + len(targets(w)); n != 0 {
		t.Errorf("%d tasks and targets are left", n)
	}
}
