package samples

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Query asks for the numbers of one metric.
type Query struct {
	Account, Region string
	// Metric is matched exactly: with the same dimensions, no more and no fewer.
	Metric
	// Unit picks numbers of that unit; empty: all, each unit in points of its own.
	Unit string
	// From is rounded down to a minute; minutes that begin at To or later are not asked for.
	From, To time.Time
	// Period is a whole number of minutes, at least one. Points begin at From, From+Period, ...
	Period time.Duration
}

// Point is what was counted in one period, over all sources.
type Point struct {
	Start                              time.Time
	Unit                               string
	SampleCount, Sum, Minimum, Maximum float64
}

// Average is the mean of all values.
func (p Point) Average() float64 { return p.Sum / p.SampleCount }

// Query gives the points that have numbers, by start and unit. It does not depend on the order in which samples came. A metric
// that is not known has no points.
func (e *Engine) Query(q Query) ([]Point, error) {
	if q.Period < time.Minute || q.Period%time.Minute != 0 {
		return nil, fmt.Errorf("query metrics: the period %s is not a whole number of minutes", q.Period)
	}
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.db == nil {
		return nil, ErrClosed
	}
	var asked []series // copies: Put changes the last day
	e.mu.Lock()
	for _, s := range e.series[base(q.Account, q.Region, q.Metric)] {
		if q.Unit == "" || q.Unit == s.unit {
			asked = append(asked, *s)
		}
	}
	e.mu.Unlock()
	var out []Point
	for _, s := range asked {
		points, err := e.read(s, q)
		if err != nil {
			return nil, fmt.Errorf("query metrics: %w", err)
		}
		out = append(out, points...)
	}
	slices.SortStableFunc(out, func(a, b Point) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Unit, b.Unit)) })
	return out, nil
}

// read merges the minutes of one series. Keys are in order of minute and source, so sums are made in the same order always.
func (e *Engine) read(s series, q Query) (out []Point, err error) {
	from := max(q.From.UnixMilli(), 0)
	from -= from % minuteMillis
	to := q.To.UnixMilli() + minuteMillis - 1
	to = min(to-to%minuteMillis, (int64(s.day)+1)*dayMillis)
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{valuePrefix}, UpperBound: []byte{valuePrefix + 1}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.First() {
		return nil, it.Error()
	}
	if len(it.Key()) < valueHead {
		return nil, errDamaged
	}
	oldest := int64(binary.BigEndian.Uint32(it.Key()[1:])) * dayMillis
	for day := max(from-from%dayMillis, oldest); day < to; day += dayMillis {
		end := valueKey(nil, s.id+1, day, "")
		if to < day+dayMillis {
			end = valueKey(nil, s.id, to, "")
		}
		for ok := it.SeekGE(valueKey(nil, s.id, max(from, day), "")); ok && string(it.Key()) < string(end); ok = it.Next() {
			if out, err = merge(out, it, day, from, s.unit, q.Period); err != nil {
				return nil, err
			}
		}
	}
	return out, it.Error()
}

// merge adds the minute at the iterator to the points, the last of which may have its period.
func merge(out []Point, it *pebble.Iterator, day, from int64, unit string, period time.Duration) ([]Point, error) {
	n, err := decodeNumbers(it.Value())
	if err != nil || len(it.Key()) < valueHead {
		return nil, errDamaged
	}
	minute := day + int64(binary.BigEndian.Uint16(it.Key()[13:]))*minuteMillis
	start := time.UnixMilli(from + (minute-from)/period.Milliseconds()*period.Milliseconds()).UTC()
	if last := len(out) - 1; last >= 0 && out[last].Start.Equal(start) {
		p := &out[last]
		p.SampleCount, p.Sum = p.SampleCount+n.count, p.Sum+n.sum
		p.Minimum, p.Maximum = min(p.Minimum, n.min), max(p.Maximum, n.max)
		return out, nil
	}
	return append(out, Point{Start: start, Unit: unit, SampleCount: n.count, Sum: n.sum, Minimum: n.min, Maximum: n.max}), nil
}

// Filter picks metrics. What is empty is not asked for; a metric may have more dimensions than the filter.
type Filter Metric

// List gives the metrics of an account and region that have numbers, ordered by namespace, name and dimensions.
func (e *Engine) List(account, region string, f Filter) []Metric {
	type found struct {
		base   string
		metric Metric
	}
	var all []found
	e.mu.Lock()
	for base, units := range e.series {
		if len(units) > 0 && units[0].place == account+"/"+region && f.takes(units[0].metric) {
			all = append(all, found{base, units[0].metric})
		}
	}
	e.mu.Unlock()
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.base, b.base) })
	out := make([]Metric, 0, len(all))
	for _, one := range all {
		out = append(out, one.metric)
	}
	return out
}

func (f Filter) takes(m Metric) bool {
	if f.Namespace != "" && f.Namespace != m.Namespace || f.Name != "" && f.Name != m.Name {
		return false
	}
	for k, v := range f.Dimensions {
		if got, ok := m.Dimensions[k]; !ok || v != "" && got != v {
			return false
		}
	}
	return true
}
