package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStepsOfTheProductionShift(t *testing.T) {
	for _, row := range []struct {
		kind    string
		percent int
		want    string
	}{
		{BlueGreen, 0, "[1000]"}, {Canary, 50, "[50 1000]"}, {Canary, 1, "[1 1000]"}, {Canary, 1000, "[1000]"},
		{Linear, 100, "[100 200 300 400 500 600 700 800 900 1000]"}, {Linear, 400, "[400 800 1000]"}, {Linear, 333, "[333 666 999 1000]"},
		{Linear, 1000, "[1000]"},
	} {
		if got := fmt.Sprint(Steps(row.kind, row.percent)); got != row.want {
			t.Errorf("%s %d: got %s, want %s", row.kind, row.percent, got, row.want)
		}
	}
}

func TestWeightsAreExactAndSmall(t *testing.T) {
	for share := range All + 1 {
		a, b := Weights(share)
		if a < 0 || b < 0 || a > 999 || b > 999 || b*All != share*(a+b) {
			t.Fatalf("share %d: %d and %d", share, a, b)
		}
	}
}

// town is a service in the middle of a deployment. Its tasks become RUNNING and healthy by themselves.
type town struct {
	now    time.Time
	life   Lifecycle
	shift  Shift
	facts  Facts // but for what follows from tasks and hooks
	tasks  []Task
	hooks  map[string][]Hook // by stage
	run    map[string][]Hook // those that were started, by stage and step
	share  int               // production traffic of green
	asked  int               // of test traffic
	log    []string
	made   int
	ended  bool
	broken func(Task) bool // tasks that never become healthy
}

func newTown(kind string, desired int) *town {
	v := &town{
		now: noon, life: Begin(noon, false), hooks: map[string][]Hook{}, run: map[string][]Hook{},
		shift: Shift{Kind: kind, Percent: 200, StepBake: 10 * time.Minute, Bake: 5 * time.Minute, Tested: true},
		facts: Facts{Desired: desired, MinPercent: 100, HasBlue: true},
	}
	for i := range desired {
		v.tasks = append(v.tasks, Task{ID: fmt.Sprint("blue", i), Deployment: "1", Running: true, Health: Healthy, Proven: true})
	}
	return v
}

func (v *town) place() string {
	back := ""
	if v.life.Back {
		back = "back:"
	}
	return fmt.Sprint(back, v.life.Stage, v.life.Step)
}

func (v *town) side(which string) (s Side) {
	for _, t := range v.tasks {
		if t.Deployment != which {
			continue
		}
		if s.Left++; t.Health == Healthy && !t.Stopping {
			s.Healthy++
		}
	}
	return s
}

func (v *town) know() Facts {
	f := v.facts
	f.Green, f.Blue, f.Others = v.side("2"), v.side("1"), v.side("0")
	if f.Hooks = slices.Clone(v.run[v.place()]); f.Hooks == nil {
		for _, h := range v.hooks[v.life.Stage.String()] {
			f.Hooks = append(f.Hooks, Hook{Pause: h.Pause, Continue: h.Continue, Target: h.Target})
		}
	}
	return f
}

// decide is one transaction: a decision on what is stored, and what follows from it.
func (v *town) decide() Move {
	text, _ := json.Marshal(v.life)
	var read Lifecycle
	if err := json.Unmarshal(text, &read); err != nil {
		panic(err)
	}
	f := v.know()
	m := read.Next(v.now, v.shift, f)
	if m.StartHooks {
		hooks := slices.Clone(v.hooks[read.Stage.String()])
		for i := range hooks {
			if hooks[i].State == HookRunning && hooks[i].Expires.IsZero() {
				hooks[i].Expires = v.now.Add(time.Hour)
			}
		}
		v.run[v.place()] = hooks
		v.note("hooks")
	}
	for _, i := range m.Expired {
		v.run[v.place()][i].State = HookTimedOut
	}
	if m.SetProduction {
		v.share = m.Life.Production
		v.note(fmt.Sprint("p", v.share/10))
	}
	if m.SetTest {
		v.asked = m.Life.Test
		v.note(fmt.Sprint("t", v.asked/10))
	}
	if m.Fail != "" {
		v.note("fail: " + strings.TrimPrefix(m.Fail, "Service deployment rolled back "))
	}
	was := v.place()
	v.life, v.ended = m.Life, m.Done || m.RolledBack || m.NotBack
	if v.place() != was {
		v.note(v.life.Stage.String())
	}
	return m
}

