package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"berth/agent/proto"
	"berth/ecs"
	"berth/elbv2"
	"berth/store"
)

// MetricSink takes what machines count for load balancers of an account and region, once it is checked. source is the machine, by a name
// that no other has. The agent tries again after an error.
type MetricSink interface {
	PutMetrics(ctx context.Context, account, region, source string, batch proto.MetricBatch) error
}

// Bounds of load balancing.
const (
	// framePause is the least time between two frames: what changes meanwhile comes in one.
	framePause    = 20 * time.Millisecond
	maxMetricBody = 4 << 20
	maxSamples    = 20_000
)

// ingressTables are those of which a frame is made. Container instances change with every task; what frames take of them is
// in their descriptions.
func ingressTables() []store.AnyTable {
	return append(elbv2.FrameTables(), ecs.InstanceDescriptions)
}

// balance makes the frames of each account and region, once for all of its machines.
type balance struct {
	// mu guards what follows. It is held while a frame is made, which takes no I/O: the others wait for that same frame.
	mu     sync.Mutex
	places map[string]*placeFrame
}

// placeFrame is the newest frame of one account and region.
type placeFrame struct {
	stale    bool
	revision uint64          // of the store when body, or written, was first found so
	written  int64           // elbv2.Written
	body     json.RawMessage // encoded haproxy.Frame
}

// frame is the newest frame of the place, account/region.
func (s *Server) frame(place string) placeFrame {
	b := &s.balance
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.places[place]
	if p == nil {
		p = &placeFrame{stale: true}
		b.places[place] = p
	}
	if p.stale {
		account, region, _ := strings.Cut(place, "/")
		r := s.Store.Read()
		body, err := json.Marshal(elbv2.FrameFor(r, account, region, ecs.MachineByInstanceID))
		if err != nil {
			panic("unreachable: a frame of our own cannot be encoded: " + err.Error())
		}
		written := elbv2.Written(r, account, region)
		if p.stale = false; p.revision == 0 || written != p.written || !bytes.Equal(body, p.body) {
			p.revision, p.written, p.body = uint64(r.Revision()), written, body
		}
	}
	return *p
}

// watchIngress wakes the sessions of places whose load balancers or targets change.
func (s *Server) watchIngress(ctx context.Context) {
	w := s.Store.Watch(ctx, ingressTables()...)
	for range w.Ready() {
		changed := map[string]bool{}
		for _, c := range w.Take() {
			parts := strings.SplitN(c.Key, "/", 3) // account, region, the rest
			changed[parts[0]+"/"+parts[1]] = true
		}
		s.rebalance(changed)
		select {
		case <-ctx.Done():
		case <-time.After(framePause):
		}
	}
}

// rebalance makes the frames of the places anew, for the sessions that have one.
func (s *Server) rebalance(places map[string]bool) {
	s.balance.mu.Lock()
	for place := range places {
		if p := s.balance.places[place]; p != nil {
			p.stale = true
		}
	}
	s.balance.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sessions {
		if places[one.place] {
			poke(one.rebalanced)
		}
	}
}

// sendIngress sends what the machine should balance, if it is not what was sent last.
func (one *session) sendIngress() error {
	p := one.server.frame(one.place)
	if p.revision == one.balanced {
		return nil
	}
	one.balanced = p.revision
	return one.send(frame(proto.TypeIngress, struct {
		Revision uint64          `json:"revision"`
		Frame    json.RawMessage `json:"frame"`
	}{p.revision, p.body}))
}

// applyIngress writes a report of load balancing into the store, in transactions with the check that the session is the machine's. A
// report that was applied already only gets its acknowledgement again.
func (one *session) applyIngress(ctx context.Context, r proto.IngressReport) error {
	if one.place == "" {
		return fmt.Errorf("%w: an ingress report of a machine without the ingress role", errFrame)
	}
	if r.Seq <= one.ingressSeq {
		return nil
	}
	snapshot := one.server.Store.Read()
	if r.Revision > uint64(snapshot.Revision()) {
		r.Revision = 0 // of another store, before this one was restored from a backup
	}
	gone := elbv2.Forgotten(snapshot, one.instanceARN, r)
	now := time.Now()
	for first, rest := true, r.Targets; first || len(gone) > 0 || len(rest) > 0; first = false {
		drop, part := min(len(gone), reportChunk), r
		part.Targets = rest[:min(len(rest), reportChunk-drop)]
		err := one.server.Store.Update(ctx, func(tx *store.Tx) error {
			if _, err := holds(tx, one.machine, one.id); err != nil {
				return err
			}
			elbv2.ForgetReports(tx, gone[:drop])
			elbv2.ApplyReport(tx, one.instanceARN, part, now)
			return nil
		})
		if err != nil {
			return err
		}
		gone, rest = gone[drop:], rest[len(part.Targets):]
	}
	one.ingressSeq = r.Seq
	return nil
}
