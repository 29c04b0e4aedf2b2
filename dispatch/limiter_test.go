package dispatch

import (
	"testing"
	"time"
)

func TestTasksOfAPlaceShareALimit(t *testing.T) {
	l, now := newLimiter(protectionRate, protectionBurst), time.Unix(1_900_000_000, 0)
	count := func(place string, now time.Time) (allowed int) {
		for range 2 * protectionBurst {
			if l.allow(place, now) {
				allowed++
			}
		}
		return allowed
	}
	for _, row := range []struct {
		place string
		after time.Duration
		want  int
	}{{"1/eu", 0, 200}, {"1/eu", 0, 0}, {"2/eu", 0, 200}, {"1/eu", time.Second, 80}, {"2/eu", time.Minute, 200}} {
		if got := count(row.place, now.Add(row.after)); got != row.want {
			t.Errorf("%s after %s: %d allowed, want %d", row.place, row.after, got, row.want)
		}
	}
}
