package elbv2

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"berth/agent/proto"
	api "berth/api/elbv2"
	"berth/elbv2/haproxy"
	"berth/store"
)

// ConnectPort is the record of a port of Service Connect: a name and a port in a namespace at which tasks reach the tasks of one
// service. Its targets are in a target group of its own, which has no record and which the API does not know: see GroupByKey. It is
// comparable. Written by: ECS (ClaimPort, ReleasePort).
type ConnectPort struct {
	Account   string `json:"a"`
	Region    string `json:"r"`
	Namespace string `json:"ns"` // ID of the Cloud Map namespace
	Name      string `json:"n"`  // DNS name that clients use
	Port      int32  `json:"p"`
	// Address is that of the name, for all of its ports: one of proto.ConnectNet, unique on this control plane. It follows from the name
	// as long as no other name has taken it, so that a name that comes back has the address that clients know.
	Address netip.Addr `json:"ip"`
	// Owner is the ARN of the ECS service; Discovery the key of the Cloud Map service, which no other owner's port has.
	Owner     string `json:"o"`
	Discovery string `json:"d"`
	Protocol  string `json:"pr"`          // HTTP, TCP
	Version   string `json:"pv,omitzero"` // of HTTP: HTTP1, HTTP2, GRPC
	Idle      int32  `json:"it"`          // seconds that a connection may be idle; 0: no limit
	Request   int32  `json:"rt,omitzero"` // seconds that an answer may take; 0: no limit. Of HTTP
}

// Indexes of ConnectPorts.
const (
	byConnectAddress   = "address"
	byConnectOwner     = "owner"
	byConnectDiscovery = "discovery"
)

// ConnectPorts is the table of ports of Service Connect, by account/region/namespace/name:port.
var ConnectPorts = store.NewTable("elbv2/connect-port", ConnectPort.Key,
	store.Index(byConnectAddress, func(p ConnectPort) []string { return []string{p.Address.String()} }),
	store.Index(byConnectOwner, func(p ConnectPort) []string { return []string{p.Owner} }),
	store.Index(byConnectDiscovery, func(p ConnectPort) []string { return []string{p.Discovery} }),
)

func (p ConnectPort) nameKey() string {
	return p.Account + "/" + p.Region + "/" + p.Namespace + "/" + p.Name + ":"
}

// Key is account/region/namespace/name:port.
func (p ConnectPort) Key() string { return p.nameKey() + strconv.Itoa(int(p.Port)) }

// Alias is name:port.
func (p ConnectPort) Alias() string { return p.Name + ":" + strconv.Itoa(int(p.Port)) }

// connectGroup begins the names of the target groups of ports. No name that a user may give has a colon.
const connectGroup = "connect:"

// GroupKey is the key of the target group with the port's targets.
func (p ConnectPort) GroupKey() string {
	return p.Account + "/" + p.Region + "/" + connectGroup + p.Namespace + "/" + p.Alias()
}

// GroupByKey finds a target group by its key, also that of a port of Service Connect.
func GroupByKey(r store.Reader, key string) (TargetGroup, bool) {
	account, region, path := splitKey(key)
	path, ok := strings.CutPrefix(path, connectGroup)
	if !ok {
		return TargetGroups.Get(r, key)
	}
	p, ok := ConnectPorts.Get(r, account+"/"+region+"/"+path)
	return p.group(), ok
}

// connectDelay is how long open connections of Service Connect get when their task stops, in seconds: as long as a container gets by default.
const connectDelay = 30

// group is the target group of the port. Whether a target takes connections is checked often, so that a new one gets traffic
// soon after it listens. One that fails requests is taken out for a while. Source: ECS developer guide, Service Connect, outlier detection.
func (p ConnectPort) group() TargetGroup {
	return TargetGroup{
		Account: p.Account, Region: p.Region, Name: connectGroup + p.Namespace, ID: p.Alias(), Protocol: api.ProtocolEnum(p.Protocol), Version: p.Version,
		TargetType: api.TargetTypeEnumInstance, connect: true,
		Check: api.TargetGroup{
			HealthCheckEnabled: new(true), HealthCheckProtocol: api.ProtocolEnumTCP, HealthCheckIntervalSeconds: new(int32(5)),
			HealthCheckTimeoutSeconds: new(int32(3)), HealthyThresholdCount: new(int32(2)), UnhealthyThresholdCount: new(int32(2)),
		},
		Attributes: map[string]string{attrDelay: strconv.Itoa(connectDelay), "outlier.failures": "5", "outlier.seconds": "30"},
	}
}

