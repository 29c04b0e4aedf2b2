package ingress

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"berth/elbv2/haproxy"
)

// fill writes slots into a rendered file: each server-template becomes servers with the addresses, weights and states that the slots
// have, so that a new worker serves from its first moment and does not wait to be told.
func fill(text []byte, slots map[string][]haproxy.Slot) []byte {
	var out bytes.Buffer
	section := ""
	for line := range bytes.Lines(text) {
		if name, ok := bytes.CutPrefix(line, []byte("backend ")); ok {
			section = string(bytes.TrimSpace(name))
		}
		if rest, ok := templateOptions(string(line)); ok {
			for _, s := range slots[section] {
				out.WriteString(serverLine(s, rest))
			}
			continue
		}
		out.Write(line)
	}
	return out.Bytes()
}

// templateOptions returns what stands behind the weight in a line "server-template s 1-N 127.0.0.1:1 disabled weight W ...".
func templateOptions(line string) (string, bool) {
	f := strings.Fields(line)
	if len(f) < 7 || f[0] != "server-template" || f[1] != "s" || f[4] != "disabled" || f[5] != "weight" {
		return "", false
	}
	return strings.Join(f[7:], " "), true
}

func serverLine(s haproxy.Slot, options string) string {
	disabled := ""
	if s.Maint {
		disabled = " disabled"
	}
	return strings.TrimRight(fmt.Sprintf("  server %s %s%s weight %d %s", s.Name, s.At, disabled, s.Weight, options), " ") + "\n"
}

// empty are the slots of a backend as a worker has them that was told nothing.
func empty(b haproxy.Backend) []haproxy.Slot {
	out := make([]haproxy.Slot, b.Slots)
	for i := range out {
		out[i] = haproxy.Slot{
			Name: "s" + strconv.Itoa(i+1), At: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1), Maint: true, Weight: haproxy.FullWeight,
		}
	}
	return out
}

// fit gives a backend its number of slots, with what the first of them hold.
func fit(b haproxy.Backend, have []haproxy.Slot) []haproxy.Slot {
	out := empty(b)
	copy(out, have)
	return out
}

// follow changes slots as a worker does that is given the commands.
func follow(slots []haproxy.Slot, commands []haproxy.Command) []haproxy.Slot {
	at := map[string]int{}
	for i, s := range slots {
		at[s.Name] = i
	}
	for _, c := range commands {
		f := strings.Fields(string(c)) // set server B/S what value...
		if len(f) < 5 {
			continue
		}
		_, name, _ := strings.Cut(f[2], "/")
		i, ok := at[name]
		if !ok {
			continue
		}
		s := &slots[i]
		switch {
		case f[3] == "state":
			s.Maint = f[4] == "maint"
		case f[3] == "weight":
			s.Weight, _ = strconv.Atoi(f[4])
		case f[3] == "addr" && len(f) == 7:
			addr, _ := netip.ParseAddr(f[4])
			port, _ := strconv.ParseUint(f[6], 10, 16)
			s.At = netip.AddrPortFrom(addr, uint16(port))
		}
	}
	return slots
}
