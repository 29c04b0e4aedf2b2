package samples

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

const (
	seriesPrefix = 'm'
	valuePrefix  = 'v'
	dayMillis    = 24 * 60 * 60 * 1000
	minuteMillis = 60 * 1000
	// valueHead is the length of a value's key up to its source.
	valueHead = 1 + 4 + 8 + 2
	valueLen  = 4 * 8
)

var errDamaged = errors.New("a record of metrics is damaged")

// Metric names numbers of one account and region.
type Metric struct {
	Namespace, Name string
	Dimensions      map[string]string
}

// series is one row of numbers.
type series struct {
	place  string // account/region
	metric Metric
	unit   string
	id     uint64
	day    uint32 // the last day that has numbers
	// durable says that the record is on disk as it is here. Until then every batch has it, whatever became of the one before.
	durable bool
}

// separator is in no name that is kept.
const separator = "\x00"

// base is the key of a metric's series without their unit.
func base(account, region string, m Metric) string {
	parts := []string{account, region, m.Namespace, m.Name}
	for _, k := range slices.Sorted(maps.Keys(m.Dimensions)) {
		parts = append(parts, k, m.Dimensions[k])
	}
	return strings.Join(parts, separator)
}

// key is the key of the series' record.
func (s *series) key() []byte {
	account, region, _ := strings.Cut(s.place, "/")
	return []byte(string(seriesPrefix) + base(account, region, s.metric) + separator + s.unit)
}

func (s *series) value() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, s.id), s.day)
}

// decodeSeries reads a record.
func decodeSeries(key, value []byte) (*series, error) {
	parts := strings.Split(string(key[1:]), separator)
	if len(parts) < 5 || len(parts)%2 == 0 || len(value) != 12 {
		return nil, errDamaged
	}
	s := &series{
		place: parts[0] + "/" + parts[1], metric: Metric{Namespace: parts[2], Name: parts[3], Dimensions: map[string]string{}},
		unit: parts[len(parts)-1], id: binary.BigEndian.Uint64(value), day: binary.BigEndian.Uint32(value[8:]), durable: true,
	}
	for i := 4; i < len(parts)-1; i += 2 {
		s.metric.Dimensions[parts[i]] = parts[i+1]
	}
	return s, nil
}

// load reads all series.
func (e *Engine) load() (err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{seriesPrefix}, UpperBound: []byte{seriesPrefix + 1}})
	if err != nil {
		return fmt.Errorf("read the series of metrics: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		s, err := decodeSeries(it.Key(), it.Value())
		if err != nil {
			return err
		}
		account, region, _ := strings.Cut(s.place, "/")
		e.add(base(account, region, s.metric), s)
	}
	return nil
}

// add makes a series known. e.mu is held, or nobody else has the engine yet.
func (e *Engine) add(base string, s *series) {
	e.series[base] = append(e.series[base], s)
	e.count[s.place]++
	e.next = max(e.next, s.id+1)
}

// find gives the series of a metric and unit, a new one if there is room for it, else nil. e.mu is held.
func (e *Engine) find(account, region string, m Metric, unit string) *series {
	base := base(account, region, m)
	for _, s := range e.series[base] {
		if s.unit == unit {
			return s
		}
	}
	place := account + "/" + region
	if e.count[place] >= e.cfg.MaxSeries {
		return nil
	}
	m.Dimensions = maps.Clone(m.Dimensions)
	s := &series{place: place, metric: m, unit: unit, id: e.next}
	e.add(base, s)
	return s
}

// valueKey is the key of one minute (ms since the epoch) of one source; without a source, the first key of that minute.
func valueKey(dst []byte, series uint64, minute int64, source string) []byte {
	dst = append(dst, valuePrefix)
	dst = binary.BigEndian.AppendUint32(dst, uint32(minute/dayMillis))
	dst = binary.BigEndian.AppendUint64(dst, series)
	dst = binary.BigEndian.AppendUint16(dst, uint16(minute%dayMillis/minuteMillis))
	return append(dst, source...)
}
