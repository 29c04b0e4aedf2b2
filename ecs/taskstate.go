package ecs

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	api "berth/api/ecs"
)

// TaskState is a task's or a container's status. States are ordered: a task's lastStatus only rises.
type TaskState uint8

// The states of a task. Containers know StatePending, StateRunning and StateStopped. The numbers are stored.
const (
	StateNone           TaskState = 0
	StateProvisioning   TaskState = 1
	StatePending        TaskState = 2
	StateActivating     TaskState = 3
	StateRunning        TaskState = 4
	StateDeactivating   TaskState = 5
	StateStopping       TaskState = 6
	StateDeprovisioning TaskState = 7
	StateStopped        TaskState = 8
)

// String is the name that the API shows.
func (s TaskState) String() string {
	switch s {
	case StateProvisioning:
		return "PROVISIONING"
	case StatePending:
		return "PENDING"
	case StateActivating:
		return "ACTIVATING"
	case StateRunning:
		return "RUNNING"
	case StateDeactivating:
		return "DEACTIVATING"
	case StateStopping:
		return "STOPPING"
	case StateDeprovisioning:
		return "DEPROVISIONING"
	case StateStopped:
		return "STOPPED"
	}
	return ""
}

// parseTaskState reads the API's name; StateNone for anything else.
func parseTaskState(name string) TaskState {
	for s := StateProvisioning; s <= StateStopped; s++ {
		if s.String() == name {
			return s
		}
	}
	return StateNone
}

// Digest is an image digest such as sha256:0123…. In JSON a sha256 digest is 43 characters of base64.
type Digest string

const digestAlgorithm = "sha256:"

// MarshalText writes the short form.
func (d Digest) MarshalText() ([]byte, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(string(d), digestAlgorithm))
	if err != nil || len(raw) != 32 || !strings.HasPrefix(string(d), digestAlgorithm) {
		return []byte(d), nil
	}
	return []byte(base64.RawURLEncoding.EncodeToString(raw)), nil
}

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(raw) != 32 {
		*d = Digest(text)
		return nil
	}
	*d = Digest(digestAlgorithm + hex.EncodeToString(raw))
	return nil
}

// Binding is one published port or range of ports: Count ports from HostPort on lead to as many from ContainerPort on.
type Binding struct {
	IP                      string // "*" stands for 0.0.0.0 and ::
	HostPort, ContainerPort int32
	Count                   int32
	Range                   bool // asked for as containerPortRange
	Protocol                string
}

// MarshalText writes ip,host,container,count[r],protocol.
func (b Binding) MarshalText() ([]byte, error) {
	kind := ""
	if b.Range {
		kind = "r"
	}
	return fmt.Appendf(nil, "%s,%d,%d,%d%s,%s", b.IP, b.HostPort, b.ContainerPort, b.Count, kind, b.Protocol), nil
}

// UnmarshalText reads what MarshalText wrote.
func (b *Binding) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), ",")
	if len(parts) != 5 {
		return fmt.Errorf("binding %q does not have five parts", text)
	}
	count, ranged := strings.CutSuffix(parts[3], "r")
	var numbers [3]int32
	for i, s := range []string{parts[1], parts[2], count} {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return fmt.Errorf("binding %q: %w", text, err)
		}
		numbers[i] = int32(n)
	}
	*b = Binding{IP: parts[0], HostPort: numbers[0], ContainerPort: numbers[1], Count: numbers[2], Range: ranged, Protocol: parts[4]}
	return nil
}

// bindingsOf turns what an agent reports into the stored form; pairs for 0.0.0.0 and :: become one.
func bindingsOf(reported []api.NetworkBinding) []Binding {
	var out []Binding
	for _, r := range reported {
		b, ok := bindingOf(r)
		if !ok {
			continue
		}
		if i := pairOf(out, b); i >= 0 {
			out[i].IP = "*"
			continue
		}
		out = append(out, b)
	}
	return out
}

func pairOf(have []Binding, b Binding) int {
	other := map[string]string{"0.0.0.0": "::", "::": "0.0.0.0"}[b.IP]
	if other == "" {
		return -1
	}
	b.IP = other
	for i, h := range have {
		if h == b {
			return i
		}
	}
	return -1
}

func bindingOf(r api.NetworkBinding) (Binding, bool) {
	b := Binding{IP: value(r.BindIP), Protocol: string(r.Protocol), Count: 1}
	if r.ContainerPortRange != nil {
		first, last, ok := parsePortRange(*r.ContainerPortRange)
		host, _, hostOK := parsePortRange(value(r.HostPortRange))
		b.HostPort, b.ContainerPort, b.Count, b.Range = host, first, last-first+1, true
		return b, ok && hostOK
	}
	b.HostPort, b.ContainerPort = value(r.HostPort), value(r.ContainerPort)
	return b, r.ContainerPort != nil && r.HostPort != nil
}

// wire is the binding as the API shows it: one entry per address.
func (b Binding) wire() []api.NetworkBinding {
	ips := []string{b.IP}
	if b.IP == "*" {
		ips = []string{"0.0.0.0", "::"}
	}
	var out []api.NetworkBinding
	for _, ip := range ips {
		n := api.NetworkBinding{BindIP: new(ip), Protocol: api.TransportProtocol(b.Protocol)}
		if b.Range {
			n.ContainerPortRange = new(portRange(b.ContainerPort, b.Count))
			n.HostPortRange = new(portRange(b.HostPort, b.Count))
		} else {
			n.ContainerPort, n.HostPort = new(b.ContainerPort), new(b.HostPort)
		}
		out = append(out, n)
	}
	return out
}

func portRange(first, count int32) string { return fmt.Sprintf("%d-%d", first, first+count-1) }

// parsePortRange reads "8000-8010": both in 1-65535 and first below last.
func parsePortRange(s string) (first, last int32, ok bool) {
	from, to, found := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if !found || errA != nil || errB != nil || a == 0 || a >= b {
		return 0, 0, false
	}
	return int32(a), int32(b), true
}
