package events

import (
	"encoding/binary"
	"errors"
	"math"
)

const (
	eventPrefix  = 'e'
	totalsPrefix = 's'
	eventKeyLen  = 1 + 8 + 8 + 8
)

// Position is a place between events: just before the event with this timestamp (ms since the epoch) and sequence.
type Position struct {
	Timestamp int64
	Seq       uint64
}

// At is the position before all events of the timestamp.
func At(timestamp int64) Position { return Position{Timestamp: timestamp} }

// End is after every event.
var End = Position{Timestamp: math.MaxInt64, Seq: math.MaxUint64}

// Less says whether p comes before q.
func (p Position) Less(q Position) bool {
	return p.Timestamp < q.Timestamp || p.Timestamp == q.Timestamp && p.Seq < q.Seq
}

// Event is one stored log event. Times are in milliseconds since the epoch.
type Event struct {
	Stream    uint64
	Timestamp int64
	Ingestion int64
	Seq       uint64
	Message   string
}

// Before is the position just before the event, After the one behind it.
func (e Event) Before() Position { return Position{e.Timestamp, e.Seq} }
func (e Event) After() Position  { return Position{e.Timestamp, e.Seq + 1} }

// Overhead is what one event counts beside its message, in bytes, here as at AWS.
const Overhead = 26

// Size is what the event counts against limits and in stored bytes.
func (e Event) Size() int { return len(e.Message) + Overhead }

func eventKey(dst []byte, stream uint64, p Position) []byte {
	dst = append(dst, eventPrefix)
	dst = binary.BigEndian.AppendUint64(dst, stream)
	dst = binary.BigEndian.AppendUint64(dst, uint64(max(p.Timestamp, 0)))
	return binary.BigEndian.AppendUint64(dst, p.Seq)
}

// streamEnd is the first key behind all events of the stream.
func streamEnd(dst []byte, stream uint64) []byte {
	dst = append(dst, eventPrefix)
	dst = binary.BigEndian.AppendUint64(dst, stream)
	return append(dst, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

func totalsKey(stream uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{totalsPrefix}, stream)
}

var errCorrupt = errors.New("log event record is damaged")

// appendValue encodes ingestion time (as its distance from the event's time) and message.
func appendValue(dst []byte, e *Event) []byte {
	dst = binary.AppendVarint(dst, e.Ingestion-e.Timestamp)
	return append(dst, e.Message...)
}

// decodeEvent reads all of an event but its message, which is value[n:].
func decodeEvent(key, value []byte) (e Event, n int, err error) {
	if len(key) != eventKeyLen || key[0] != eventPrefix {
		return e, 0, errCorrupt
	}
	e.Stream = binary.BigEndian.Uint64(key[1:])
	e.Timestamp = int64(binary.BigEndian.Uint64(key[9:]))
	e.Seq = binary.BigEndian.Uint64(key[17:])
	lag, n := binary.Varint(value)
	if n <= 0 {
		return e, 0, errCorrupt
	}
	e.Ingestion = e.Timestamp + lag
	return e, n, nil
}
