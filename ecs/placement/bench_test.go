package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// machines makes n instances over three zones and five types, each with room for about 16 tasks.
func machines(n int) *Index {
	x := NewIndex()
	rnd := rand.New(rand.NewPCG(1, 1))
	types := []string{"m7.large", "m7.xlarge", "c7.large", "c7.xlarge", "r7.large"}
	for i := range n {
		x.Upsert(Instance{
			ID: fmt.Sprintf("arn:aws:ecs:us-east-1:000000000000:container-instance/default/%032x", i), Status: StatusActive, Connected: true,
			Attributes: map[string]string{
				ZoneAttribute:           fmt.Sprintf("us-east-1%c", 'a'+i%3),
				"ecs.instance-type":     types[i%5],
				"ecs.os-type":           "linux",
				"ecs.cpu-architecture":  "x86_64",
				"ecs.capability.x":      "",
				"ecs.capability.docker": "",
			},
			Total: Resources{CPU: 4096 + int64(rnd.IntN(64)), Memory: 8192 + int64(rnd.IntN(64))},
			Used:  Resources{TCP: []uint16{22, 2375, 2376, 51678, 51679}},
		})
	}
	return x
}

// BenchmarkPlace places one task per call. Once the instances are half full, each placement is followed by
// the end of the oldest task, which is part of the time.
func BenchmarkPlace(b *testing.B) {
	zone := Strategy{TypeSpread, "attribute:" + ZoneAttribute}
	member, err := NewConstraint(TypeMemberOf, "attribute:ecs.instance-type =~ m7.* and not(attribute:rack == broken)")
	if err != nil {
		b.Fatal(err)
	}
	cases := []struct {
		name        string
		strategy    []Strategy
		constraints []Constraint
	}{
		{"random", nil, nil},
		{"binpack", []Strategy{{TypeBinpack, FieldMemory}}, nil},
		{"spread zones", []Strategy{zone}, nil},
		{"spread instances", []Strategy{{TypeSpread, FieldInstanceID}}, nil},
		{"memberOf", nil, []Constraint{member}},
		{"spread zones, binpack", []Strategy{zone, {TypeBinpack, FieldMemory}}, nil},
		{"spread zones, binpack, memberOf", []Strategy{zone, {TypeBinpack, FieldMemory}}, []Constraint{member}},
	}
	for _, n := range []int{100, 1_000, 10_000} {
		for _, c := range cases {
			b.Run(fmt.Sprintf("%s/instances=%d", c.name, n), func(b *testing.B) {
				task := Task{
					Group: "service:web", LaunchType: LaunchTypeEC2, Needs: Resources{CPU: 256, Memory: 512},
					Requires: []Attribute{{Name: "ecs.capability.x"}, {Name: "ecs.os-type", Value: "linux"}}, Constraints: c.constraints,
				}
				benchmark(b, machines(n), []Task{task}, c.strategy, 3*n)
			})
		}
	}
}

// BenchmarkPlaceManyServices asks for 50 shapes of tasks in turn: each view has 50 changes to catch up with.
func BenchmarkPlaceManyServices(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			tasks := make([]Task, 50)
			for i := range tasks {
				tasks[i] = Task{Group: fmt.Sprint("service:", i), Needs: Resources{CPU: 256, Memory: 256 + int64(i)}}
			}
			benchmark(b, machines(n), tasks, []Strategy{{TypeSpread, "attribute:" + ZoneAttribute}, {TypeSpread, FieldInstanceID}}, 3*n)
		})
	}
}

func benchmark(b *testing.B, x *Index, tasks []Task, strategy []Strategy, keep int) {
	type placed struct {
		on   string
		task *Task
	}
	running := make([]placed, keep)
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range tasks {
		x.view(&tasks[i], strategy)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if old := running[i%keep]; old.task != nil {
			x.Release(old.on, old.task)
		}
		at := i % len(tasks)
		chosen := x.Place(tasks[at:at+1], strategy, rnd).Chosen[0]
		if chosen == "" {
			b.Fatal("no instance has room")
		}
		running[i%keep] = placed{chosen, &tasks[at]}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "placements/s")
}

// BenchmarkColdView is the price of the first placement of a new shape of task.
func BenchmarkColdView(b *testing.B) {
	x := machines(10_000)
	strategy := []Strategy{{TypeSpread, "attribute:" + ZoneAttribute}, {TypeBinpack, FieldMemory}}
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := 0; b.Loop(); i++ {
		x.Place([]Task{{Group: fmt.Sprint(i), Needs: Resources{CPU: 1}}}, strategy, rnd)
	}
}
