package haproxy

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Slot is one server of a backend as a worker has it.
type Slot struct {
	Name   string         // s1, s2, ...
	At     netip.AddrPort // where it points to
	Maint  bool           // it gets no new requests
	Weight int            // 0 to 256
	// Sessions is how many requests or connections are open there; of no use to Plan. Written by: the caller, from "show stat" (scur).
	Sessions int
}

// State is what is wanted of a target.
type State string

// States of a target. Drain and Hold put the slot into maintenance: in HAProxy 2.6 open requests, WebSockets and connections of a
// slot in maintenance go on to their end, its sticky clients are sent elsewhere, and the next request of a connection that a client
// keeps alive goes elsewhere too. HAProxy's own state "drain" will not do: it still takes sticky clients.
const (
	Serve State = "serve"
	Drain State = "drain" // no new requests, open ones end
	Hold  State = "hold"  // not healthy, or not known to be
)

// SlotTarget is a target as one machine wants it.
type SlotTarget struct {
	At     netip.AddrPort // where this machine reaches it: see Machine.At
	State  State
	Weight int // 1 to 256; FullWeight unless it starts slowly
}

// FullWeight is the weight of a target that takes its whole share.
const FullWeight = 100

// At is where this machine reaches a target; false if that is no address.
func (m Machine) At(t Target) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(m.address(t))
	if err != nil || t.Port < 1 || t.Port > 65535 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(t.Port)), true
}

// Command is one line for a worker's runtime socket. HAProxy answers one that worked with an empty line, except that a changed
// address or port is told in words.
type Command string

// Plan lists the commands that bring the slots of one backend in one worker to what is wanted. Told the slots after the commands, it
// lists none. A slot that points to a wanted target keeps it, all others go into maintenance; a target to Serve without a slot gets one that
// no wanted target has, as a rule the same one in every worker. Targets for which no slot is left are not served: Render with more slots.
func Plan(b Backend, have []Slot, want []SlotTarget) []Command {
	targets := wanted(want)
	var out []Command
	say := func(slot, format string, args ...any) {
		out = append(out, Command("set server "+b.Name+"/"+slot+" "+fmt.Sprintf(format, args...)))
	}
	owner := owners(have, targets)
	taken := map[string]bool{} // slots that are some target's
	for _, slot := range owner {
		taken[slot.Name] = true
	}
	for _, s := range have {
		if t, ok := targets[s.At]; !s.Maint && (!ok || t.State != Serve || owner[s.At].Name != s.Name) {
			say(s.Name, "state maint")
		}
	}
	for _, t := range sorted(targets) {
		if t.State != Serve {
			continue
		}
		s, ok := owner[t.At]
		if !ok {
			if s, ok = vacant(have, taken, t.At); !ok {
				continue
			}
			taken[s.Name] = true
			say(s.Name, "addr %s port %d", t.At.Addr(), t.At.Port())
			if !s.Maint {
				s.Maint = true // it was put there above
			}
		}
		if s.Weight != t.Weight {
			say(s.Name, "weight %d", t.Weight)
		}
		if s.Maint {
			say(s.Name, "state ready")
		}
	}
	return out
}

// wanted is want by address. Of two with the same address the one that is served counts, then the one that drains.
func wanted(want []SlotTarget) map[netip.AddrPort]SlotTarget {
	rank := map[State]int{Serve: 2, Drain: 1}
	out := map[netip.AddrPort]SlotTarget{}
	for _, t := range want {
		if t.Weight = min(max(t.Weight, 1), 256); !t.At.IsValid() {
			continue
		}
		if old, ok := out[t.At]; !ok || rank[t.State] > rank[old.State] {
			out[t.At] = t
		}
	}
	return out
}

func sorted(targets map[netip.AddrPort]SlotTarget) []SlotTarget {
	var out []SlotTarget
	for _, t := range targets {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b SlotTarget) int { return a.At.Compare(b.At) })
	return out
}

// owners finds the slot of each target. If several point to it, it is the first that serves, else the first.
func owners(have []Slot, targets map[netip.AddrPort]SlotTarget) map[netip.AddrPort]Slot {
	out := map[netip.AddrPort]Slot{}
	for _, s := range have {
		if _, ok := targets[s.At]; !ok {
			continue
		}
		if old, ok := out[s.At]; !ok || old.Maint && !s.Maint {
			out[s.At] = s
		}
	}
	return out
}

// vacant picks a slot that no target has: one without open sessions if there is one, from a place that follows from the address.
func vacant(have []Slot, taken map[string]bool, at netip.AddrPort) (Slot, bool) {
	if len(have) == 0 {
		return Slot{}, false
	}
	h := fnv.New32a()
	h.Write([]byte(at.String()))
	first := int(h.Sum32() % uint32(len(have)))
	var busy *Slot
	for i := range have {
		s := have[(first+i)%len(have)]
		if taken[s.Name] {
			continue
		}
		if s.Sessions == 0 {
			return s, true
		}
		if busy == nil {
			busy = &s
		}
	}
	if busy == nil {
		return Slot{}, false
	}
	return *busy, true
}

// configured are the bits of srv_admin_state that say only that the file has the server disabled, or its address from the socket. The first stays set
// when the server is made ready.
const configured = 0x04 | 0x40

// ParseState reads what "show servers state" says: the slots of each backend of a group, by its name, in order of their numbers.
func ParseState(text string) map[string][]Slot {
	out := map[string][]Slot{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 19 || strings.HasPrefix(f[0], "#") || !strings.HasPrefix(f[1], "b.") {
			continue
		}
		addr, _ := netip.ParseAddr(f[4])
		port, _ := strconv.ParseUint(f[18], 10, 16)
		admin, _ := strconv.Atoi(f[6])
		weight, _ := strconv.Atoi(f[7])
		out[f[1]] = append(out[f[1]], Slot{Name: f[3], At: netip.AddrPortFrom(addr.Unmap(), uint16(port)), Maint: admin&^configured != 0, Weight: weight})
	}
	for _, s := range out {
		slices.SortFunc(s, func(a, b Slot) int { return cmp.Compare(number(a.Name), number(b.Name)) })
	}
	return out
}

func number(slot string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(slot, "s"))
	return n
}
