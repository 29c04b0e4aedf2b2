package samples

import (
	"context"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"berth/agent/proto"
)

// ahead is how far in the future a sample may be. Source: CloudWatch API reference, PutMetricData.
const ahead = 2 * time.Hour

// PutMetrics keeps what a source has counted, as of now. See Put.
func (e *Engine) PutMetrics(_ context.Context, account, region, source string, batch proto.MetricBatch) error {
	return e.Put(account, region, source, batch.Samples, time.Now())
}

// Put keeps samples of one source (a machine, by a name that only it has) and returns when they are on disk. Dropped and
// counted are: samples that are not of one whole minute, are older than the retention or more than two hours ahead of now,
// are not sound numbers, or belong to a series for which there is no room.
func (e *Engine) Put(account, region, source string, samples []proto.MetricSample, now time.Time) error {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.db == nil {
		return ErrClosed
	}
	if err := e.room(int64(len(samples)) * 256); err != nil {
		return err
	}
	b := e.db.NewBatch()
	e.mu.Lock()
	changed, newest := e.fill(b, account, region, source, samples, now)
	if len(changed) == 0 {
		e.mu.Unlock()
		return b.Close()
	}
	err := e.apply(b)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if err := e.wait(b); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.newest = max(e.newest, newest)
	for s, day := range changed {
		s.durable = s.durable || s.day == day
	}
	return nil
}

// fill puts samples into a batch, with the records of their series that are not on disk. It gives the series with the days that
// the batch leaves them with, and the newest minute. e.mu is held.
func (e *Engine) fill(b *pebble.Batch, account, region, source string, samples []proto.MetricSample, now time.Time) (map[*series]uint32, int64) {
	changed, newest := map[*series]uint32{}, int64(0)
	oldest, latest := now.Add(-e.cfg.Retention).UnixMilli(), now.Add(ahead).UnixMilli()
	var key, value []byte
	for _, m := range samples {
		var s *series
		if sound(m, source) && m.At >= oldest && m.At <= latest {
			s = e.find(account, region, Metric{m.Namespace, m.Name, m.Dimensions}, m.Unit)
		}
		if s == nil {
			e.dropped++
			continue
		}
		if day := uint32(m.At / dayMillis); day > s.day {
			s.day, s.durable = day, false
		}
		key, value = valueKey(key[:0], s.id, m.At, source), appendNumbers(value[:0], numbers{m.Sum, m.Count, m.Min, m.Max})
		_ = b.Set(key, value, nil) // fails never: the batch is in memory
		changed[s], newest = s.day, max(newest, m.At)
	}
	for s := range changed {
		if !s.durable {
			_ = b.Set(s.key(), s.value(), nil)
		}
	}
	return changed, newest
}

// sound says whether a sample can be kept.
func sound(m proto.MetricSample, source string) bool {
	text := []string{source, m.Namespace, m.Name, m.Unit}
	for k, v := range m.Dimensions {
		text = append(text, k, v)
	}
	for _, s := range text {
		if strings.Contains(s, separator) {
			return false
		}
	}
	for _, f := range []float64{m.Sum, m.Count, m.Min, m.Max} {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return source != "" && m.Namespace != "" && m.Name != "" && m.Period == minuteMillis/1000 && m.At > 0 && m.At%minuteMillis == 0 &&
		m.Count > 0 && m.Min <= m.Max
}

// numbers are what is kept of one minute.
type numbers struct{ sum, count, min, max float64 }

func appendNumbers(dst []byte, n numbers) []byte {
	for _, f := range []float64{n.sum, n.count, n.min, n.max} {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
	}
	return dst
}

func decodeNumbers(v []byte) (n numbers, err error) {
	if len(v) != valueLen {
		return n, errDamaged
	}
	at := func(i int) float64 { return math.Float64frombits(binary.BigEndian.Uint64(v[8*i:])) }
	return numbers{at(0), at(1), at(2), at(3)}, nil
}
