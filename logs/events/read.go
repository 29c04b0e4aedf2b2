package events

import (
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Page asks for events of one stream with From <= position < To: the first ones, or with Reverse the last ones. It ends
// at Limit events or once their sizes reach MaxBytes, but has at least one event if there is any.
type Page struct {
	From, To Position
	Reverse  bool
	Limit    int
	MaxBytes int
}

// Read returns a page in ascending order.
func (e *Engine) Read(stream uint64, p Page) (out []Event, err error) {
	if !p.From.Less(p.To) || p.Limit <= 0 {
		return nil, nil
	}
	err = e.view(func(db *pebble.DB) (err error) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: eventKey(nil, stream, p.From), UpperBound: eventKey(nil, stream, p.To)})
		if err != nil {
			return fmt.Errorf("read log stream: %w", err)
		}
		defer func() { err = errors.Join(err, it.Close()) }()
		step, valid := it.Next, false
		if p.Reverse {
			step, valid = it.Prev, it.Last()
		} else {
			valid = it.First()
		}
		size := 0
		for ; valid && len(out) < p.Limit; valid = step() {
			value := it.Value()
			ev, n, err := decodeEvent(it.Key(), value)
			if err != nil {
				return err
			}
			if size += len(value) - n + Overhead; size > p.MaxBytes && len(out) > 0 {
				break
			}
			ev.Message = string(value[n:])
			out = append(out, ev)
		}
		return it.Error()
	})
	if p.Reverse {
		slices.Reverse(out)
	}
	return out, err
}

const (
	chunkEvents = 512
	chunkBytes  = 256 << 10
)

// Merge yields the events of all the streams with from <= position < to in the order of their positions, as they are
// at the call. It holds a few hundred events of each stream whose events overlap, never all. The loop's body must not
// call the engine.
func (e *Engine) Merge(streams []uint64, from, to Position) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stopped := false
		next := func(ev Event, err error) bool {
			stopped = stopped || !yield(ev, err)
			return !stopped
		}
		err := e.view(func(db *pebble.DB) (err error) {
			it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{eventPrefix}, UpperBound: []byte{eventPrefix + 1}})
			if err != nil {
				return fmt.Errorf("read log streams: %w", err)
			}
			defer func() { err = errors.Join(err, it.Close()) }()
			return e.merge(it, streams, from, to, next)
		})
		if err != nil && !stopped {
			yield(Event{}, err)
		}
	}
}

func (e *Engine) merge(it *pebble.Iterator, streams []uint64, from, to Position, yield func(Event, error) bool) error {
	h := make(mergeHeap, 0, len(streams))
	for _, id := range streams {
		s, ok := e.totals.get(id)
		if !ok || s.Count == 0 || s.Last < from.Timestamp || !At(s.First).Less(to) {
			continue
		}
		start := from
		if start.Less(At(s.First)) {
			start = At(s.First)
		}
		h = append(h, &source{stream: id, next: start, to: to})
	}
	heap.Init(&h)
	for len(h) > 0 {
		top := h[0]
		if len(top.chunk) == 0 {
			if err := top.fill(it); err != nil {
				return err
			}
			if len(top.chunk) == 0 {
				heap.Pop(&h)
			} else {
				heap.Fix(&h, 0)
			}
			continue
		}
		ev := top.chunk[0]
		top.chunk = top.chunk[1:]
		top.next = ev.After()
		if !yield(ev, nil) {
			return nil
		}
		heap.Fix(&h, 0)
	}
	return nil
}

// source is one stream of a merge. Its events before next are done; chunk holds the following ones if they are read.
type source struct {
	stream   uint64
	next, to Position
	chunk    []Event
	buf      []Event
}

// position is where the source stands in the merge: its next event, or a lower bound of it before it is read.
func (s *source) position() Position {
	if len(s.chunk) > 0 {
		return s.chunk[0].Before()
	}
	return s.next
}

func (s *source) fill(it *pebble.Iterator) error {
	it.SetBounds(eventKey(nil, s.stream, s.next), eventKey(nil, s.stream, s.to))
	if s.buf == nil {
		s.buf = make([]Event, 0, 16)
	}
	s.chunk = s.buf[:0]
	size := 0
	for valid := it.First(); valid && len(s.chunk) < chunkEvents && size < chunkBytes; valid = it.Next() {
		value := it.Value()
		ev, n, err := decodeEvent(it.Key(), value)
		if err != nil {
			return err
		}
		ev.Message = string(value[n:])
		size += len(ev.Message)
		s.chunk = append(s.chunk, ev)
	}
	s.buf = s.chunk
	return it.Error()
}

type mergeHeap []*source

func (h mergeHeap) Len() int           { return len(h) }
func (h mergeHeap) Less(i, j int) bool { return h[i].position().Less(h[j].position()) }
func (h mergeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)        { *h = append(*h, x.(*source)) }
func (h *mergeHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
