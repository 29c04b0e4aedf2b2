package ingress

import (
	"net/netip"
	"testing"

	"berth/agent"
)

func TestSlotsAreDealtOutByWeight(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("10.0.0.2:53"), netip.MustParseAddrPort("10.0.0.3:53")
	for _, tc := range []struct {
		name   string
		shares []share
		want   map[netip.AddrPort]int
	}{
		{"nothing", nil, nil},
		{"nobody is well", []share{{1, nil}}, nil},
		{"weight zero", []share{{0, []netip.AddrPort{a}}}, nil},
		{"one", []share{{1, []netip.AddrPort{a}}}, map[netip.AddrPort]int{a: 120}},
		{"evenly", []share{{1, []netip.AddrPort{a, b, c}}}, map[netip.AddrPort]int{a: 40, b: 40, c: 40}},
		{"by weight", []share{{3, []netip.AddrPort{a, b}}, {1, []netip.AddrPort{c}}}, map[netip.AddrPort]int{a: 45, b: 45, c: 30}},
		{"a group without targets", []share{{3, nil}, {1, []netip.AddrPort{c}}}, map[netip.AddrPort]int{c: 120}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := map[netip.AddrPort]int{}
			slots := slotsOf(tc.shares)
			for _, at := range slots {
				got[at]++
			}
			if len(slots) != 0 && len(slots) != agent.UDPSlots || len(got) != len(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			for at, n := range tc.want {
				if got[at] != n {
					t.Errorf("%s has %d slots, want %d", at, got[at], n)
				}
			}
		})
	}
}
