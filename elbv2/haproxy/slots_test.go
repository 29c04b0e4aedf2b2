package haproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// worker is a model of a backend's slots in one worker.
type worker []Slot

func newWorker(n int) worker {
	w := make(worker, n)
	for i := range w {
		w[i] = Slot{Name: "s" + strconv.Itoa(i+1), At: netip.MustParseAddrPort("127.0.0.1:1"), Maint: true, Weight: FullWeight}
	}
	return w
}

// do carries out a command as HAProxy does.
func (w worker) do(c Command) error {
	f := strings.Fields(string(c))
	if len(f) < 5 || f[0] != "set" || f[1] != "server" {
		return fmt.Errorf("unknown command %q", c)
	}
	name, ok := strings.CutPrefix(f[2], "b/")
	i := slices.IndexFunc(w, func(s Slot) bool { return s.Name == name })
	if !ok || i < 0 {
		return fmt.Errorf("no such server: %q", c)
	}
	switch s := &w[i]; f[3] {
	case "addr":
		at, err := netip.ParseAddrPort(netip.MustParseAddr(f[4]).String() + ":" + f[6])
		if err != nil {
			return err
		}
		if !s.Maint {
			return fmt.Errorf("%q moves a slot that serves", c)
		}
		s.At = at
	case "weight":
		s.Weight, _ = strconv.Atoi(f[4])
	case "state":
		s.Maint = f[4] == "maint"
	default:
		return fmt.Errorf("unknown command %q", c)
	}
	return nil
}

func (w worker) serving() (out []string) {
	for _, s := range w {
		if !s.Maint {
			out = append(out, fmt.Sprint(s.At, "*", s.Weight))
		}
	}
	slices.Sort(out)
	return out
}

func TestPlan(t *testing.T) {
	at := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(port))
	}
	slot := func(name string, port int, maint bool) Slot {
		return Slot{Name: name, At: at(port), Maint: maint, Weight: FullWeight}
	}
	for _, c := range []struct {
		name string
		have []Slot
		want []SlotTarget
		say  []string
	}{
		{"a new target takes a free slot", []Slot{slot("s1", 1, true)}, []SlotTarget{{at(80), Serve, 100}}, []string{"s1 addr 10.0.0.1 port 80", "s1 state ready"}},
		{"one that is served stays", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(80), Serve, 100}}, nil},
		{"a weight changes alone", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(80), Serve, 10}}, []string{"s1 weight 10"}},
		{"draining goes into maintenance", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(80), Drain, 100}}, []string{"s1 state maint"}},
		{"holding goes into maintenance", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(80), Hold, 100}}, []string{"s1 state maint"}},
		{"one that drains keeps its slot", []Slot{slot("s1", 80, true), slot("s2", 1, true)}, []SlotTarget{{at(80), Drain, 100}, {at(81), Serve, 100}}, []string{"s2 addr 10.0.0.1 port 81", "s2 state ready"}},
		{"one that comes back takes its slot again", []Slot{slot("s1", 80, true)}, []SlotTarget{{at(80), Serve, 100}}, []string{"s1 state ready"}},
		{"what is not wanted goes into maintenance", []Slot{slot("s1", 80, false)}, nil, []string{"s1 state maint"}},
		{"one slot is enough", []Slot{slot("s1", 80, true), slot("s2", 80, false), slot("s3", 80, false)}, []SlotTarget{{at(80), Serve, 100}}, []string{"s3 state maint"}},
		{"the new one at an address counts, not the old one", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(80), Serve, 100}, {at(80), Drain, 100}}, nil},
		{"without a slot there is nothing to do", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(80), Serve, 100}, {at(81), Serve, 100}}, nil},
		{"no slots at all", nil, []SlotTarget{{at(80), Serve, 100}}, nil},
		{"a slot with open sessions is the last to be taken", []Slot{{Name: "s1", At: at(1), Maint: true, Weight: 100, Sessions: 1}, slot("s2", 1, true)}, []SlotTarget{{at(80), Serve, 100}}, []string{"s2 addr 10.0.0.1 port 80", "s2 state ready"}},
		{"a slot that is freed is taken at once if there is no other", []Slot{slot("s1", 80, false)}, []SlotTarget{{at(81), Serve, 100}}, []string{"s1 state maint", "s1 addr 10.0.0.1 port 81", "s1 state ready"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, command := range Plan(Backend{Name: "b", Slots: len(c.have)}, c.have, c.want) {
				got = append(got, strings.TrimPrefix(string(command), "set server b/"))
			}
			if !slices.Equal(got, c.say) {
				t.Errorf("got %q, want %q", got, c.say)
			}
		})
	}
}