func (v *town) note(what string) { v.log = append(v.log, what) }

// scale does what the plans of all revisions say, and lets tasks live.
func (v *town) scale(live func(*Task)) {
	green, blue, others, hold := v.life.Wants(v.facts.Desired)
	if !v.facts.HasBlue {
		blue = 0
	}
	wants := []Want{{Deployment: "2", Desired: green, Halted: hold}, {Deployment: "1", Desired: blue}, {Deployment: "0", Desired: others, Halted: hold}}
	for i, p := range DecideEach(v.now, Service{MinPercent: v.facts.MinPercent, MaxPercent: 200}, wants, v.tasks) {
		for _, stop := range p.Stop {
			at := slices.IndexFunc(v.tasks, func(t Task) bool { return t.ID == stop.ID })
			v.tasks[at].Stopping = true
		}
		for range p.Start {
			v.made++
			v.tasks = append(v.tasks, Task{ID: fmt.Sprint("new", v.made), Deployment: wants[i].Deployment, Created: v.now})
		}
	}
	for i := range v.tasks {
		live(&v.tasks[i])
	}
	v.tasks = slices.DeleteFunc(v.tasks, func(t Task) bool { return t.Stopping })
}

func (v *town) wellBeing(t *Task) {
	t.Running = true
	if v.broken == nil || !v.broken(*t) {
		t.Health, t.Proven = Healthy, true
	}
}

// walk runs until the deployment is over.
func (v *town) walk(each func()) string {
	for range 2000 {
		life, tasks, log := v.life, fmt.Sprint(v.tasks), len(v.log)
		m := v.decide()
		if v.ended {
			last := map[bool]string{true: "done", false: "rolled back"}[m.Done]
			if m.NotBack {
				last = "not back"
			}
			return strings.Join(append(v.log, last), " ")
		}
		v.scale(v.wellBeing)
		if each != nil {
			each()
		}
		if m.Wake > 0 && v.life == life && fmt.Sprint(v.tasks) == tasks && len(v.log) == log {
			v.now = v.now.Add(m.Wake) // nothing else happens before
		}
	}
	return strings.Join(append(v.log, "does not end"), " ")
}

func TestStagesOfEachStrategy(t *testing.T) {
	const before = "SCALE_UP POST_SCALE_UP TEST_TRAFFIC_SHIFT t100 POST_TEST_TRAFFIC_SHIFT PRE_PRODUCTION_TRAFFIC_SHIFT PRODUCTION_TRAFFIC_SHIFT "
	const between = " PRE_PRODUCTION_TRAFFIC_SHIFT PRODUCTION_TRAFFIC_SHIFT "
	const after = " POST_PRODUCTION_TRAFFIC_SHIFT BAKE_TIME CLEAN_UP done"
	for _, row := range []struct {
		name, kind, want string
		took             time.Duration
		change           func(*town)
	}{
		{"blue/green", BlueGreen, before + "p100" + after, 5 * time.Minute, nil},
		{"canary", Canary, before + "p20" + between + "p100" + after, 15 * time.Minute, nil},
		{"linear", Linear, before + "p20" + between + "p40" + between + "p60" + between + "p80" + between + "p100" + after, 45 * time.Minute, nil},
		{"the first deployment has one step", Linear, before + "p100" + after, 5 * time.Minute, func(v *town) { v.facts.HasBlue, v.tasks = false, nil }},
		{"without a test rule", BlueGreen, strings.Replace(before, "t100 ", "", 1) + "p100" + after, 5 * time.Minute, func(v *town) { v.shift.Tested = false }},
		{"a service of no tasks", BlueGreen, before + "p100" + after, 5 * time.Minute, func(v *town) { v.facts.Desired, v.tasks = 0, nil }},
		{"a day of bake time", BlueGreen, before + "p100" + after, 24 * time.Hour, func(v *town) { v.shift.Bake = 24 * time.Hour }},
		{"a day between steps", Canary, before + "p20" + between + "p100" + after, 24*time.Hour + 5*time.Minute, func(v *town) { v.shift.StepBake = 24 * time.Hour }},
		{"an interrupted deployment is cleared away first", BlueGreen, "p0 t0 PRE_SCALE_UP " + before + "p100" + after, 5 * time.Minute, func(v *town) {
			v.life = Begin(noon, true)
			v.tasks = append(v.tasks, Task{ID: "other", Deployment: "0", Running: true, Health: Healthy, Proven: true})
		}},
	} {
		v := newTown(row.kind, 3)
		if row.change != nil {
			row.change(v)
		}
		if got := v.walk(nil); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
		if took := v.now.Sub(noon); took != row.took {
			t.Errorf("%s took %s, want %s", row.name, took, row.took)
		}
	}
}

