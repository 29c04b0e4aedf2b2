package main

import (
	"fmt"
	"io"
	"time"
)

// report prints tables as they are filled.
type report struct{ out io.Writer }

func (r *report) section(title, note string, columns ...string) {
	fmt.Fprintf(r.out, "\n## %s\n\n", title)
	if note != "" {
		fmt.Fprintf(r.out, "%s\n\n", note)
	}
	r.row(columns...)
	line := "|"
	for range columns {
		line += "---|"
	}
	fmt.Fprintln(r.out, line)
}

func (r *report) row(cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(r.out, "| %s ", c)
	}
	fmt.Fprintln(r.out, "|")
}

func (r *report) note(format string, args ...any) { fmt.Fprintf(r.out, "\n"+format+"\n", args...) }

// times prints a row of medians: Berth, the baseline, the ratio and what it should be below.
func (r *report) times(name string, ours, bare []time.Duration, aim float64) {
	ratio := float64(median(ours)) / float64(max(1, median(bare)))
	r.row(name, spread(ours), spread(bare), fmt.Sprintf("%.2f", ratio), fmt.Sprint(len(ours)), verdict(aim, ratio < aim))
}

func verdict(aim float64, met bool) string {
	if aim == 0 {
		return ""
	}
	text := "missed"
	if met {
		text = "met"
	}
	return fmt.Sprintf("< %.1f: %s", aim, text)
}
