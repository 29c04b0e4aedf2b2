package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Times between looks at the sessions of draining targets.
const (
	firstLook = 25 * time.Millisecond
	slowLook  = 500 * time.Millisecond
)

// keepSlots keeps the slots of every worker at what is wanted of targets, until ctx ends.
func (i *Ingress) keepSlots(ctx context.Context) {
	look := firstLook
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wakeSlots:
			look = firstLook
		case <-again.C:
		}
		i.syncFlows(ctx)
		err := i.syncSlots(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			i.log.Debug("slots are not set", "err", err)
			again.Reset(100 * time.Millisecond)
		case i.drains():
			again.Reset(look)
			look = min(2*look, slowLook)
		default:
			// What one worker was told may be lost with it, and it may have been told things by hand.
			again.Reset(10 * time.Second)
		}
		wake(i.reports)
	}
}

// syncSlots brings the slots of all workers to what is wanted and looks at the sessions of draining targets.
func (i *Ingress) syncSlots(ctx context.Context) error {
	i.mu.Lock()
	revision, running, loading := i.state.Revision, i.state.running, i.state.loading
	m := i.state.machine
	wanted := i.wanted(m, i.state.behind)
	i.mu.Unlock()
	if running.Digest == "" {
		i.settle(revision, running, nil, loading)
		return nil
	}
	procs, err := i.master.processes(ctx)
	if err != nil {
		i.mu.Lock()
		idle := !i.serving()
		i.mu.Unlock()
		if idle {
			i.settle(revision, running, nil, loading)
			return nil
		}
		return err
	}
	var errs []error
	all := make([]served, len(procs.Workers))
	for n, w := range procs.Workers {
		all[n], err = i.syncWorker(ctx, w, wanted)
		errs = append(errs, err)
		if w.Old && all[n].accepts {
			errs = append(errs, fmt.Errorf("the earlier worker %d still takes connections", w.PID))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	i.settle(revision, running, all, loading)
	return nil
}

// served is what one worker has.
type served struct {
	slots map[string][]haproxy.Slot // by backend
	old   bool
	// accepts says of an old worker that it has not heard yet that it is one: it may still take new connections.
	accepts bool
}

// syncWorker sets the slots of one worker and returns what it has. Those of an old worker stay as they are: HAProxy 2.6 takes no command for
// proxies that have stopped listening ("Proxy is disabled").
func (i *Ingress) syncWorker(ctx context.Context, w worker, wanted map[string][]haproxy.SlotTarget) (served, error) {
	state, err := i.master.tell(ctx, w, "show servers state")
	if err != nil {
		return served{}, err
	}
	stat, err := i.master.tell(ctx, w, "show stat -1 7 -1")
	if err != nil {
		return served{}, err
	}
	slots := haproxy.ParseState(state)
	sessions, err := parseSessions(stat)
	if err != nil {
		return served{}, err
	}
	out := served{slots: slots, old: w.Old}
	if w.Old {
		info, err := i.master.tell(ctx, w, "show info")
		if err != nil {
			return served{}, err
		}
		out.accepts = infoOf(info, "Stopping") == "0"
	}
	i.mu.Lock()
	groups := make(map[string]string, len(slots))
	for name := range slots {
		groups[name] = i.state.groups[name]
	}
	i.mu.Unlock()
	var commands []string
	for name, have := range slots {
		for n := range have {
			have[n].Sessions = sessions[name+"/"+have[n].Name]
		}
		if w.Old || groups[name] == "" { // a new worker's own: its file had the slots, and whose they are is known when the reload is over
			continue
		}
		b := haproxy.Backend{Name: name, Group: groups[name], Slots: len(have)}
		plan := haproxy.Plan(b, have, wanted[b.Group])
		for _, c := range plan {
			commands = append(commands, string(c))
		}
		slots[name] = follow(have, plan)
	}
	for part := range slices.Chunk(commands, 100) {
		answer, err := i.master.tell(ctx, w, part...)
		if err != nil {
			return served{}, err
		}
		if text := refusal(answer); text != "" {
			return served{}, fmt.Errorf("HAProxy does not set a slot: %s", text)
		}
	}
	return out, nil
}

// refusal is the first line of answers to slot commands that is not as it should be.
func refusal(answer string) string {
	for line := range strings.Lines(answer) {
		if line = strings.TrimSpace(line); line == "" || strings.Contains(line, "by 'stats socket command'") || strings.HasPrefix(line, "no need to change") {
			continue
		}
		return line
	}
	return ""
}

// parseSessions reads how many sessions are open, by "backend/server", from "show stat".
func parseSessions(text string) (map[string]int, error) {
	table, err := parseStat(text)
	out := map[string]int{}
	for _, row := range table.rows {
		n, _ := strconv.Atoi(table.at(row, "scur"))
		out[table.at(row, "pxname")+"/"+table.at(row, "svname")] = n
	}
	return out, err
}

// settle takes what all workers have now.
func (i *Ingress) settle(revision uint64, running running, workers []served, loading bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := &i.state
	if len(workers) > 0 {
		s.slots = workers[0].slots
	}
	if loading || s.loading || revision != s.Revision {
		return // a new worker may begin with what was wanted before; another look follows when it has begun
	}
	if running.Revision == revision && s.running.Digest == running.Digest {
		s.followed = revision
	}
	for _, g := range s.Frame.Groups {
		for _, t := range g.Targets {
			k := key{g.ID, t.ID, t.Since}
			if !t.Draining || s.drained[k] {
				continue
			}
			at, ok := s.machine.At(t)
			switch {
			case ok && i.busy(g.ID, at, workers):
				s.open[k] = -1
			case s.open[k] > 0:
				s.drained[k] = true
			default:
				// A request may have chosen the slot just before and be on its way: it shows at the next look.
				s.open[k] = 1
			}
		}
	}
}

// busy tells whether a worker has sessions to a target, or may begin some: an old one does not, it hands requests to the newest. The caller holds mu.
func (i *Ingress) busy(group string, at netip.AddrPort, workers []served) bool {
	for _, w := range workers {
		for name, slots := range w.slots {
			if i.state.groups[name] != group {
				continue
			}
			for _, s := range slots {
				if s.At == at && (!s.Maint && !w.old || s.Sessions > 0) {
					return true
				}
			}
		}
	}
	return false
}

// drains tells whether targets are draining.
func (i *Ingress) drains() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, g := range i.state.Frame.Groups {
		for _, t := range g.Targets {
			if t.Draining && !i.state.drained[key{g.ID, t.ID, t.Since}] {
				return true
			}
		}
	}
	return false
}

// serving tells whether HAProxy should run. The caller holds mu.
func (i *Ingress) serving() bool { return len(i.state.running.Backends) > 0 }

// wanted is what is wanted of the targets of each group; behind: by a worker whose rules are of an earlier frame. The caller holds mu.
func (i *Ingress) wanted(m haproxy.Machine, behind bool) map[string][]haproxy.SlotTarget {
	out := map[string][]haproxy.SlotTarget{}
	serves := map[string]map[netip.AddrPort]bool{}
	if behind {
		serves = i.servingNow()
	}
	for _, g := range i.state.Frame.Groups {
		out[g.ID] = i.wantedOf(m, g)
		for n, t := range out[g.ID] {
			if t.State == haproxy.Drain && serves[g.ID][t.At] {
				out[g.ID][n].State = haproxy.Serve
			}
		}
	}
	return out
}

// servingNow are the addresses that take new requests, by group. The caller holds mu.
func (i *Ingress) servingNow() map[string]map[netip.AddrPort]bool {
	out := map[string]map[netip.AddrPort]bool{}
	for name, slots := range i.state.slots {
		group := i.state.groups[name]
		for _, slot := range slots {
			if !slot.Maint {
				if out[group] == nil {
					out[group] = map[netip.AddrPort]bool{}
				}
				out[group][slot.At] = true
			}
		}
	}
	return out
}

// wantedOf decides for one group. If every target that was checked is unhealthy, all of these serve: the check may be wrong.
// Source: ELB user guide, target groups fail open.
func (i *Ingress) wantedOf(m haproxy.Machine, g haproxy.Group) []haproxy.SlotTarget {
	var out []haproxy.SlotTarget
	var failing []int
	healthy := 0
	for _, t := range g.Targets {
		at, ok := m.At(t)
		if !ok {
			continue
		}
		w := haproxy.SlotTarget{At: at, State: haproxy.Hold, Weight: haproxy.FullWeight}
		h, _ := i.checks.health(key{g.ID, t.ID, t.Since})
		switch {
		case t.Draining:
			w.State = haproxy.Drain
		case h.state == proto.TargetHealthy:
			w.State = haproxy.Serve
			healthy++
		case h.state == proto.TargetUnhealthy:
			failing = append(failing, len(out))
		}
		out = append(out, w)
	}
	if healthy == 0 {
		for _, n := range failing {
			out[n].State = haproxy.Serve
		}
	}
	return out
}
