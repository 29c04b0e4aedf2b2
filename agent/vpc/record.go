package vpc

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"berth/agent"
	"berth/agent/vpc/portproxy"
)

const recordVersion = 1

// record is a container's network as containers/<id>.json has it. It is written first when an address is taken, and again
// with Ready when all is in place.
type record struct {
	Version  int                 `json:"v"`
	ID       string              `json:"id"`
	TaskArn  string              `json:"task,omitempty"`
	Mode     string              `json:"mode"`
	Address  netip.Addr          `json:"address,omitzero"` // none in mode none
	Bindings []agent.PortBinding `json:"bindings,omitempty"`
	Ready    bool                `json:"ready,omitempty"`
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (c Config) recordPath(id string) string    { return c.path("containers", id+".json") }
func (c Config) namespacePath(id string) string { return c.path("ns", "c-"+id) }

func readRecords(c Config) (map[string]*record, error) {
	files, err := filepath.Glob(c.path("containers", "*"))
	if err != nil {
		return nil, err
	}
	all := map[string]*record{}
	for _, file := range files {
		id, whole := strings.CutSuffix(filepath.Base(file), ".json")
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read network of %s: %w", id, err)
		}
		r := &record{}
		if !whole || json.Unmarshal(data, r) != nil || r.ID != id {
			if err := os.Remove(file); err != nil { // torn by a power failure, or never renamed
				return nil, fmt.Errorf("remove torn network record: %w", err)
			}
			continue
		}
		if r.Version != recordVersion {
			return nil, fmt.Errorf("network of %s has version %d, this program knows %d", id, r.Version, recordVersion)
		}
		all[id] = r
	}
	return all, nil
}

// offset is the address's place in the pool.
func offset(pool netip.Prefix, a netip.Addr) uint32 {
	return binary.BigEndian.Uint32(a.AsSlice()) - binary.BigEndian.Uint32(pool.Addr().AsSlice())
}

// linkName is the name of the container's link inside the bridge namespace.
func (r *record) linkName(pool netip.Prefix) string {
	return "c" + strconv.FormatUint(uint64(offset(pool, r.Address)), 10)
}

// mac is derived from the address: locally administered, 0a:be and the four bytes.
func (r *record) mac() []byte { return append([]byte{0x0a, 0xbe}, r.Address.AsSlice()...) }

// ports are the host ports in the form of the port proxy.
func (r *record) ports() []portproxy.Port {
	var all []portproxy.Port
	for _, b := range r.Bindings {
		all = append(all, portproxy.Port{Host: b.HostPort, Count: b.Count, Protocol: b.Protocol})
	}
	return all
}

// hostElements are the record's entries in the main namespace's table.
func (r *record) hostElements() []element {
	var all []element
	for _, b := range r.Bindings {
		for i := range max(b.Count, 1) {
			all = append(all, element{set: publishedPorts, key: portBytes(b.Protocol, b.HostPort+i)})
		}
	}
	return all
}

// bridgeElements are the record's entries in the bridge namespace's table.
func (r *record) bridgeElements(pool netip.Prefix) []element {
	if !r.Address.IsValid() {
		return nil
	}
	all := []element{{set: ownAddresses, key: ownBytes(r.linkName(pool), r.mac(), r.Address)}}
	for _, b := range r.Bindings {
		for i := range max(b.Count, 1) {
			all = append(all, element{
				set: portTargets,
				key: portBytes(b.Protocol, b.HostPort+i), val: targetBytes(r.Address, b.ContainerPort+i),
			})
		}
	}
	return all
}

// addresses hands out the pool's addresses in turn, so that a freed one is not used again at once.
type addresses struct {
	pool netip.Prefix
	used map[netip.Addr]string // address to container
	last netip.Addr
}

// take returns a free address for a container. The first address is the gateway's, the last is left out.
func (a *addresses) take(id string) (netip.Addr, error) {
	size := uint32(1) << (32 - a.pool.Bits())
	base := binary.BigEndian.Uint32(a.pool.Addr().AsSlice())
	from := uint32(2)
	if a.last.IsValid() {
		from = offset(a.pool, a.last) + 1
	}
	usable := size - 3
	for i := range usable {
		addr := address4(base + 2 + (from-2+i)%usable)
		if _, taken := a.used[addr]; !taken {
			a.used[addr], a.last = id, addr
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address in container pool %s: %d in use", a.pool, len(a.used))
}
