package placement

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// world draws instances, tasks and strategies from small sets, so that ties and refusals are frequent.
func drawInstance(t *rapid.T, id string) Instance {
	on := Instance{
		ID:         id,
		Status:     rapid.SampledFrom([]string{"ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE", "DRAINING"}).Draw(t, "status"),
		Connected:  rapid.IntRange(0, 9).Draw(t, "connected") > 0,
		External:   rapid.IntRange(0, 9).Draw(t, "external") == 0,
		Attributes: map[string]string{},
		Total: Resources{
			CPU:    rapid.SampledFrom([]int64{1024, 2048, 4096}).Draw(t, "cpu"),
			Memory: rapid.SampledFrom([]int64{1024, 2048, 8192}).Draw(t, "memory"),
			GPU:    rapid.Int64Range(0, 2).Draw(t, "gpu"),
			Custom: map[string]int64{"ENI": rapid.Int64Range(0, 3).Draw(t, "eni")},
		},
		Used:   Resources{TCP: []uint16{22, 2375}},
		Groups: map[string]int{},
	}
	if zone := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone"); zone != "" {
		on.Attributes[ZoneAttribute] = zone
	}
	if rack := rapid.SampledFrom([]string{"-", "", "1", "2"}).Draw(t, "rack"); rack != "-" {
		on.Attributes["rack"] = rack
	}
	on.Running = rapid.IntRange(0, 3).Draw(t, "running")
	return on
}

func drawTask(t *rapid.T) Task {
	task := Task{
		Group:      rapid.SampledFrom([]string{"service:web", "service:api", "family:job"}).Draw(t, "group"),
		LaunchType: rapid.SampledFrom([]string{"", "EC2", "EC2", "EXTERNAL"}).Draw(t, "launch type"),
		Needs: Resources{
			CPU:    rapid.SampledFrom([]int64{0, 128, 256, 1024}).Draw(t, "cpu"),
			Memory: rapid.SampledFrom([]int64{64, 512, 1000}).Draw(t, "memory"),
			GPU:    rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(t, "gpu"),
			TCP:    rapid.SampledFrom([][]uint16{nil, nil, {80}, {443, 80}, {22}}).Draw(t, "tcp"),
			UDP:    rapid.SampledFrom([][]uint16{nil, nil, nil, {53}}).Draw(t, "udp"),
		},
	}
	if rapid.IntRange(0, 4).Draw(t, "eni") == 0 {
		task.Needs.Custom = map[string]int64{"ENI": 1}
	}
	if rapid.IntRange(0, 4).Draw(t, "requires") == 0 {
		task.Requires = []Attribute{{Name: "rack"}, {Name: ZoneAttribute, Value: "a"}}
	}
	if rapid.IntRange(0, 4).Draw(t, "zones") == 0 {
		task.Zones = []string{"a", "b"}
	}
	for _, text := range rapid.SampledFrom([][]string{
		nil, nil, {""}, {"attribute:rack in [1, 2]"}, {"not(task:group =~ service:.*)"},
		{"", "runningTasksCount < 3 and attribute:ecs.availability-zone != a"},
	}).Draw(t, "constraints") {
		task.Constraints = append(task.Constraints, constraint(t, text))
	}
	return task
}

