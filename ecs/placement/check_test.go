package placement

import (
	"math/rand/v2"
	"testing"
)

func TestCheckNamesTheFirstReasonAndByHowMuch(t *testing.T) {
	base := func() (Task, Instance) {
		return Task{Group: "service:web", LaunchType: LaunchTypeEC2, Needs: Resources{CPU: 256, Memory: 512}},
			Instance{
				ID: "i", Status: StatusActive, Connected: true,
				Attributes: map[string]string{"ecs.cpu-architecture": "x86_64", ZoneAttribute: "a"},
				Total:      Resources{CPU: 1024, Memory: 2048, GPU: 2, Custom: map[string]int64{"ENI": 1}},
				Used:       Resources{CPU: 768, Memory: 1536, GPU: 1, TCP: []uint16{22, 80}, UDP: []uint16{53}, Custom: map[string]int64{"ENI": 1}},
				Groups:     map[string]int{"service:web": 2},
			}
	}
	for _, row := range []struct {
		name           string
		change         func(*Task, *Instance)
		reason, detail string
	}{
		{"fits exactly", func(*Task, *Instance) {}, "", ""},
		{"draining", func(_ *Task, i *Instance) { i.Status, i.Connected = "DRAINING", false }, "INACTIVE", "status is DRAINING"},
		{"wants EXTERNAL", func(t *Task, _ *Instance) { t.LaunchType = "EXTERNAL" }, "LAUNCH_TYPE", "launch type is EC2, needs EXTERNAL"},
		{"is EXTERNAL", func(_ *Task, i *Instance) { i.External = true }, "LAUNCH_TYPE", "launch type is EXTERNAL, needs EC2"},
		{"agent away", func(t *Task, i *Instance) { i.Connected, t.Needs.CPU = false, 9999 }, "AGENT", "the agent is disconnected"},
		{"impaired", func(_ *Task, i *Instance) { i.Impaired = "disk 97 % full" }, "AGENT", "disk 97 % full"},
		{"attribute before resources", func(t *Task, _ *Instance) { t.Requires, t.Needs.CPU = []Attribute{{Name: "x"}}, 9999 }, "ATTRIBUTE", "lacks attribute x"},
		{"attribute without value", func(t *Task, i *Instance) { t.Requires, i.Attributes["x"] = []Attribute{{"x", "1"}}, "" }, "ATTRIBUTE", "attribute x=1, has no value"},
		{"other architecture", func(t *Task, _ *Instance) { t.Requires = []Attribute{{"ecs.cpu-architecture", "arm64"}} }, "ATTRIBUTE", "attribute ecs.cpu-architecture=arm64, has x86_64"},
		{"CPU before memory", func(t *Task, _ *Instance) { t.Needs.CPU, t.Needs.Memory = 257, 4096 }, "RESOURCE:CPU", "needs 257 CPU units, 256 left of 1024"},
		{"memory", func(t *Task, i *Instance) { i.Used.Memory = 1920; t.Needs.TCP = []uint16{80} }, "RESOURCE:MEMORY", "needs 512 MiB, 128 left of 2048"},
		{"memory more than used up", func(_ *Task, i *Instance) { i.Used.Memory = 9000 }, "RESOURCE:MEMORY", "needs 512 MiB, 0 left of 2048"},
		{"nothing needed where nothing is left", func(t *Task, i *Instance) { t.Needs, i.Used.CPU = Resources{}, 9000 }, "", ""},
		{"port", func(t *Task, _ *Instance) { t.Needs.TCP = []uint16{81, 80} }, "RESOURCE:PORTS", "host port 80/tcp is taken"},
		{"port of the other protocol", func(t *Task, _ *Instance) { t.Needs.TCP, t.Needs.UDP = []uint16{53}, []uint16{80} }, "", ""},
		{"UDP port", func(t *Task, _ *Instance) { t.Needs.UDP = []uint16{53} }, "RESOURCE:PORTS_UDP", "host port 53/udp is taken"},
		{"GPU", func(t *Task, _ *Instance) { t.Needs.GPU = 2 }, "RESOURCE:GPU", "needs 2 GPUs, 1 left of 2"},
		{"custom", func(t *Task, _ *Instance) { t.Needs.Custom = map[string]int64{"ENI": 1} }, "RESOURCE:ENI", "needs 1 of ENI, 0 left of 1"},
		{"zone", func(t *Task, _ *Instance) { t.Zones = []string{"b", "c"} }, "LOCATION", "needs zone b or c, is in a"},
		{"memberOf", func(t *Task, _ *Instance) { t.Constraints = []Constraint{must("memberOf", "attribute:x exists")} }, ReasonMemberOf, "does not satisfy attribute:x exists"},
		{"distinctInstance", func(t *Task, _ *Instance) { t.Constraints = []Constraint{must("distinctInstance", "")} }, ReasonDistinctInstance, "already has 2 of group service:web"},
	} {
		t.Run(row.name, func(t *testing.T) {
			task, on := base()
			row.change(&task, &on)
			r, ok := Check(&task, &on)
			if ok != (row.reason == "") || r.Reason != row.reason || !ok && r.Detail() != row.detail {
				t.Errorf("got %v %q %q, want %q %q", ok, r.Reason, r.Detail(), row.reason, row.detail)
			}
			if got := fitsDescription(&task, &on) && fitsLoad(&task, &on); got != ok {
				t.Errorf("the two halves say %v, Check says %v", got, ok)
			}
		})
	}
}

