package aws

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Time is a point in time on the wire. JSON has it as epoch seconds with a millisecond fraction; input may also be an
// ISO 8601 string, as some clients send it.
type Time struct{ time.Time }

// NewTime returns t in UTC.
func NewTime(t time.Time) *Time { return &Time{t.UTC()} }

// maxEpoch is the end of the year 9999, the last second that ISO 8601 writes with four digits.
const maxEpoch = 253402300799

// MarshalJSON writes the number of seconds since the epoch, with at most three decimals.
func (t Time) MarshalJSON() ([]byte, error) {
	ms := t.UnixMilli()
	out := strconv.AppendInt(nil, ms/1000, 10)
	frac := ms % 1000
	if frac == 0 {
		return out, nil
	}
	if frac < 0 {
		if ms/1000 == 0 {
			out = append([]byte{'-'}, out...)
		}
		frac = -frac
	}
	out = append(out, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for out[len(out)-1] == '0' {
		out = out[:len(out)-1]
	}
	return out, nil
}

// UnmarshalJSON takes epoch seconds or an ISO 8601 string.
func (t *Time) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		parsed, err := ParseTime(s)
		if err != nil {
			return err
		}
		*t = *parsed
		return nil
	}
	seconds, err := strconv.ParseFloat(string(data), 64)
	if err != nil || math.Abs(seconds) > maxEpoch {
		return fmt.Errorf("%s is not a time", data)
	}
	*t = *NewTime(time.UnixMilli(int64(math.Round(seconds * 1000))))
	return nil
}

// ParseTime reads an ISO 8601 time, with or without fraction and zone (UTC if absent), or epoch seconds.
func ParseTime(s string) (*Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05Z0700", "2006-01-02"} {
		if parsed, err := time.Parse(layout, s); err == nil {
			return NewTime(parsed), nil
		}
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > maxEpoch {
		return nil, fmt.Errorf("%q is not a time", s)
	}
	return NewTime(time.UnixMilli(int64(math.Round(seconds * 1000)))), nil
}

// ISO8601 is the form of times in XML answers: UTC with milliseconds.
func (t Time) ISO8601() string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