func TestFailureAtEachStageRollsBack(t *testing.T) {
	at := func(stage Stage, do func(*town)) func(*town) func() {
		return func(v *town) func() {
			return func() {
				if v.life.Stage == stage && !v.life.Back {
					do(v)
				}
			}
		}
	}
	hook := func(stage string, h Hook) func(*town) func() {
		return func(v *town) func() { v.hooks[stage] = []Hook{h}; return nil }
	}
	bad := Hook{State: HookFailed, Why: "Lifecycle hook target http://x returned FAILED status."}
	slow := Hook{State: HookRunning, Target: "http://x"}
	for _, row := range []struct {
		name   string
		set    func(*town) func()
		reason string
		after  string // the failure
	}{
		{"hook before scale-up", hook("PRE_SCALE_UP", bad), "because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target http://x returned FAILED status.", "CLEAN_UP rolled back"},
		{"breaker", at(ScaleUp, func(v *town) { v.facts.Tripped = true }), "because the circuit breaker threshold was exceeded.", "CLEAN_UP rolled back"},
		{"tasks that never are healthy", func(v *town) func() { v.broken = func(t Task) bool { return t.Deployment == "2" }; return nil }, "because the SCALE_UP lifecycle stage lasted longer than 24 hours.", "CLEAN_UP rolled back"},
		{"hook of the test shift", hook("TEST_TRAFFIC_SHIFT", bad), "because TEST_TRAFFIC_SHIFT lifecycle hook(s) failed. Lifecycle hook target http://x returned FAILED status.", "TEST_TRAFFIC_SHIFT t0 hooks CLEAN_UP rolled back"},
		{"pause that nobody ends", hook("POST_TEST_TRAFFIC_SHIFT", Hook{State: HookRunning, Pause: true}), "because POST_TEST_TRAFFIC_SHIFT pause hook timed out.", "TEST_TRAFFIC_SHIFT t0 CLEAN_UP rolled back"},
		{"pause that is rolled back", hook("POST_TEST_TRAFFIC_SHIFT", Hook{State: HookFailed, Pause: true}), "because a rollback was requested at the POST_TEST_TRAFFIC_SHIFT pause hook.", "TEST_TRAFFIC_SHIFT t0 CLEAN_UP rolled back"},
		{"hook that hangs", hook("PRE_PRODUCTION_TRAFFIC_SHIFT", slow), "because PRE_PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed. Lifecycle hook target http://x timed out.", "TEST_TRAFFIC_SHIFT t0 CLEAN_UP rolled back"},
		{"hook of the shift", hook("PRODUCTION_TRAFFIC_SHIFT", bad), "because PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed. Lifecycle hook target http://x returned FAILED status.", "PRODUCTION_TRAFFIC_SHIFT p0 t0 hooks TEST_TRAFFIC_SHIFT p0 t0 CLEAN_UP rolled back"},
		{"request in the shift", at(ProductionShift, func(v *town) { v.facts.Requested = v.share > 0 }), "on request.", "PRODUCTION_TRAFFIC_SHIFT p0 t0 TEST_TRAFFIC_SHIFT p0 t0 CLEAN_UP rolled back"},
		{"alarm in the bake time", at(BakeTime, func(v *town) { v.facts.Alarms = []string{"errors", "slow"} }), "because of alarm(s) in state ALARM: errors, slow.", "PRODUCTION_TRAFFIC_SHIFT p0 t0 TEST_TRAFFIC_SHIFT p0 t0 CLEAN_UP rolled back"},
		{"request in the end, when old tasks are gone", at(CleanUp, func(v *town) { v.facts.Requested = true }), "on request.", "PRODUCTION_TRAFFIC_SHIFT p0 t0 TEST_TRAFFIC_SHIFT p0 t0 CLEAN_UP rolled back"},
		{"a machine that does not follow the test traffic", at(TestShift, func(v *town) { v.facts.Behind = "machine m: HAProxy refuses" }),
			"because traffic did not follow the TEST_TRAFFIC_SHIFT lifecycle stage within 5 minutes: machine m: HAProxy refuses", "TEST_TRAFFIC_SHIFT t0 CLEAN_UP rolled back"},
		{"a machine that does not follow the traffic", at(ProductionShift, func(v *town) { v.facts.Behind = "machine m" }),
			"because traffic did not follow the PRODUCTION_TRAFFIC_SHIFT lifecycle stage within 5 minutes: machine m",
			"PRODUCTION_TRAFFIC_SHIFT p0 t0 TEST_TRAFFIC_SHIFT p0 t0 CLEAN_UP rolled back"},
		{"load balancer", at(PostScaleUp, func(v *town) { v.facts.Broken = ". One or more rules not found" }), "because of invalid networking configuration. One or more rules not found", "CLEAN_UP rolled back"},
	} {
		v := newTown(BlueGreen, 2)
		got := v.walk(row.set(v))
		_, failed, _ := strings.Cut(got, "fail: ")
		failed = strings.TrimPrefix(failed, row.reason)
		if failed = strings.TrimSpace(failed); failed != row.after {
			t.Errorf("%s:\n got %s\nwant …%s %s", row.name, got, row.reason, row.after)
		}
		if v.side("1").Healthy != 2 || v.side("2").Left != 0 || v.share != 0 {
			t.Errorf("%s: in the end %d old tasks, %d new ones, %d of the traffic", row.name, v.side("1").Healthy, v.side("2").Left, v.share)
		}
	}
}

