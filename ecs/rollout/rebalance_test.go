package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (r Rebalancing) text() string {
	var out []string
	if len(r.Start) > 0 {
		out = append(out, "start="+strings.Join(r.Start, ","))
	}
	if len(r.Stop) > 0 {
		out = append(out, "stop="+strings.Join(r.Stop, ","))
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{r.Off, "off"}, {r.Balanced, "balanced"}, {r.Guarded, "guarded"}} {
		if flag.on {
			out = append(out, flag.name)
		}
	}
	return strings.Join(out, " ")
}

// zoned reads tasks as parse does; what follows @ is the zone.
func zoned(text string) []Task {
	out := parse(text)
	for i := range out {
		out[i].Zone, out[i].Instance = out[i].Instance, ""
		out[i].Created = out[i].Created.Add(time.Duration(i) * time.Second)
	}
	return out
}

func TestRebalance(t *testing.T) {
	for _, row := range []struct{ name, svc, tasks, want string }{
		{"equal", "3 200", "2h@a 2h@b 2h@c", "balanced"},
		{"one more is equal", "4 200", "2h@a 2h@a 2h@b 2h@c", "balanced"},
		{"two more are not", "4 200", "2h@a 2h@a 2h@b 2h@b", "start=c"},
		{"as many as are to be moved", "6 200", "2h@a 2h@a 2h@a 2h@a 2h@a 2h@a", "start=b,c,b,c"},
		{"no more than the maximum", "6 120", "2h@a 2h@a 2h@a 2h@a 2h@a 2h@a", "start=b"},
		{"none if the maximum leaves no room", "3 125", "2h@a 2h@a 2h@a", ""},
		{"waits for a task that settles", "4 200", "2h@a 2h@a 2h@b 2s@b", ""},
		{"not while one is missing", "4 200", "2h@a 2h@a 2h@a", "off"},
		{"not in a deployment", "4 200", "1h@a 2h@a 2h@a 2h@a", "off"},
		{"not while one is unhealthy", "4 200", "2U@a 2h@a 2h@a 2h@a", "off"},
		{"not while a machine is emptied", "4 200", "2hd@a 2h@a 2h@a 2h@a", "off"},
		{"not while a machine is lost", "4 200 moving", "2hL@a 2h@a 2h@a 2h@b", "off"},
		{"not while tasks are to be scaled in", "1 200", "2h@a 2h@a", "off"},
		{"tasks that stop count for nothing", "3 200", "2x@a 2x@a 2h@a 2h@b 2h@c", "balanced"},
		{"nothing stops before the new ones are healthy", "4 200 moving", "2h@a 2h@a 2h@b 2h@b 2s@c", ""},
		{"then it stops where there are most", "4 200 moving", "2h@a 2h@a 2h@a 2h@b 2h@c", "stop=0:2h"},
		{"one for each that is healthy", "6 200 moving", "2h@a 2h@a 2h@a 2h@a 2h@a 2h@a 2h@b 2s@c", "stop=0:2h"},
		{"protected tasks stay", "4 200 moving", "2h!@a 2h@a 2h@a 2h@b 2h@c", "stop=1:2h"},
		{"if all that could be moved are protected", "4 200", "2h!@a 2h!@a 2h!@a 2h@b", "guarded"},
		{"if all became protected meanwhile", "2 200 moving", "2h!@a 2h!@a 2h!@b", "guarded"},
		{"a full zone is passed over", "4 200 full", "2h@a 2h@a 2h@a 2h@a", "start=b,b"},
		{"nothing to do for a failed deployment", "4 200 halted", "2h@a 2h@a 2h@a 2h@a", "off"},
		{"nor for none", "0 200", "", "off"},
	} {
		s := Service{Primary: "2", MinPercent: 100}
		_, _ = fmt.Sscan(row.svc, &s.Desired, &s.MaxPercent)
		s.Halted = strings.Contains(row.svc, "halted")
		full := map[string]bool{"c": strings.Contains(row.svc, "full")}
		got := Rebalance(s, []string{"a", "b", "c"}, full, strings.Contains(row.svc, "moving"), zoned(row.tasks))
		if got.text() != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got.text(), row.want)
		}
	}
	if got := Rebalance(Service{Primary: "2", Desired: 2, MaxPercent: 200}, nil, nil, false, zoned("2h@a 2h@a")); !got.Off {
		t.Errorf("without a zone: %+v", got)
	}
}

// TestRebalancingLaws: never above the maximum, never less healthy than desired, and balanced in the end.
func TestRebalancingLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		zones := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(rt, "zones")]
		s := Service{Primary: "2", Desired: rapid.IntRange(1, 12).Draw(rt, "desired"), MinPercent: rapid.IntRange(0, 100).Draw(rt, "min")}
		s.MaxPercent = 100 + rapid.IntRange(1, 100).Draw(rt, "more")
		most := MaxRunning(s.Desired, s.MaxPercent)
		var tasks []Task
		add := func(zone string, h Health) {
			tasks = append(tasks, Task{ID: fmt.Sprint(len(tasks)), Deployment: "2", Running: true, Health: h, Zone: zone, Created: noon.Add(time.Duration(len(tasks)))})
		}
		for range s.Desired {
			add(rapid.SampledFrom(zones).Draw(rt, "zone"), Healthy)
		}
		moving := false
		for range 100 {
			r := Rebalance(s, zones, nil, moving, tasks)
			if r.Off {
				rt.Fatalf("off: %+v", tasks)
			}
			if r.Balanced {
				return
			}
			if len(r.Start) == 0 && len(r.Stop) == 0 && most == s.Desired {
				return // no room
			}
			moving = true
			for _, id := range r.Stop {
				for i := range tasks {
					if tasks[i].ID == id {
						tasks[i].Stopping = true
					}
				}
			}
			for _, z := range r.Start {
				add(z, Settling)
			}
			healthy := count(tasks, func(t Task) bool { return !t.Stopping && t.Health == Healthy })
			total := count(tasks, func(t Task) bool { return !t.Stopping })
			if total > most || healthy < s.Desired {
				rt.Fatalf("%d tasks, at most %d; %d healthy, at least %d", total, most, healthy, s.Desired)
			}
			for i := range tasks {
				if tasks[i].Health == Settling && rapid.Bool().Draw(rt, "healthy") {
					tasks[i].Health = Healthy
				}
			}
		}
		rt.Fatalf("does not end: %+v", tasks)
	})
}
