package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)

// parse reads tasks: the deployment's number, then p(ending), s(ettling), h(ealthy), u(nhealthy), U(nhealthy after it was
// healthy) or x (stopping), then ! if protected, d if its machine is draining, L if that is lost, @ and the machine.
func parse(text string) (out []Task) {
	for i, f := range strings.Fields(text) {
		f, on, _ := strings.Cut(f, "@")
		t := Task{ID: fmt.Sprintf("%d:%s", i, f), Deployment: f[:1], Instance: on, Running: f[1] != 'p', Created: noon.Add(-time.Hour)}
		t.Protected, t.Draining, t.Lost = strings.Contains(f, "!"), strings.Contains(f, "d"), strings.Contains(f, "L")
		switch f[1] {
		case 'h':
			t.Health, t.Proven = Healthy, true
		case 'u':
			t.Health = Unhealthy
		case 'U':
			t.Health, t.Proven = Unhealthy, true
		case 'x':
			t.Stopping = true
		}
		out = append(out, t)
	}
	return out
}

func (p Plan) text() string {
	var out []string
	if p.Start > 0 {
		out = append(out, fmt.Sprint("start=", p.Start))
	}
	if p.StartOn != nil {
		out = append(out, "on="+strings.Join(p.StartOn, ","))
	}
	var stops []string
	for _, s := range p.Stop {
		_, name, _ := strings.Cut(s.ID, ":")
		switch s.Reason {
		case FailedAny:
			name += "(checks)"
		case Lost:
			name += "(lost)"
		}
		stops = append(stops, name)
	}
	slices.Sort(stops)
	if len(stops) > 0 {
		out = append(out, "stop="+strings.Join(stops, ","))
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{p.Steady, "steady"}, {p.Blocked, "blocked"}, {p.Guarded, "guarded"}, {p.Paused, "paused"}} {
		if flag.on {
			out = append(out, flag.name)
		}
	}
	return strings.Join(out, " ")
}