// TestPlanConverges: whatever the slots are and whatever is wanted, the commands bring exactly that about, nothing is left to do, and no slot
// that serves is moved or disturbed on the way.
func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorker(rapid.IntRange(1, 8).Draw(t, "slots"))
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) SlotTarget {
				return SlotTarget{
					At:     netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(rapid.IntRange(1, 12).Draw(t, "port"))),
					State:  rapid.SampledFrom([]State{Serve, Drain, Hold}).Draw(t, "state"),
					Weight: rapid.IntRange(1, 256).Draw(t, "weight"),
				}
			}), 0, 10).Draw(t, "want")
			for i := range w {
				w[i].Sessions = rapid.IntRange(0, 1).Draw(t, "sessions")
			}
			if rapid.Bool().Draw(t, "strange") { // someone else was at the socket
				i := rapid.IntRange(0, len(w)-1).Draw(t, "slot")
				w[i].Maint, w[i].At = !w[i].Maint, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(rapid.IntRange(1, 12).Draw(t, "to")))
			}
			targets := wanted(want)
			before := slices.Clone(w)
			commands := Plan(Backend{Name: "b", Slots: len(w)}, slices.Clone(w), want)
			undisturbed := map[netip.AddrPort]string{}
			for _, s := range before {
				if _, seen := undisturbed[s.At]; !s.Maint && !seen && targets[s.At].State == Serve {
					undisturbed[s.At] = s.Name
				}
			}
			for _, c := range commands {
				for _, slot := range undisturbed {
					if strings.HasPrefix(string(c), "set server b/"+slot+" ") && !strings.Contains(string(c), " weight ") {
						t.Fatalf("%q disturbs a slot that serves what is wanted", c)
					}
				}
				if err := w.do(c); err != nil {
					t.Fatal(err)
				}
			}
			if rest := Plan(Backend{Name: "b", Slots: len(w)}, slices.Clone(w), want); len(rest) > 0 {
				t.Fatalf("still to do: %q", rest)
			}
			serve, held := []string{}, 0
			for _, s := range targets {
				if s.State == Serve {
					serve = append(serve, fmt.Sprint(s.At, "*", s.Weight))
				} else if slices.ContainsFunc(before, func(b Slot) bool { return b.At == s.At }) {
					held++
				}
			}
			slices.Sort(serve)
			got := w.serving()
			if len(serve) <= len(w)-held && !slices.Equal(got, serve) {
				t.Fatalf("got %v, want %v", got, serve)
			}
			for _, g := range got {
				if !slices.Contains(serve, g) {
					t.Fatalf("%s serves and should not", g)
				}
			}
		}
	})
}

func TestSlotsGrowInPowersOfTwo(t *testing.T) {
	for _, c := range []struct{ targets, before, want int }{{0, 0, 8}, {8, 0, 8}, {9, 8, 16}, {3, 32, 32}, {100, 16, 128}} {
		if got := Slots(c.targets, c.before); got != c.want {
			t.Errorf("Slots(%d, %d) = %d, want %d", c.targets, c.before, got, c.want)
		}
	}
}

func TestParseState(t *testing.T) {
	got := ParseState(`1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight ...
3 b.x 10 s10 10.0.0.9 0 5 100 100 7 1 0 0 8 0 0 0 - 1 - 0 0 - - 0
3 b.x 1 s1 127.0.0.1 2 4 70 100 2 1 0 0 8 0 0 0 - 18101 - 0 0 - - 0
3 b.x 2 s2 127.0.0.1 2 8 100 100 2 1 0 0 8 0 0 0 - 18102 - 0 0 - - 0
`)["b.x"]
	want := []Slot{
		{Name: "s1", At: netip.MustParseAddrPort("127.0.0.1:18101"), Weight: 70}, // made ready: disabled by the file only
		{Name: "s2", At: netip.MustParseAddrPort("127.0.0.1:18102"), Weight: 100, Maint: true},
		{Name: "s10", At: netip.MustParseAddrPort("10.0.0.9:1"), Weight: 100, Maint: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
