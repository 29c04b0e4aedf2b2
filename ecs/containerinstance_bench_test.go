package ecs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/placement"
	"berth/elbv2"
	"berth/store"
)

// BenchmarkPick places one task per transaction, with its record, on the memory store.
func BenchmarkPick(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			st, err := store.Open(store.Config{Tables: append(Tables(), elbv2.Tables()...)})
			if err != nil {
				b.Fatal(err)
			}
			s := New(Deps{Store: st, Pages: aws.NewPages([]byte("key"))})
			h := proto.Hello{CPU: 1 << 20, Memory: 1 << 20, Ports: []string{"22"}}
			for i := range 60 {
				h.Attributes = append(h.Attributes, api.Attribute{Name: new(fmt.Sprint("com.amazonaws.ecs.capability.x", i))})
			}
			for i := range n {
				h.Zone = string(rune('a' + i%3))
				if _, err := s.Connect(b.Context(), Machine{ID: fmt.Sprint("m", i), Account: homeAccount, Region: homeRegion}, "s", h); err != nil {
					b.Fatal(err)
				}
			}
			task := []placement.Task{{Group: "g", Needs: placement.Resources{CPU: 1, Memory: 1}}}
			spread := []placement.Strategy{{Type: placement.TypeSpread, Field: "attribute:" + placement.ZoneAttribute}, {Type: placement.TypeSpread, Field: placement.FieldInstanceID}}
			b.ReportAllocs()
			for b.Loop() {
				k := s.placing.picker(ClusterKey(homeAccount, homeRegion, "default"), rand.Uint64())
				err := st.Update(context.Background(), func(tx *store.Tx) error {
					p := k.pick(tx, task, spread)
					made := newPlacedTask("default", "g")
					made.Instance, made.Reserved = p[0].Instance, &p[0].Held
					Tasks.Put(tx, made)
					return nil
				})
				k.end(err == nil)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "placements/s")
		})
	}
}
