package agent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

const simArn = "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef"

// sim is a world for one task machine: every action succeeds at once, unless told otherwise.
type sim struct {
	t       *task
	now     time.Time
	fail    map[string]bool // "pull web"
	hang    map[string]bool // containers that ignore the stop signal
	sick    map[string]bool // containers whose check fails
	slow    map[string]bool // actions that do not end until released
	runs    map[string]bool // what really runs
	trace   []string
	observe func(a action)
}

func newSim(def string) *sim {
	return &sim{t: newTask(proto.Task{Arn: simArn, DesiredStatus: "RUNNING"}, parseDefinition(def)), now: epoch,
		fail: map[string]bool{}, hang: map[string]bool{}, sick: map[string]bool{}, slow: map[string]bool{}, runs: map[string]bool{}}
}

// parseDefinition reads "db- hc stop=5; web >db:HEALTHY": containers separated by ";", "-" for not essential.
func parseDefinition(s string) *ecs.TaskDefinition {
	def := &ecs.TaskDefinition{}
	for part := range strings.SplitSeq(s, ";") {
		words := strings.Fields(part)
		name, optional := strings.CutSuffix(words[0], "-")
		c := ecs.ContainerDefinition{Name: &name, Image: new("img"), Essential: new(!optional)}
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			n, _ := strconv.Atoi(value)
			switch {
			case strings.HasPrefix(w, ">"):
				on, cond, _ := strings.Cut(w[1:], ":")
				c.DependsOn = append(c.DependsOn, ecs.ContainerDependency{ContainerName: &on, Condition: ecs.ContainerCondition(cond)})
			case key == "hc":
				c.HealthCheck = &ecs.HealthCheck{Command: []string{"CMD", "ok"}, Interval: new(int32(10)), Retries: new(int32(2))}
			case key == "stop":
				c.StopTimeout = new(int32(n))
			case key == "start":
				c.StartTimeout = new(int32(n))
			case key == "restart":
				c.RestartPolicy = &ecs.ContainerRestartPolicy{Enabled: new(true), RestartAttemptPeriod: new(int32(n)), IgnoredExitCodes: []int32{9}}
			case key == "link":
				c.Links = append(c.Links, value)
			default:
				panic("unknown word " + w)
			}
		}
		def.ContainerDefinitions = append(def.ContainerDefinitions, c)
	}
	return def
}

// settle lets the machine act until it only waits.
func (s *sim) settle() time.Time {
	for range 1000 {
		p := s.t.next(s.now)
		if len(p.Do) == 0 {
			return p.Wake
		}
		for _, a := range p.Do {
			s.t.begin(a, s.now)
		}
		for _, a := range p.Do {
			if !s.slow[a.String()] {
				s.perform(a)
			}
		}
	}
	panic("the machine never comes to rest")
}

func (s *sim) perform(a action) {
	if s.observe != nil {
		s.observe(a)
	}
	switch a.Do {
	case doCreate, doStart, doStop, doKill, doRestart, doDropTask:
		s.trace = append(s.trace, a.String())
	}
	r := result{began: s.now, startedAt: s.now, healthy: !s.sick[a.Container], image: Image{ID: "i"}}
	if s.fail[a.String()] {
		r.err = errors.New("broken")
	}
	if r.err == nil && a.Do == doStart {
		s.runs[a.Container] = true
	}
	s.t.done(a, r, s.now)
	if a.Do == doKill || (a.Do == doStop && !s.hang[a.Container]) {
		code := 143
		if a.Do == doKill {
			code = 137
		}
		s.exit(a.Container, code)
	}
}

func (s *sim) exit(name string, code int) {
	if s.runs[name] {
		delete(s.runs, name)
		s.t.exited(name, ContainerState{ExitCode: code, ExitKnown: true, FinishedAt: s.now}, s.now)
	}
}

// after lets time go by, with the machine woken when it asked for it.
func (s *sim) after(d time.Duration) {
	end := s.now.Add(d)
	for {
		wake := s.settle()
		if wake.IsZero() || wake.After(end) {
			s.now = end
			s.settle()
			return
		}
		s.now = wake
	}
}

// tester is the part that testing.T and rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// play runs a script: "fail=pull:web hang=db sick=db go exit=web:1 stop +30s".
func (s *sim) play(tb tester, script string) {
	tb.Helper()
	for _, w := range strings.Fields(script) {
		key, value, _ := strings.Cut(w, "=")
		target := strings.Replace(value, ":", " ", 1)
		switch {
		case key == "go":
			s.settle()
		case key == "fail":
			s.fail[target] = true
		case key == "slow":
			s.slow[target] = true
		case key == "hang":
			s.hang[value] = true
		case key == "sick":
			s.sick[value] = true
		case key == "well":
			delete(s.sick, value)
		case key == "end": // a slow action ends
			delete(s.slow, target)
			do, name, _ := strings.Cut(target, " ")
			s.perform(action{verb(do), name})
			s.settle()
		case key == "stop":
			s.t.assigned(proto.Task{Arn: simArn, DesiredStatus: "STOPPED", StopCode: "UserInitiated", StoppedReason: "asked"}, nil)
			s.settle()
		case key == "exit":
			name, code, _ := strings.Cut(value, ":")
			n, err := strconv.Atoi(code)
			if err != nil {
				tb.Fatal(err)
			}
			s.exit(name, n)
			s.settle()
		case strings.HasPrefix(w, "+"):
			d, err := time.ParseDuration(w[1:])
			if err != nil {
				tb.Fatal(err)
			}
			s.after(d)
		default:
			tb.Fatalf("unknown word %q", w)
		}
	}
}

// end describes the outcome: status, health if known, stop code, and per container its exit code or reason.
func (s *sim) end() string {
	out := []string{s.t.Status}
	if s.t.Health != unknown {
		out = append(out, s.t.Health)
	}
	if s.t.Cause != nil {
		out = append(out, s.t.Cause.Code)
	}
	for _, c := range s.t.report().Containers {
		switch {
		case c.ExitCode != nil:
			out = append(out, fmt.Sprintf("%s=%d", c.Name, *c.ExitCode))
		case c.Reason != "":
			name, _, _ := strings.Cut(c.Reason, ":")
			out = append(out, c.Name+"="+name)
		}
		if c.RestartCount > 0 {
			out = append(out, fmt.Sprintf("%s restarts=%d", c.Name, c.RestartCount))
		}
	}
	return strings.Join(out, ", ")
}

func (s *sim) actions() string { return strings.Join(s.trace, ", ") }
