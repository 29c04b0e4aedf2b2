package portproxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Dynamic host ports when ip_local_port_range cannot be read, and ports never chosen because ECS reserves them on
// every instance. Source: ECS developer guide, port mappings.
const (
	defaultLow, defaultHigh = 49153, 65535
	reservedLow             = 51678
	reservedHigh            = 51680
)

// maxTries is how many places in the ephemeral range are tried for one request.
const maxTries = 2000

// bind binds one request. With host port 0 it looks for Count free consecutive ports from a random place on.
func (s *server) bind(p Port) (Port, []holder, error) {
	if p.Protocol != "tcp" && p.Protocol != "udp" {
		return p, nil, fmt.Errorf("protocol %q is neither tcp nor udp", p.Protocol)
	}
	if p.Host != 0 {
		held, err := s.bindFrom(p)
		return p, held, err
	}
	low, high := ephemeralRange()
	reserved := reservedPorts()
	places := high - low + 2 - int(p.Count)
	if places < 1 {
		return p, nil, fmt.Errorf("%d ports do not fit into the ephemeral range %d-%d", p.Count, low, high)
	}
	at := rand.IntN(places)
	for range min(maxTries, places) {
		p.Host = uint16(low + at)
		next := at + 1
		if clash := lastReserved(reserved, p); clash > 0 {
			next = clash + 1 - low
		} else {
			held, err := s.bindFrom(p)
			conflict, inUse := errors.AsType[*ConflictError](err)
			if err == nil || !inUse {
				return p, held, err
			}
			next = int(conflict.Port) + 1 - low
		}
		if at = next; at >= places {
			at = 0
		}
	}
	return p, nil, fmt.Errorf("no %d consecutive free %s ports in %d-%d", p.Count, p.Protocol, low, high)
}

// bindFrom binds all ports of a request or none.
func (s *server) bindFrom(p Port) ([]holder, error) {
	if int(p.Host)+int(p.Count)-1 > 65535 {
		return nil, fmt.Errorf("ports %d to %d: above 65535", p.Host, int(p.Host)+int(p.Count)-1)
	}
	var held []holder
	for i := range p.Count {
		var h holder
		var err error
		if p.Protocol == "tcp" {
			h, err = s.holdTCP(p.Host + i)
		} else {
			h, err = s.holdUDP(p.Host + i)
		}
		if err != nil {
			closeHeld(held)
			if errors.Is(err, unix.EADDRINUSE) {
				err = &ConflictError{Port: p.Host + i, Protocol: p.Protocol}
			}
			return nil, err
		}
		held = append(held, h)
	}
	return held, nil
}

func ephemeralRange() (low, high int) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if n, _ := fmt.Sscan(string(data), &low, &high); n == 2 && low > 0 && low < high && high <= 65535 {
			return low, high
		}
	}
	return defaultLow, defaultHigh
}

type portSpan struct{ low, high int }

// reservedPorts are ECS's own and those that the machine's administrator keeps out of the ephemeral range.
func reservedPorts() []portSpan {
	spans := []portSpan{{reservedLow, reservedHigh}}
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
	if err != nil {
		return spans
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(data)), ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil {
			spans = append(spans, portSpan{low, high})
		}
	}
	return spans
}

// lastReserved returns the highest reserved port within p, or 0.
func lastReserved(spans []portSpan, p Port) int {
	first, last, found := int(p.Host), int(p.Host)+int(p.Count)-1, 0
	for _, s := range spans {
		if s.low <= last && s.high >= first {
			found = max(found, min(s.high, last))
		}
	}
	return found
}
