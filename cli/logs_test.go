package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// line is an event whose ID is its message.
func line(id string, second int) LogLine {
	return LogLine{id: id, Message: id, Time: time.Unix(int64(second), 0)}
}

func messages(lines []LogLine) string {
	var all []string
	for _, l := range lines {
		all = append(all, l.Message)
	}
	return strings.Join(all, " ")
}

func TestFollowerHandsOutEachLineOnce(t *testing.T) {
	var f Follower
	for i, step := range []struct {
		lines []LogLine
		want  string
	}{
		{nil, ""},
		{[]LogLine{line("a", 100), line("b", 101)}, "a b"},
		{[]LogLine{line("a", 100), line("b", 101), line("c", 102)}, "c"},
		{[]LogLine{line("late", 95), line("c", 102)}, "late"},
		{[]LogLine{line("late", 95), line("c", 102)}, ""},
		{[]LogLine{line("same time", 102)}, "same time"},
	} {
		if got := messages(f.New(step.lines)); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

func TestFollowerAsksAgainForTheTimeInWhichLinesMayArriveLate(t *testing.T) {
	var f Follower
	start := time.Unix(50, 0)
	if got := f.Since(start); !got.Equal(start) {
		t.Errorf("the first question starts at %v", got)
	}
	f.New([]LogLine{line("a", 55)})
	if got := f.Since(start); !got.Equal(start) {
		t.Errorf("a question starts at %v, before the start", got)
	}
	f.New([]LogLine{line("b", 200)})
	if got, want := f.Since(start), time.Unix(200, 0).Add(-overlap); !got.Equal(want) {
		t.Errorf("the next question starts at %v, want %v", got, want)
	}
	if got := f.Since(time.Time{}); !got.Equal(time.Unix(200, 0).Add(-overlap)) {
		t.Errorf("without a start the next question starts at %v", got)
	}
}

func TestFollowerForgetsWhatNoQuestionReaches(t *testing.T) {
	var f Follower
	for second := range 1000 {
		f.New([]LogLine{line(fmt.Sprint(second), second)})
	}
	if limit := int(2*overlap/time.Second) + 1; len(f.seen) > limit {
		t.Errorf("remembers %d lines, at most %d can be asked for again", len(f.seen), limit)
	}
}