func constraint(t rapid.TB, expression string) Constraint {
	typ := TypeMemberOf
	if expression == "" {
		typ = TypeDistinctInstance
	}
	c, err := NewConstraint(typ, expression)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func drawStrategy(t *rapid.T) []Strategy {
	var out []Strategy
	for range rapid.IntRange(0, 3).Draw(t, "strategies") {
		out = append(out, rapid.SampledFrom([]Strategy{
			{TypeBinpack, FieldCPU}, {TypeBinpack, FieldMemory}, {TypeRandom, ""}, {TypeSpread, FieldInstanceID},
			{TypeSpread, "attribute:" + ZoneAttribute}, {TypeSpread, "attribute:rack"},
		}).Draw(t, "strategy"))
	}
	return out
}

// The index is asked in the middle of all sorts of changes and must always answer as the reference does.
func TestIndexAgreesWithReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndex()
		type placed struct {
			on   string
			task Task
		}
		var running []placed
		shapes := make([]Task, rapid.IntRange(1, 4).Draw(t, "shapes"))
		strategies := make([][]Strategy, len(shapes))
		for i := range shapes {
			shapes[i], strategies[i] = drawTask(t), drawStrategy(t)
		}
		upsert := func(id string) {
			on := drawInstance(t, id)
			if old := x.Instance(id); old != nil {
				on.Used, on.Groups = old.Used, old.Groups
			}
			x.Upsert(on)
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "instances") {
			upsert(fmt.Sprint("i-", i))
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step == 0:
				upsert(fmt.Sprint("i-", rapid.IntRange(0, 14).Draw(t, "instance")))
			case step == 1:
				id := fmt.Sprint("i-", rapid.IntRange(0, 14).Draw(t, "instance"))
				x.Remove(id)
				running = slices.DeleteFunc(running, func(p placed) bool { return p.on == id })
			case step == 2 && len(running) > 0:
				i := rapid.IntRange(0, len(running)-1).Draw(t, "task")
				x.Release(running[i].on, &running[i].task)
				running = slices.Delete(running, i, i+1)
			default:
				i := rapid.IntRange(0, len(shapes)-1).Draw(t, "shape")
				seed := rapid.Uint64().Draw(t, "seed")
				want := copyOf(x).place(shapes[i], strategies[i], rand.New(rand.NewPCG(seed, 0)))
				got := x.Place(shapes[i:i+1], strategies[i], rand.New(rand.NewPCG(seed, 0)))
				if got.Chosen[0] != want {
					t.Fatalf("chosen %q, reference %q, for %+v by %v", got.Chosen[0], want, shapes[i], strategies[i])
				}
				if want == "" && len(got.Refusals[0]) != x.Len() {
					t.Fatalf("%d refusals for %d instances", len(got.Refusals[0]), x.Len())
				}
				if want != "" {
					running = append(running, placed{want, shapes[i]})
				}
			}
		}
	})
}

func copyOf(x *Index) *reference {
	var r reference
	for on := range x.All() {
		c := *on
		c.Groups, c.Used.Custom = maps.Clone(on.Groups), maps.Clone(on.Used.Custom)
		r.instances = append(r.instances, c)
	}
	return &r
}

func TestPlaceIsDeterministicAndLeavesItsInputAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		on := make([]Instance, rapid.IntRange(0, 8).Draw(t, "instances"))
		for i := range on {
			on[i] = drawInstance(t, fmt.Sprint("i-", i))
		}
		before := (&reference{on}).clone()
		tasks := slices.Repeat([]Task{drawTask(t)}, rapid.IntRange(1, 10).Draw(t, "count"))
		strategy, seed := drawStrategy(t), rapid.Uint64().Draw(t, "seed")
		a := Place(tasks, on, strategy, rand.New(rand.NewPCG(seed, 1)))
		b := Place(tasks, on, strategy, rand.New(rand.NewPCG(seed, 1)))
		if diff := cmp.Diff(a, b, cmp.AllowUnexported(Refusal{})); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(on, before, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func (r *reference) clone() []Instance {
	x := NewIndex()
	for _, on := range r.instances {
		x.Upsert(on)
	}
	return copyOf(x).instances
}

func TestPlaceNeverOvercommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndex()
		for i := range rapid.IntRange(1, 8).Draw(t, "instances") {
			x.Upsert(drawInstance(t, fmt.Sprint("i-", i)))
		}
		for range rapid.IntRange(1, 10).Draw(t, "calls") {
			tasks := slices.Repeat([]Task{drawTask(t)}, rapid.IntRange(1, 10).Draw(t, "count"))
			x.Place(tasks, drawStrategy(t), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2)))
		}
		for on := range x.All() {
			if on.Used.CPU > on.Total.CPU || on.Used.Memory > on.Total.Memory || on.Used.GPU > on.Total.GPU ||
				on.Used.Custom["ENI"] > on.Total.Custom["ENI"] {
				t.Fatalf("overcommitted: %+v", on)
			}
			for _, ports := range [][]uint16{on.Used.TCP, on.Used.UDP} {
				if !slices.IsSorted(ports) || len(slices.Compact(slices.Clone(ports))) != len(ports) {
					t.Fatalf("a port is held twice: %v", ports)
				}
			}
		}
	})
}

func TestDistinctInstanceHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndex()
		for i := range rapid.IntRange(1, 8).Draw(t, "instances") {
			x.Upsert(drawInstance(t, fmt.Sprint("i-", i)))
		}
		task := drawTask(t)
		task.Group, task.Constraints = "service:alone", []Constraint{constraint(t, "")}
		tasks := slices.Repeat([]Task{task}, 10)
		for _, id := range slices.Sorted(slices.Values(x.Place(tasks, drawStrategy(t), rand.New(rand.NewPCG(3, 3))).Chosen)) {
			if id != "" && x.Instance(id).Groups["service:alone"] != 1 {
				t.Fatalf("%s has %d tasks", id, x.Instance(id).Groups["service:alone"])
			}
		}
	})
}

func TestSpreadDiffersByAtMostOneWhereThereIsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, zones := NewIndex(), rapid.IntRange(1, 5).Draw(t, "zones")
		for i := range rapid.IntRange(zones, 20).Draw(t, "instances") {
			x.Upsert(Instance{
				ID: fmt.Sprint("i-", i), Status: StatusActive, Connected: true,
				Attributes: map[string]string{ZoneAttribute: fmt.Sprint(i % zones), "rack": fmt.Sprint(i % 3)},
				Total:      Resources{CPU: 1 << 20, Memory: 1 << 20},
			})
		}
		strategy := []Strategy{{TypeSpread, "attribute:" + ZoneAttribute}, {TypeSpread, FieldInstanceID}}
		tasks := slices.Repeat([]Task{{Group: "g", Needs: Resources{CPU: 1}}}, rapid.IntRange(1, 100).Draw(t, "count"))
		x.Place(tasks, strategy, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4)))
		perZone, perInstance := map[string]int{}, map[string][]int{}
		for on := range x.All() {
			zone := on.Attributes[ZoneAttribute]
			perZone[zone] += on.Groups["g"]
			perInstance[zone] = append(perInstance[zone], on.Groups["g"])
		}
		even(t, slices.Collect(maps.Values(perZone)))
		for _, counts := range perInstance {
			even(t, counts)
		}
	})
}

func even(t *rapid.T, counts []int) {
	if slices.Max(counts)-slices.Min(counts) > 1 {
		t.Fatalf("uneven: %v", counts)
	}
}

func TestSpreadCountsTasksWhereTheirInstanceIsNow(t *testing.T) {
	x, rnd := NewIndex(), rand.New(rand.NewPCG(6, 6))
	in := func(id, zone string) Instance {
		return Instance{ID: id, Status: StatusActive, Connected: true, Attributes: map[string]string{"zone": zone}, Groups: map[string]int{}}
	}
	x.Upsert(in("1", "a"))
	x.Upsert(in("2", "b"))
	strategy := []Strategy{{TypeSpread, "attribute:zone"}}
	tasks := []Task{{Group: "g"}}
	first := x.Place(tasks, strategy, rnd).Chosen[0]
	moved, empty := in(first, "c"), in("3", map[string]string{"1": "a", "2": "b"}[first])
	moved.Groups["g"] = 5
	x.Upsert(moved)
	x.Upsert(empty)
	got := x.Place(slices.Repeat(tasks, 8), strategy, rnd).Chosen
	if slices.Contains(got, first) {
		t.Errorf("%s has 5 tasks in zone c, and yet %v", first, got)
	}
}
