package vpc

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent/vpc/thread"
)

// fabric is what network.json has. Written once, before any of it is used.
type fabric struct {
	Version int          `json:"v"`
	Near    netip.Addr   `json:"near"` // the uplink's address in the main namespace
	Far     netip.Addr   `json:"far"`  // and in the bridge namespace
	Pool    netip.Prefix `json:"pool"`
	// ForwardWas is net.ipv4.ip_forward as it was before any agent of this machine changed it.
	ForwardWas string `json:"forwardWas"`
}

func (f fabric) gateway() netip.Addr { return f.Pool.Addr().Next() }

const fabricVersion = 1

func readFabric(c Config) (fabric, bool, error) {
	var f fabric
	data, err := os.ReadFile(c.path("network.json"))
	if errors.Is(err, os.ErrNotExist) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("read network state: %w", err)
	}
	if err := json.Unmarshal(data, &f); err != nil || !f.Near.IsValid() || !f.Far.IsValid() || !f.Pool.IsValid() {
		return fabric{}, false, nil // torn by a power failure: the namespaces are gone too
	}
	if f.Version != fabricVersion {
		return f, false, fmt.Errorf("network state has version %d, this program knows %d", f.Version, fabricVersion)
	}
	return f, true, nil
}

// writeFile replaces a file in one step. It does not wait for the disk: namespaces and links don't survive a power failure either.
func writeFile(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// planFabric reads the recorded fabric or decides a new one. A changed pool takes effect when no container is left.
func planFabric(c Config, main *namespace, containers int) (fabric, error) {
	f, found, err := readFabric(c)
	if err != nil {
		return f, err
	}
	if found && f.Pool != c.Pool {
		if containers == 0 {
			f.Pool = c.Pool
		} else {
			c.Log.Warn("container pool stays until no container is left", "pool", f.Pool, "wanted", c.Pool)
		}
	}
	if !found {
		f = fabric{Version: fabricVersion, Pool: c.Pool}
		if f.Near, f.Far, err = chooseUplink(c, main); err != nil {
			return f, err
		}
		if f.ForwardWas, err = forwardBefore(main); err != nil {
			return f, err
		}
	}
	return f, writeFile(c.path("network.json"), f)
}

// chooseUplink picks a pair of addresses that nothing in the main namespace has a route to, from a place that the directory's name decides.
func chooseUplink(c Config, main *namespace) (near, far netip.Addr, err error) {
	routes, err := main.nl.RouteList(nil, unix.AF_INET)
	if err != nil {
		return near, far, fmt.Errorf("list routes: %w", err)
	}
	pairs := uint32(1) << (31 - c.LinkPool.Bits())
	sum := sha256.Sum256([]byte(c.Dir))
	start := binary.BigEndian.Uint32(sum[4:8]) % pairs
	base := binary.BigEndian.Uint32(c.LinkPool.Addr().AsSlice())
	for i := range pairs {
		at := base + 2*((start+i)%pairs)
		near, far = address4(at), address4(at+1)
		if !routed(routes, near, c.uplinkName(), main) {
			return near, far, nil
		}
	}
	return near, far, fmt.Errorf("no free pair of addresses in uplink pool %s", c.LinkPool)
}

func address4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// routed tells whether another link's route, except for default routes and all of 169.254.0.0/16, covers the address.
func routed(routes []netlink.Route, a netip.Addr, own string, main *namespace) bool {
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		bits, _ := r.Dst.Mask.Size()
		if bits <= 16 || !r.Dst.Contains(a.AsSlice()) {
			continue
		}
		if link, err := main.nl.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().Name == own {
			continue
		}
		return true
	}
	return false
}

// aliasPrefix begins the uplink's alias, which carries forwardWas from agent to agent of one machine.
const aliasPrefix = "berth ip_forward="

// forwardBefore returns ip_forward as the first agent of this machine found it.
func forwardBefore(main *namespace) (string, error) {
	links, err := main.nl.LinkList()
	if err != nil {
		return "", fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if was, ok := strings.CutPrefix(l.Attrs().Alias, aliasPrefix); ok && strings.HasPrefix(l.Attrs().Name, linkPrefix) {
			return was, nil
		}
	}
	var was string
	err = main.run(func() (err error) {
		was, err = readSysctl("net.ipv4.ip_forward")
		return err
	})
	return was, err
}

// ensureBridge makes the bridge namespace if it is not there. fresh tells that it was made now.
func ensureBridge(c Config, f fabric) (b *namespace, fresh bool, err error) {
	path := c.path("ns", "bridge")
	b, err = openNamespace(path)
	if errors.Is(err, thread.ErrNoNamespace) {
		fresh = true
		if err = createNamespace(path, bridgeSysctls); err == nil {
			b, err = openNamespace(path)
		}
	}
	if err != nil {
		return nil, fresh, fmt.Errorf("bridge namespace: %w", err)
	}
	if err := ensureGateway(b, f); err != nil {
		b.Close()
		return nil, fresh, fmt.Errorf("bridge namespace: %w", err)
	}
	return b, fresh, nil
}

// bridgeSysctls make a new namespace an IPv4 router.
func bridgeSysctls() error {
	for _, s := range [][2]string{
		{"net.ipv4.ip_forward", "1"},
		{"net.ipv4.conf.all.rp_filter", "0"}, // addresses are checked more strictly by rules
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv4.conf.all.send_redirects", "0"},
		{"net.ipv4.conf.default.send_redirects", "0"},
		{"net.ipv4.conf.all.accept_redirects", "0"},
		{"net.ipv4.conf.default.accept_redirects", "0"},
	} {
		if err := writeSysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	return disableIPv6("all", "default")
}

// disableIPv6 turns IPv6 off; a kernel without it is fine.
func disableIPv6(links ...string) error {
	for _, l := range links {
		err := writeSysctl("net.ipv6.conf."+l+".disable_ipv6", "1")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func ensureGateway(b *namespace, f fabric) error {
	lo, err := b.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := b.nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	have, err := b.nl.AddrList(lo, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list addresses of lo: %w", err)
	}
	own := []netip.Addr{f.gateway(), bridgeEndpoint.Addr()}
	for _, a := range have { // an earlier pool's gateway
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if !ip.IsLoopback() && a.Label != balancerLabel && !slices.Contains(own, ip) {
			if err := b.nl.AddrDel(lo, &a); err != nil {
				return fmt.Errorf("remove address %s: %w", a.IP, err)
			}
		}
	}
	for _, ip := range own {
		if err := b.nl.AddrReplace(lo, &netlink.Addr{IPNet: ipNet(host(ip))}); err != nil {
			return fmt.Errorf("set address %s: %w", ip, err)
		}
	}
	for _, dst := range []netip.Prefix{f.Pool, linkLocalNet} { // what is not ours is nowhere
		r := &netlink.Route{Dst: ipNet(dst), Type: unix.RTN_UNREACHABLE}
		if err := b.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("set unreachable route for %s: %w", dst, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
