package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// runner drives one task. Its goroutine alone touches the task; everything else sends it events.
type runner struct {
	node    *node
	t       *task
	arn     string
	log     *slog.Logger
	events  chan event
	gone    chan struct{} // closed when the loop has ended
	adopted bool          // the task ran before this agent started

	told    *proto.Task // what the last assignment said; guarded by node.mu
	unnamed bool        // the last assignment did not name it; guarded by node.mu
	cancels map[action]context.CancelFunc
	watched map[string]bool // containers whose end is waited for
	unsaved bool            // the journal could not be written
	saved   string          // status in the journal

	stopping atomic.Bool // what waits to be made need not be made
}

// event is something that happened to the task.
type event func(t *task, now time.Time)

// saveAgain is when a task that could not be stored is stored again.
const saveAgain = 5 * time.Second

// post gives the runner an event. It returns false when the runner has ended.
func (r *runner) post(ctx context.Context, e event) bool {
	select {
	case r.events <- e:
		return true
	case <-r.gone:
		return false
	case <-ctx.Done():
		return false
	}
}

// loop acts until the task is forgotten or ctx ends. Ending stops nothing of the task itself.
func (r *runner) loop(ctx context.Context) {
	defer close(r.gone)
	r.cancels, r.watched = map[action]context.CancelFunc{}, map[string]bool{}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for ctx.Err() == nil {
		wake := r.step(ctx)
		if r.t.Status == statusStopped && r.t.Acked && r.t.Unassigned {
			r.node.forget(r)
			return
		}
		r.sleep(ctx, wake)
	}
}

// step plans once, records the plan and begins it.
func (r *runner) step(ctx context.Context) (wake time.Time) {
	t, now := r.t, time.Now().UTC()
	before := t.Status
	p := t.next(now)
	for _, a := range p.Do {
		t.begin(a, now)
	}
	if len(p.Do) > 0 {
		t.settleSteps(now)
	}
	if t.Status != before {
		r.log.Info("task status changed", "from", before, "to", t.Status)
	}
	r.save(p)
	r.node.outbox.put(t.report(), r.acked(ctx), now)
	if t.Cause != nil {
		r.cancelStart()
	}
	r.watch(ctx)
	r.node.endpoints.know(t) // before its containers start
	for _, a := range p.Do {
		r.launch(ctx, a)
	}
	if r.unsaved {
		return earlier(p.Wake, now.Add(saveAgain))
	}
	return p.Wake
}

// sleep waits for an event or the time to wake, and takes in the events that are there.
func (r *runner) sleep(ctx context.Context, wake time.Time) {
	var alarm <-chan time.Time
	if !wake.IsZero() {
		timer := time.NewTimer(time.Until(wake))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case e := <-r.events:
		e(r.t, time.Now().UTC())
	case <-alarm:
	case <-ctx.Done():
	}
}

// save writes the journal when there is something in it that could not be found out or done again: before what can't
// be undone begins, at a change of status, and when nothing is left to do. The disk is waited for before anything is
// taken away, because the journal is then the only place that has the exit codes, and when the task has ended.
func (r *runner) save(p plan) {
	sync := r.t.Status == statusStopped && !r.t.Acked
	due := len(p.Do) == 0 && len(r.t.busy) == 0 || r.saved != r.t.Status || r.unsaved
	for _, a := range p.Do {
		switch a.Do {
		case doDropContainer, doRestart:
			sync = true
		case doPull, doNetwork, doLogs, doCgroup, doVolumes, doProbe, doDetach:
		default:
			due = true
		}
	}
	if !due && !sync {
		return
	}
	err := r.node.journal.put(r.t, sync)
	if err != nil && !r.unsaved {
		r.log.Warn("journal could not be written; trying again", "err", err)
	}
	if r.unsaved = err != nil; !r.unsaved {
		r.saved = r.t.Status
	}
}

func (r *runner) acked(ctx context.Context) func() {
	return func() {
		r.node.running.Go(func() {
			r.post(ctx, func(t *task, _ time.Time) { t.Acked = true })
		})
	}
}