// Connect says whether the group is that of a port of Service Connect.
func (g TargetGroup) Connect() bool { return g.connect }

// ClaimPort makes a port, or changes the one that its owner has. The address is filled in. Without effect, it gives the ARN of another
// owner that has the name and port, or that has the Cloud Map service.
func ClaimPort(tx *store.Tx, p ConnectPort) (other string) {
	have, ok := ConnectPorts.Get(tx, p.Key())
	if ok && have.Owner != p.Owner {
		return have.Owner
	}
	for v := range ConnectPorts.By(tx, byConnectDiscovery, p.Discovery) {
		if v.Owner != p.Owner {
			return v.Owner
		}
	}
	if p.Address = have.Address; !ok {
		p.Address = connectAddress(tx, p)
	}
	if p != have {
		ConnectPorts.Put(tx, p)
	}
	return ""
}

// ReleasePort removes a port; the reconciler "elbv2.target" removes its targets. last says that no other port has its Cloud Map service.
func ReleasePort(tx *store.Tx, p ConnectPort) (last bool) {
	ConnectPorts.Delete(tx, p.Key())
	return ConnectPorts.CountBy(tx, byConnectDiscovery, p.Discovery) == 0
}

// PortsOf are the ports of an ECS service, by its ARN.
func PortsOf(r store.Reader, owner string) []ConnectPort {
	return slices.Collect(ConnectPorts.By(r, byConnectOwner, owner))
}

// HasTargets says whether a target group has targets, also such as leave.
func HasTargets(r store.Reader, group string) bool {
	return Targets.CountBy(r, byTargetGroup, group) > 0
}

// PortsIn are the ports in a namespace, in order of name and port.
func PortsIn(r store.Reader, account, region, namespace string) []ConnectPort {
	return slices.SortedFunc(ConnectPorts.Prefix(r, account+"/"+region+"/"+namespace+"/"), func(a, b ConnectPort) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port))
	})
}

// connectAddress is the address of the port's name: the one that it has, else the first free one from where the name says.
func connectAddress(r store.Reader, p ConnectPort) netip.Addr {
	for have := range ConnectPorts.Prefix(r, p.nameKey()) {
		return have.Address
	}
	size := uint32(1) << (32 - proto.ConnectNet.Bits())
	base := binary.BigEndian.Uint32(proto.ConnectNet.Addr().AsSlice())
	sum := sha256.Sum256([]byte(p.nameKey()))
	start := binary.BigEndian.Uint32(sum[:4])
	for i := range size {
		at := (start + i) % size
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base+at)))
		if at != 0 && at != size-1 && ConnectPorts.CountBy(r, byConnectAddress, a.String()) == 0 {
			return a
		}
	}
	return netip.Addr{} // more than a hundred thousand names: this one is reached by nobody
}

// balancer is the port as machines carry it.
func (p ConnectPort) balancer() haproxy.LoadBalancer {
	group := groupKind + connectGroup + p.Namespace + "/" + p.Alias()
	forward := haproxy.Action{Kind: haproxy.Forward, Groups: []haproxy.Weighted{{Group: group, Weight: 1}}}
	out := haproxy.LoadBalancer{
		ID: "connect/" + p.Namespace + "/" + p.Alias(), Kind: haproxy.Connect,
		Listeners: []haproxy.Listener{{ID: "0", Port: int(p.Port), Protocol: p.Protocol, Rules: []haproxy.Rule{{ID: "default", Action: forward}}}},
		Attributes: map[string]string{
			"idle_timeout.timeout_seconds": strconv.Itoa(int(p.Idle)), "request_timeout.seconds": strconv.Itoa(int(p.Request)),
		},
	}
	if p.Address.IsValid() {
		out.Addresses = []netip.Addr{p.Address}
	}
	return out
}
