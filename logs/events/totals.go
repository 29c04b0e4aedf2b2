package events

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Totals is what one stream holds. First and Last are the lowest and highest timestamps, valid when Count > 0.
type Totals struct {
	Group         uint64
	Count         int64
	Bytes         int64
	First, Last   int64
	LastIngestion int64
	lastSeq       uint64
}

// totals is the copy in memory of all "s" records. The committer writes, everyone reads.
type totals struct {
	mu      sync.RWMutex // guards what is below
	streams map[uint64]Totals
	groups  map[uint64]int64 // bytes
}

func newTotals() *totals {
	return &totals{streams: map[uint64]Totals{}, groups: map[uint64]int64{}}
}

// load replaces the copy by what is on disk and returns the highest sequence number.
func (t *totals) load(db *pebble.DB) (last uint64, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{totalsPrefix}, UpperBound: []byte{totalsPrefix + 1}})
	if err != nil {
		return 0, fmt.Errorf("read log stream totals: %w", err)
	}
	streams, groups := map[uint64]Totals{}, map[uint64]int64{}
	for it.First(); it.Valid(); it.Next() {
		if len(it.Key()) != 9 {
			continue
		}
		s, ok := decodeTotals(it.Value())
		if !ok {
			_ = it.Close()
			return 0, fmt.Errorf("read log stream totals: %w", errCorrupt)
		}
		streams[binary.BigEndian.Uint64(it.Key()[1:])] = s
		groups[s.Group] += s.Bytes
		last = max(last, s.lastSeq)
	}
	if err := it.Close(); err != nil {
		return 0, fmt.Errorf("read log stream totals: %w", err)
	}
	t.mu.Lock()
	t.streams, t.groups = streams, groups
	t.mu.Unlock()
	return last, nil
}

func (t *totals) get(stream uint64) (Totals, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s, ok := t.streams[stream]
	return s, ok
}

// apply takes over what a batch changed; nil means that the stream is gone.
func (t *totals) apply(changed map[uint64]*Totals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, s := range changed {
		old, had := t.streams[id]
		if had {
			t.groups[old.Group] -= old.Bytes
		}
		if s == nil {
			delete(t.streams, id)
		} else {
			t.streams[id] = *s
			t.groups[s.Group] += s.Bytes
		}
		if had && t.groups[old.Group] == 0 {
			delete(t.groups, old.Group)
		}
	}
}

// Totals returns what the stream holds; ok is false when nothing was ever written to it.
func (e *Engine) Totals(stream uint64) (s Totals, ok bool) { return e.totals.get(stream) }

// GroupBytes returns the stored bytes of all streams of a group.
func (e *Engine) GroupBytes(group uint64) int64 {
	e.totals.mu.RLock()
	defer e.totals.mu.RUnlock()
	return e.totals.groups[group]
}

const totalsVersion = 1

func (s *Totals) encode() []byte {
	b := []byte{totalsVersion}
	b = binary.BigEndian.AppendUint64(b, s.Group)
	for _, v := range []int64{s.Count, s.Bytes, s.First, s.Last, s.LastIngestion} {
		b = binary.AppendVarint(b, v)
	}
	return binary.AppendUvarint(b, s.lastSeq)
}

func decodeTotals(b []byte) (s Totals, ok bool) {
	if len(b) < 9 || b[0] != totalsVersion {
		return s, false
	}
	s.Group = binary.BigEndian.Uint64(b[1:])
	b = b[9:]
	for _, p := range []*int64{&s.Count, &s.Bytes, &s.First, &s.Last, &s.LastIngestion} {
		v, n := binary.Varint(b)
		if n <= 0 {
			return s, false
		}
		*p, b = v, b[n:]
	}
	v, n := binary.Uvarint(b)
	s.lastSeq = v
	return s, n > 0
}

// add counts one more event.
func (s *Totals) add(e *Event) {
	if s.Count == 0 {
		s.First, s.Last = e.Timestamp, e.Timestamp
	}
	s.First, s.Last = min(s.First, e.Timestamp), max(s.Last, e.Timestamp)
	s.LastIngestion = max(s.LastIngestion, e.Ingestion)
	s.Count++
	s.Bytes += int64(e.Size())
	s.lastSeq = e.Seq
}