func TestHookThatContinuesOnTimeout(t *testing.T) {
	v := newTown(BlueGreen, 1)
	v.hooks["POST_SCALE_UP"] = []Hook{{State: HookRunning, Pause: true, Continue: true}, {State: HookSucceeded}}
	if got := v.walk(nil); !strings.HasSuffix(got, " done") || v.now.Sub(noon) != time.Hour+5*time.Minute {
		t.Errorf("%s after %s", got, v.now.Sub(noon))
	}
}

func TestPauseMayLastLongerThanAStage(t *testing.T) {
	v := newTown(BlueGreen, 1)
	v.hooks["POST_SCALE_UP"] = []Hook{{State: HookRunning, Pause: true, Expires: noon.Add(72 * time.Hour), Continue: true}}
	if got := v.walk(nil); !strings.HasSuffix(got, " done") {
		t.Error(got)
	}
}

func TestTrafficReturnsWhenTheOldRevisionCanServe(t *testing.T) {
	back := Lifecycle{Stage: ProductionShift, Since: noon, Back: true, Moved: true, Production: 500}
	f := Facts{Desired: 4, MinPercent: 50, HasBlue: true, Green: Side{Healthy: 4, Left: 4}}
	for _, row := range []struct {
		blue, green int
		cleaning    bool
		want        bool
	}{{0, 4, false, false}, {1, 4, false, true}, {0, 0, false, true}, {1, 4, true, false}, {2, 4, true, true}} {
		f.Blue.Healthy, f.Green.Healthy, back.Cleaning = row.blue, row.green, row.cleaning
		if got := back.Next(noon, Shift{Kind: BlueGreen}, f).SetProduction; got != row.want {
			t.Errorf("%+v: got %t", row, got)
		}
	}
	f.Blue.Healthy, f.Green.Healthy = 0, 4
	if !back.Next(noon.Add(stageLimit), Shift{Kind: BlueGreen}, f).SetProduction {
		t.Error("the rollback never ends")
	}
}