func must(typ, expression string) Constraint {
	c, err := NewConstraint(typ, expression)
	if err != nil {
		panic(err)
	}
	return c
}

func TestNewStrategyNormalisesAndRefuses(t *testing.T) {
	for _, row := range []struct{ typ, field, want, err string }{
		{"binpack", "cpu", "CPU", ""}, {"binpack", "Memory", "MEMORY", ""}, {"binpack", "MEMORY", "MEMORY", ""},
		{"spread", "host", "instanceId", ""}, {"spread", "instanceId", "instanceId", ""},
		{"spread", "attribute:ecs.availability-zone", "attribute:ecs.availability-zone", ""}, {"random", "", "", ""},
		{"random", "cpu", "", "Invalid field for random strategy: cpu"},
		{"binpack", "disk", "", "Invalid field for binpack strategy: disk"}, {"binpack", "", "", "Invalid field for binpack strategy: "},
		{"spread", "attribute:", "", "Invalid field for spread strategy: attribute:"}, {"spread", "", "", "Invalid field for spread strategy: "},
		{"pack", "cpu", "", "Invalid placement strategy type: pack"},
	} {
		s, err := NewStrategy(row.typ, row.field)
		if (err == nil) != (row.err == "") || err != nil && err.Error() != row.err || s.Field != row.want {
			t.Errorf("%s %q: got %+v, %v", row.typ, row.field, s, err)
		}
	}
}

func TestNewConstraintRefuses(t *testing.T) {
	for _, c := range [][2]string{{"distinctInstance", "agentConnected == true"}, {"memberOf", ""}, {"memberOf", "x"}, {"sameInstance", ""}} {
		if _, err := NewConstraint(c[0], c[1]); err == nil {
			t.Errorf("%v is accepted", c)
		}
	}
}

func TestRandomIsEven(t *testing.T) {
	x, rnd := NewIndex(), rand.New(rand.NewPCG(5, 5))
	for _, id := range []string{"a", "b", "c", "d"} {
		x.Upsert(Instance{ID: id, Status: StatusActive, Connected: true})
	}
	counts := map[string]int{}
	for range 4000 {
		counts[x.Place([]Task{{Group: "g"}}, nil, rnd).Chosen[0]]++
	}
	for id, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("%s got %d of 4000", id, n)
		}
	}
}
