package samples

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// Trim deletes the days that are wholly older than the retention, and the series that have no other.
func (e *Engine) Trim(now time.Time) error {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.db == nil {
		return ErrClosed
	}
	first := uint32(max(now.Add(-e.cfg.Retention).UnixMilli(), 0) / dayMillis) // the oldest day that stays
	b := e.db.NewBatch()
	_ = b.DeleteRange([]byte{valuePrefix}, binary.BigEndian.AppendUint32([]byte{valuePrefix}, first), nil) // fails never: the batch is in memory
	e.mu.Lock()
	for base, units := range e.series {
		kept := slices.DeleteFunc(slices.Clone(units), func(s *series) bool {
			if s.day >= first {
				return false
			}
			_ = b.Delete(s.key(), nil)
			if e.count[s.place]--; e.count[s.place] == 0 {
				delete(e.count, s.place)
			}
			return true
		})
		switch {
		case len(kept) == 0:
			delete(e.series, base)
		case len(kept) < len(units):
			e.series[base] = kept
		}
	}
	err := e.apply(b)
	e.mu.Unlock()
	if err == nil {
		err = e.wait(b)
	}
	if err != nil {
		return fmt.Errorf("delete old metrics: %w", err)
	}
	return nil
}