// A stage that moves traffic goes on when the traffic has followed, and counts its time from then; a machine that comes to carry traffic
// later changes nothing.
func TestAStageThatMovesTrafficWaitsUntilItFollows(t *testing.T) {
	for _, row := range []struct {
		stage, next Stage
		back        bool
	}{{TestShift, PostTestShift, false}, {ProductionShift, PostProductionShift, false}, {ProductionShift, TestShift, true}, {TestShift, CleanUp, true}} {
		l := Lifecycle{Stage: row.stage, Since: noon, Back: row.back, Moved: true}
		s, f := Shift{Kind: BlueGreen, Tested: true}, Facts{Desired: 1, HasBlue: true, Green: Side{Healthy: 1, Left: 1}, Blue: Side{Healthy: 1, Left: 1}}
		f.Behind = "machine m"
		m := l.Next(noon, s, f)
		if m = m.Life.Next(noon, s, f); m.Life.Stage != row.stage || !m.Life.Awaits() || m.Wake != followLimit {
			t.Errorf("%s: goes to %s, wakes in %s", row.stage, m.Life.Stage, m.Wake)
		}
		late := m.Life.Next(noon.Add(followLimit), s, f)
		if row.back && late.Life.Stage != row.next {
			t.Errorf("a rollback waits for ever in %s", late.Life.Stage)
		}
		f.Behind = ""
		if m = m.Life.Next(noon.Add(time.Second), s, f); m.Life.Stage != row.next {
			t.Errorf("%s: stays in %s", row.stage, m.Life.Stage)
		}
	}
	s, f := Shift{Kind: Canary, Percent: 200, StepBake: time.Minute}, Facts{Desired: 1, HasBlue: true, Green: Side{Healthy: 1}, Blue: Side{Healthy: 1}}
	l := Lifecycle{Stage: ProductionShift, Since: noon, Shifted: noon, Followed: noon.Add(10 * time.Second), Production: 200, Moved: true}
	f.Behind = "machine new"
	if m := l.Next(noon.Add(time.Minute), s, f); m.Life.Step != 0 || m.Wake != 10*time.Second {
		t.Errorf("step %d, wakes in %s", m.Life.Step, m.Wake)
	}
	if m := l.Next(noon.Add(70*time.Second), s, f); m.Life.Step != 1 {
		t.Error("a step waits again for a machine that came later")
	}
}

