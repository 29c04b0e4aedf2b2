package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is a process's memory in bytes: all that is resident; the same with pages that several processes share, as
// those of the program are, divided among them; and the part that no file stands behind.
type usage struct{ resident, proportional, anonymous float64 }

func (b *berth) usage(kind string) (usage, error) {
	pid, err := b.process(kind)
	if err != nil {
		return usage{}, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return usage{}, err
	}
	defer f.Close()
	var u usage
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "Rss:":
			u.resident = kib * 1024
		case "Pss:":
			u.proportional = kib * 1024
		case "Anonymous:":
			u.anonymous = kib * 1024
		}
	}
	return u, nil
}

func (b *berth) both() (server, agent usage, err error) {
	server, err = b.usage("server")
	agent, err2 := b.usage("agent")
	return server, agent, errors.Join(err, err2)
}

// restAim is what server and agent may use together at rest.
const restAim = 100 << 20

// memoryAtRest waits and reads the memory of a Berth that has nothing to do.
func (b *bench) memoryAtRest(ctx context.Context) error {
	rest := pick(b, 150*time.Second, 15*time.Second) // Go collects what is garbage every two minutes
	b.report.section("Memory at rest", fmt.Sprintf("Memory of the two processes %s after the start, no task. Aim: under 100 MiB together.", rest),
		"", "server", "agent", "together", "aim")
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	s, a, err := b.berth.both()
	if err != nil {
		return err
	}
	state := "missed"
	if s.resident+a.resident < restAim {
		state = "met"
	}
	b.report.row("resident", mebibytes(s.resident), mebibytes(a.resident), mebibytes(s.resident+a.resident), "< 100 MiB: "+state)
	b.report.row("shared pages counted once", mebibytes(s.proportional), mebibytes(a.proportional), mebibytes(s.proportional+a.proportional), "")
	b.report.row("of it not backed by a file", mebibytes(s.anonymous), mebibytes(a.anonymous), mebibytes(s.anonymous+a.anonymous), "")
	return nil
}

// growth is what running tasks cost in memory.
type growth struct {
	server, agent   usage
	servers, agents []float64 // bytes for each task
}

func (g *growth) before(b *berth) (err error) {
	g.server, g.agent, err = b.both()
	return err
}

func (g *growth) after(b *berth, n int) error {
	s, a, err := b.both()
	g.servers = append(g.servers, (s.anonymous-g.server.anonymous)/float64(n))
	g.agents = append(g.agents, (a.anonymous-g.agent.anonymous)/float64(n))
	return err
}

// print takes the largest growth seen: in later rounds memory is used again that was freed before.
func (g *growth) print(r *report) {
	r.note("Memory for 1,000 running tasks, from the growth over %d (anonymous pages, garbage included): server %s, agent %s.",
		scaleTo, mebibytes(1000*at(g.servers, 1)), mebibytes(1000*at(g.agents, 1)))
}