func TestReplicas(t *testing.T) {
	for _, row := range []struct{ name, svc, tasks, want string }{
		{"starts what is missing", "3 100 200", "", "start=3"},
		{"rests when all are healthy", "2 100 200", "2h 2h", "steady"},
		{"is not steady while a task settles", "2 100 200", "2h 2s", ""},
		{"replaces what stopped", "3 100 200", "2h 2h 2x", "start=1"},
		{"tasks that drain count for nothing", "2 100 100", "1x 1x 2h 2h", "steady"},
		{"and leave room for their successors", "2 50 100", "1h 1x", "start=1"},
		{"starts new ones before old ones stop", "3 100 200", "1h 1h 1h", "start=3"},
		{"stops an old one for each new one that is healthy", "3 100 200", "1h 1h 1h 2h 2s 2p", "stop=1h"},
		{"a settling new one does not count", "3 100 200", "1h 1h 1h 2s 2s 2s", ""},
		{"stops old ones first where the minimum allows it", "4 50 100", "1h 1h 1h 1h", "stop=1h,1h"},
		{"fills the room that was made", "4 50 100", "1h 1h 1x 1x", "start=2"},
		{"the minimum is rounded up", "3 50 100", "1h 1h 1h", "stop=1h"},
		{"the maximum is rounded down", "3 100 150", "1h 1h 1h", "start=1"},
		{"pending old ones are of no use", "2 100 200", "1p 1h 2p", "start=1 stop=1p"},
		{"settling old ones still serve", "2 100 200", "1s 1s", "start=2"},
		{"settling old ones go before healthy ones", "2 100 200", "1h 1s 2h 2s", "stop=1s"},
		{"no step is possible: blocked", "3 100 100", "1h 1h 1h", "blocked"},
		{"125 % of 3 is 3: blocked", "3 100 125", "1h 1h 1h", "blocked"},
		{"scale-in stops pending ones first", "1 100 200", "2h 2p 2s", "stop=2p,2s"},
		{"scale to 0 stops all", "0 100 200", "2h 2h 2p", "stop=2h,2h,2p"},
		{"0 is steady without tasks", "0 100 200", "", "steady"},
		{"protected tasks stay at scale-in", "1 100 200", "2h! 2h", "stop=2h"},
		{"more protected ones than wanted", "1 100 200", "2h! 2h!", "guarded"},
		{"protected old tasks stay in a deployment", "1 0 200", "1h! 2h", ""},
		{"an unhealthy task that was healthy is replaced first", "2 100 200", "2h 2U", "start=1"},
		{"and stopped when its successor is healthy", "2 100 200", "2h 2h 2U", "stop=2U(checks)"},
		{"or before if there is no room", "2 50 100", "2h 2U", "stop=2U(checks)"},
		{"all of them are replaced first", "3 100 200", "2U 2U 2U", "start=3"},
		{"and stay while their successors fail", "3 100 200", "2U 2U 2U 2u 2u 2u", "stop=2u(checks),2u(checks),2u(checks)"},
		{"and while their successors stop", "3 100 200 pause", "2U 2U 2U 2x 2x 2x", "paused"},
		{"each goes when one successor is healthy", "3 100 150", "2h 2U 2U 2U", "stop=2U(checks)"},
		{"and not while it settles", "3 100 150", "2s 2U 2U 2U", ""},
		{"where there is no room, it is made for one", "3 100 100", "2U 2U 2U", "stop=2U(checks)"},
		{"or for as many as the minimum allows", "4 50 100", "2U 2U 2U 2U", "stop=2U(checks),2U(checks)"},
		{"and no more while a successor settles", "3 100 100", "2s 2U 2U", ""},
		{"or has failed", "3 100 100", "2u 2U 2U", "stop=2u(checks)"},
		{"a task that never was healthy is stopped at once", "2 100 200", "2h 2u", "start=1 stop=2u(checks)"},
		{"protection does not save an unhealthy task", "2 100 200", "2h 2u!", "start=1 stop=2u!(checks)"},
		{"a draining machine is left in the order of a deployment", "2 100 200", "2hd 2h", "start=1"},
		{"its task goes when the successor is healthy", "2 100 200", "2hd 2h 2h", "stop=2hd"},
		{"its pending task goes at once", "2 100 200", "2pd 2h", "start=1 stop=2pd"},
		{"a draining machine at 100/100 is blocked", "1 100 100", "2hd", "blocked"},
		{"a failed deployment starts nothing and old tasks stay", "3 100 200 halted", "1h 1h 1h 2s", ""},
		{"a failed deployment can be scaled in", "1 100 200 halted", "1h 1h", "stop=1h"},
		{"and its own keep on that are unhealthy, as nothing comes in their place", "3 100 100 halted", "2h 2U 2U", ""},
		{"tasks of a lost machine are replaced", "2 100 200", "2h 2hL", "start=1 stop=2hL(lost)"},
		{"and serve nobody while old ones stop", "2 100 200", "1h 1h 2h 2hL", "stop=1h,2hL(lost)"},
		{"an ending service stops all but protected ones", "0 100 200 ending", "2h 2p 2h!", "stop=2h,2p"},
		{"a forced end stops those too", "0 100 200 ending force", "2h!", "stop=2h!"},
		{"waits while tasks keep failing", "2 100 200 pause", "2h", "paused"},
	} {
		s := Service{Primary: "2"}
		_, _ = fmt.Sscan(row.svc, &s.Desired, &s.MinPercent, &s.MaxPercent)
		s.Halted, s.Ending, s.Force = strings.Contains(row.svc, "halted"), strings.Contains(row.svc, "ending"), strings.Contains(row.svc, "force")
		if strings.Contains(row.svc, "pause") {
			s.Pause = Pause{Rounds: 4, Last: noon}
		}
		if got := Decide(noon, s, parse(row.tasks)).text(); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestDaemons(t *testing.T) {
	for _, row := range []struct {
		name           string
		min            int
		machines, have string
		want           string
	}{
		{"one on each machine", 0, "a b", "", "start=2 on=a,b"},
		{"a new machine gets one", 0, "a b", "2h@a", "start=1 on=b"},
		{"rests", 0, "a b", "2h@a 2h@b", "steady"},
		{"a machine that goes loses its task", 0, "a", "2h@a 2h@b", "stop=2h"},
		{"stops before it starts", 0, "a b", "1h@a 1h@b", "stop=1h,1h"},
		{"as many at a time as the minimum allows", 50, "a b", "1h@a 1h@b", "stop=1h"},
		{"waits for the old one to end", 0, "a", "1x@a", ""},
		{"never two on a machine", 0, "a", "2h@a 2s@a", "stop=2s"},
		{"replaces an unhealthy one", 0, "a", "2U@a", "stop=2U(checks)"},
	} {
		s := Service{Primary: "2", Daemon: true, MinPercent: row.min, MaxPercent: 100, Machines: strings.Fields(row.machines)}
		if got := Decide(noon, s, parse(row.have)).text(); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestScaleInTakesFromTheFullestZone(t *testing.T) {
	var tasks []Task
	for i, zone := range []string{"a", "a", "a", "b", "b", "c"} {
		tasks = append(tasks, Task{ID: zone + fmt.Sprint(i), Deployment: "2", Running: true, Health: Healthy, Spread: []string{zone}})
	}
	var zones []string
	for _, s := range Decide(noon, Service{Primary: "2", Desired: 3, MinPercent: 100, MaxPercent: 200}, tasks).Stop {
		zones = append(zones, s.ID[:1])
	}
	slices.Sort(zones)
	if got := strings.Join(zones, ""); got != "aab" {
		t.Errorf("stopped in zones %s, want aab", got)
	}
}

func TestThresholdOfTheCircuitBreaker(t *testing.T) {
	for _, row := range []struct {
		kind          string
		value         int
		desired, want int
	}{
		{"", 0, 0, 3}, {"", 0, 1, 3}, {"", 0, 6, 3}, {"", 0, 7, 4}, {"", 0, 25, 13}, {"", 0, 400, 200}, {"", 0, 800, 200},
		{BoundedPercent, 10, 100, 10}, {BoundedPercent, 100, 1000, 200}, {UnboundedPercent, 50, 800, 400}, {UnboundedPercent, 10, 1, 1},
		{UnboundedPercent, 50, 0, 1}, {Count, 7, 1000, 7},
	} {
		b := Breaker{Enabled: true, Type: row.kind, Value: row.value}
		if got := b.Threshold(row.desired); got != row.want {
			t.Errorf("%s %d of %d: got %d, want %d", row.kind, row.value, row.desired, got, row.want)
		}
		if b.Tripped(row.want-1, row.desired) || !b.Tripped(row.want, row.desired) {
			t.Errorf("%s %d of %d does not trip exactly at %d", row.kind, row.value, row.desired, row.want)
		}
		if b.Enabled = false; b.Tripped(row.want, row.desired) {
			t.Error("a breaker that is off trips")
		}
	}
}

func TestPauseGrowsOncePerAttempt(t *testing.T) {
	var p Pause
	now := noon
	var waits []string
	for range 13 {
		created := now // the moment of the failure before, when nothing had to be waited for
		now = now.Add(time.Millisecond)
		for range 5 { // tasks of one attempt
			p = p.After(now, created, false)
		}
		wait := max(p.Until().Sub(now), 0)
		waits = append(waits, wait.String())
		now = now.Add(wait)
	}
	want := "0s 1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 8m32s 15m0s 15m0s"
	if got := strings.Join(waits, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p.Ran = true; p.Until().Sub(p.Last) != longestPauseAfterRunning {
		t.Errorf("after running: %s", p.Until().Sub(p.Last))
	}
}

// TestLaws runs deployments with tasks that come up, fail and end at random, and holds every step against the bounds.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := Service{Primary: "2", Desired: rapid.IntRange(0, 12).Draw(rt, "desired"), MinPercent: rapid.IntRange(0, 100).Draw(rt, "min")}
		s.MaxPercent = max(s.MinPercent, 100) + rapid.IntRange(0, 100).Draw(rt, "more")
		least, most := MinHealthy(s.Desired, s.MinPercent), MaxRunning(s.Desired, s.MaxPercent)
		var tasks []Task
		for i := range s.Desired {
			tasks = append(tasks, Task{ID: fmt.Sprint("old", i), Deployment: "1", Running: true, Health: Healthy, Proven: true})
		}
		made := 0
		step := func(faults bool) Plan {
			healthy := count(tasks, func(t Task) bool { return t.Health == Healthy && !t.Stopping })
			p := Decide(noon, s, tasks)
			total := count(tasks, func(t Task) bool { return !t.Stopping }) + p.Start
			if p.Start > 0 && total > most {
				rt.Fatalf("%d tasks, at most %d", total, most)
			}
			stopped := 0
			for _, stop := range p.Stop {
				i := slices.IndexFunc(tasks, func(t Task) bool { return t.ID == stop.ID })
				if tasks[i].Health == Healthy {
					stopped++
				}
				tasks[i].Stopping = true
			}
			if stopped > 0 && healthy-stopped < least {
				rt.Fatalf("%d healthy after stopping %d, at least %d", healthy-stopped, stopped, least)
			}
			for range p.Start {
				made++
				tasks = append(tasks, Task{ID: fmt.Sprint("new", made), Deployment: "2", Created: noon})
			}
			for i := range tasks {
				live(rt, &tasks[i], faults)
			}
			tasks = slices.DeleteFunc(tasks, func(t Task) bool { return t.Stopping && (!faults || rapid.Bool().Draw(rt, "ends")) })
			return p
		}
		for range rapid.IntRange(0, 20).Draw(rt, "steps") {
			step(true)
		}
		for range 12*s.Desired + 10 {
			if p := step(false); p.Steady {
				return
			} else if p.Blocked && s.Desired > 0 && most-s.Desired <= 0 && least >= s.Desired {
				return // neither percentage leaves room
			}
		}
		rt.Fatalf("does not converge: %+v %+v", s, tasks)
	})
}

func count(tasks []Task, which func(Task) bool) (n int) {
	for _, t := range tasks {
		if which(t) {
			n++
		}
	}
	return n
}

// live is a moment in a task's life.
func live(rt *rapid.T, t *Task, faults bool) {
	what := 0
	if faults {
		what = rapid.IntRange(0, 9).Draw(rt, "what")
	}
	switch {
	case t.Stopping:
	case what == 9:
		t.Stopping = true
	case what == 8 && t.Running:
		t.Health = Unhealthy
	case what > 4:
	case !t.Running:
		t.Running = true
	case t.Health == Settling:
		t.Health, t.Proven = Healthy, true
	}
}