// assigned takes the server's word on this task.
func (r *runner) assigned(want proto.Task, def *ecs.TaskDefinition) {
	if r.t.Status == statusStopped && want.DesiredStatus == statusRunning && r.t.Acked {
		r.t.Acked = false // the server does not know; STOPPED is final
		r.node.outbox.again(want.Arn)
	}
	if r.t.Status == statusStopped {
		r.t.Unassigned = false
		return
	}
	r.t.assigned(want, def)
}

// cancelStart ends work that a stopping task has no use for.
func (r *runner) cancelStart() {
	r.stopping.Store(true)
	for a, cancel := range r.cancels {
		switch a.Do {
		case doPull, doNetwork, doLogs, doProbe, doVolumes:
			cancel()
		}
	}
}

// launch begins one action. Its result comes back as an event.
func (r *runner) launch(ctx context.Context, a action) {
	job, limit := r.job(a)
	actionCtx, cancel := context.WithCancel(ctx)
	r.cancels[a] = cancel
	r.node.running.Go(func() {
		defer cancel()
		began := time.Now().UTC()
		var res result
		if a.Do == doCreate || a.Do == doDropContainer { // they wait for their turn first, and limit themselves
			res = job(actionCtx)
		} else {
			res.err = within(actionCtx, a, limit, func(ctx context.Context) error { res = job(ctx); return res.err })
		}
		res.began = began
		if ctx.Err() != nil {
			return // the agent ends: its own cancelling is not a failure of the task
		}
		r.post(ctx, func(t *task, now time.Time) {
			delete(r.cancels, a)
			r.note(a, res)
			t.done(a, res, now)
		})
	})
}

// within runs a part of an action that may take so long.
func within(ctx context.Context, a action, limit time.Duration, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &timeout{a, limit})
	defer cancel()
	err := work(ctx)
	if late, ok := errors.AsType[*timeout](context.Cause(ctx)); ok && err != nil {
		return late.explain(err)
	}
	return err
}

func (r *runner) note(a action, res result) {
	if res.err != nil && (r.t.Cause == nil || a.Do == doDropContainer || a.Do == doDropTask || a.Do == doDetach) {
		r.log.Warn("step failed", "step", a.String(), "err", res.err)
	}
}

// watch waits for the end of every running container, and follows its log.
func (r *runner) watch(ctx context.Context) {
	for _, c := range r.t.Containers {
		if !c.running() || r.watched[c.Name] {
			continue
		}
		r.watched[c.Name] = true
		id, name := c.ID, c.Name
		if r.adopted {
			r.node.logs.resume(id)
		}
		r.node.running.Go(func() {
			s, ok := r.node.awaitExit(ctx, id)
			if !ok {
				return
			}
			r.post(ctx, func(t *task, now time.Time) {
				r.watched[name] = false
				t.exited(name, s, now)
			})
		})
	}
}

// awaitExit returns how the container ended, or false when ctx ends. A container that the runtime no longer has
// ended without an exit code.
func (n *node) awaitExit(ctx context.Context, id string) (ContainerState, bool) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		s, err := n.cfg.Deps.Exits.Wait(ctx, id)
		if ctx.Err() != nil {
			return ContainerState{}, false
		}
		if err == nil && s.Phase == PhaseExited {
			return s, true
		}
		if all, listErr := n.cfg.Deps.Runtime.List(ctx); listErr == nil && !hasContainer(all, id) {
			return ContainerState{ID: id, Phase: PhaseExited, Error: "the container is gone"}, true
		}
		n.log.Warn("waiting for a container failed; trying again", "container", id, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ContainerState{}, false
		}
	}
}

func hasContainer(all []ContainerState, id string) bool {
	for _, s := range all {
		if s.ID == id {
			return true
		}
	}
	return false
}

// timeout is the cause of an action's context that ran out of time.
type timeout struct {
	action action
	limit  time.Duration
}

func (e *timeout) Error() string { return e.action.String() + " took longer than " + e.limit.String() }

// explain gives ECS's text for create and start; other failures keep their own words.
func (e *timeout) explain(err error) error {
	state := map[verb]string{doCreate: "created", doStart: "started"}[e.action.Do]
	if state == "" {
		return errors.Join(err, e)
	}
	return &Error{Name: "DockerTimeoutError", Detail: "Could not transition to " + state + "; timed out after waiting " + e.limit.String(), Err: err}
}
