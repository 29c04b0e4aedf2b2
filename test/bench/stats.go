package main

import (
	"fmt"
	"slices"
	"time"
)

// at returns the value below which the share p of the values lies.
func at[T int | float64 | time.Duration](values []T, p float64) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(len(s)-1, int(p*float64(len(s))))]
}

func median[T int | float64 | time.Duration](values []T) T { return at(values, 0.5) }

func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// spread is the median with the 10th and 90th percentile.
func spread(d []time.Duration) string {
	return fmt.Sprintf("%s (%s to %s)", milliseconds(median(d)), milliseconds(at(d, 0.1)), milliseconds(at(d, 0.9)))
}

func rate(perSecond float64) string { return fmt.Sprintf("%.0f/s", perSecond) }

func mebibytes(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }
