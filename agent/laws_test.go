package agent

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	ecs "berth/api/ecs"
)

// TestTaskLaws plays random tasks through random events and checks after every step what must always hold:
// statuses never go back, no container starts before what it depends on, none is stopped before those that depend on
// it, nothing is stopped without a cause, and a task that is told to stop ends with nothing left.
func TestTaskLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(drawDefinition(rt))
		rank := 0
		s.observe = func(a action) { checkAction(rt, s, a) }
		for range rapid.IntRange(1, 25).Draw(rt, "events") {
			event := drawEvent(rt, len(s.t.Containers))
			s.play(rt, event)
			if now := order(s.t.Status); now < rank {
				rt.Fatalf("status went back to %s after %s", s.t.Status, event)
			} else {
				rank = now
			}
			if rapid.IntRange(0, 9).Draw(rt, "crash") == 0 {
				restartAgent(rt, s)
			}
		}
		s.fail = map[string]bool{}
		for a := range s.slow {
			delete(s.slow, a)
		}
		for a := range s.t.busy {
			s.perform(a)
		}
		s.play(rt, "stop")
		s.after(20 * time.Minute)
		if s.t.Status != statusStopped || len(s.runs) > 0 {
			rt.Fatalf("told to stop, but %s and running: %v", s.end(), s.runs)
		}
	})
}

func checkAction(rt *rapid.T, s *sim, a action) {
	switch a.Do {
	case doStart:
		c := s.t.container(a.Container)
		for _, d := range s.t.dependencies(a.Container) {
			on := s.t.container(d.on)
			ok := on.Ran
			if d.condition == ecs.ContainerConditionSuccess || d.condition == ecs.ContainerConditionComplete {
				ok = on.Exit != nil && on.Exit.Known && (d.condition == ecs.ContainerConditionComplete || on.Exit.Code == 0)
			}
			if !ok && !c.Ran {
				rt.Fatalf("%s started before %s is %s", a.Container, d.on, d.condition)
			}
		}
	case doStop, doKill:
		if s.t.Cause == nil {
			rt.Fatalf("%v without a cause", a)
		}
		for _, d := range s.t.dependants(a.Container) {
			if s.runs[d.Name] && !d.GaveUp {
				rt.Fatalf("%v while %s runs, which depends on it", a, d.Name)
			}
		}
	case doDropContainer:
		if s.t.Cause == nil {
			rt.Fatalf("%v without a cause", a)
		}
		delete(s.runs, a.Container)
	}
}

// restartAgent loses everything but the journal and what really runs.
func restartAgent(rt *rapid.T, s *sim) {
	text, err := json.Marshal(s.t)
	if err != nil {
		rt.Fatal(err)
	}
	back := &task{}
	if err := json.Unmarshal(text, back); err != nil {
		rt.Fatal(err)
	}
	var states []ContainerState
	for _, c := range back.Containers {
		switch {
		case s.runs[c.Name]:
			states = append(states, ContainerState{ID: c.ID, Name: c.Name, Phase: PhaseRunning, StartedAt: c.StartedAt})
		case c.Created && c.Exit != nil && !c.Removed:
			states = append(states, ContainerState{ID: c.ID, Name: c.Name, Phase: PhaseExited, ExitKnown: true, ExitCode: c.Exit.Code})
		case c.Created && !c.Removed:
			states = append(states, ContainerState{ID: c.ID, Name: c.Name, Phase: PhaseCreated})
		}
	}
	before := s.t.Status
	s.t = back
	s.slow = map[string]bool{}
	back.adopt(states, nil, s.now)
	s.settle()
	if order(back.Status) < order(before) {
		rt.Fatalf("status went back from %s to %s over a restart", before, back.Status)
	}
}

func drawDefinition(rt *rapid.T) string {
	n := rapid.IntRange(1, 4).Draw(rt, "containers")
	var parts []string
	for i := range n {
		p := fmt.Sprintf("c%d", i)
		if i > 0 && rapid.Bool().Draw(rt, "optional") {
			p += "-"
		}
		if rapid.Bool().Draw(rt, "check") {
			p += " hc"
		}
		if rapid.Bool().Draw(rt, "restart") {
			p += " restart=60"
		}
		if rapid.Bool().Draw(rt, "limit") {
			p += " start=20"
		}
		for j := i + 1; j < n; j++ {
			if rapid.Bool().Draw(rt, "edge") {
				p += fmt.Sprintf(" >c%d:%s", j, rapid.SampledFrom([]string{"START", "COMPLETE", "SUCCESS", "HEALTHY"}).Draw(rt, "condition"))
			}
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, ";")
}

func drawEvent(rt *rapid.T, n int) string {
	name := fmt.Sprintf("c%d", rapid.IntRange(0, n-1).Draw(rt, "container"))
	return rapid.SampledFrom([]string{
		"go", "+1s", "+45s", "+3m", "hang=" + name, "sick=" + name, "well=" + name, "exit=" + name + ":0", "exit=" + name + ":1",
		"fail=pull:" + name, "fail=create:" + name, "fail=start:" + name, "fail=network:" + name, "fail=remove:" + name, "stop",
	}).Draw(rt, "event")
}