// TestLifecycleLaws runs deployments under random failures and holds every decision against the laws.
func TestLifecycleLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := newTown(rapid.SampledFrom([]string{BlueGreen, Linear, Canary}).Draw(rt, "kind"), rapid.IntRange(0, 4).Draw(rt, "desired"))
		v.shift.Percent = rapid.IntRange(30, All).Draw(rt, "percent")
		v.shift.Tested = rapid.Bool().Draw(rt, "tested")
		if v.facts.HasBlue = rapid.Bool().Draw(rt, "has blue"); !v.facts.HasBlue {
			v.tasks = nil
		}
		if v.facts.HasBlue && rapid.Bool().Draw(rt, "others") {
			v.life, v.share = Begin(noon, true), 300
			v.tasks = append(v.tasks, Task{ID: "other", Deployment: "0", Running: true, Health: Healthy, Proven: true})
		}
		for s := ReconcileService; s < CleanUp; s++ {
			if s != ScaleUp && s != BakeTime && rapid.IntRange(0, 4).Draw(rt, "hook") == 0 {
				v.hooks[s.String()] = []Hook{{State: HookState(rapid.IntRange(1, 3).Draw(rt, "state")), Continue: rapid.Bool().Draw(rt, "continue")}}
			}
		}
		var full time.Time
		for range 3000 {
			if v.facts.Behind = ""; rapid.IntRange(0, 2).Draw(rt, "behind") == 0 {
				v.facts.Behind = "machine m"
			}
			before, f, was := v.share, v.know(), v.life
			lawOfCrash(rt, v, f)
			m := v.decide()
			if m.Life.Stage != was.Stage && was.Awaits() && f.Behind != "" && m.Fail == "" && !was.overdue(v.now) {
				rt.Fatalf("%s ends although %s is behind", was.Stage, f.Behind)
			}
			if v.ended {
				lawOfTheEnd(rt, v, m)
				return
			}
			if v.share > before && f.Green.Healthy < f.Desired {
				rt.Fatalf("traffic to a revision with %d of %d tasks healthy: %v", f.Green.Healthy, f.Desired, v.log)
			}
			if v.share == All && full.IsZero() {
				full = v.now
			} else if v.share < All {
				full = time.Time{}
			}
			lawOfTasks(rt, v, full)
			v.scale(func(t *Task) { lawlessLife(rt, v, t) })
			v.facts.Tripped = v.facts.Tripped || rapid.IntRange(0, 300).Draw(rt, "trips") == 300
			v.facts.Requested = v.facts.Requested || rapid.IntRange(0, 300).Draw(rt, "asks") == 300
			if m.Wake > 0 {
				v.now = v.now.Add(min(m.Wake, time.Duration(rapid.IntRange(1, 100).Draw(rt, "passes"))*time.Minute))
			}
		}
		rt.Fatalf("does not end: %+v %v", v.life, v.log)
	})
}

// lawOfCrash: a decision that is made twice on the same record is the same.
func lawOfCrash(rt *rapid.T, v *town, f Facts) {
	a, b := v.life.Next(v.now, v.shift, f), v.life.Next(v.now, v.shift, f)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		rt.Fatalf("%+v and %+v", a, b)
	}
}

func lawOfTasks(rt *rapid.T, v *town, full time.Time) {
	green, blue, _, hold := v.life.Wants(3)
	if v.facts.HasBlue && blue < 3 && (full.IsZero() || v.now.Before(full.Add(v.shift.Bake))) {
		rt.Fatalf("old tasks stop too early: %+v", v.life)
	}
	if green == 0 && !hold && v.facts.HasBlue && v.share > 0 && v.life.Stage > ReconcileService {
		rt.Fatalf("new tasks stop while they have traffic: %+v, %d", v.life, v.share)
	}
}

func lawOfTheEnd(rt *rapid.T, v *town, m Move) {
	if m.Done && (v.side("1").Left > 0 || v.share != All) {
		rt.Fatalf("done with %d old tasks and %d of the traffic", v.side("1").Left, v.share)
	}
	if !m.Done && (v.side("2").Left > 0 || v.facts.HasBlue && v.share != 0) {
		rt.Fatalf("rolled back with %d new tasks and %d of the traffic", v.side("2").Left, v.share)
	}
	if v.side("0").Left > 0 {
		rt.Fatal("tasks of a third revision are left")
	}
}

// lawlessLife is a moment in the life of a task that may go wrong.
func lawlessLife(rt *rapid.T, v *town, t *Task) {
	switch rapid.IntRange(0, 40).Draw(rt, "fate") {
	case 40:
		t.Stopping = true
	case 39:
		if t.Running {
			t.Health = Unhealthy
		}
	default:
		v.wellBeing(t)
	}
}
