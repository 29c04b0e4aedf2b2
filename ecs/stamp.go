package ecs

import (
	"time"

	"berth/aws"
)

// Millis is a moment in milliseconds since the epoch, the resolution of the ECS API. Zero means never.
type Millis int64

// MillisOf converts; the zero time becomes zero.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time converts back, in UTC; zero becomes the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// wire is the moment as the API shows it; nil for never.
func (m Millis) wire() *aws.Time {
	if m == 0 {
		return nil
	}
	return aws.NewTime(m.Time())
}
