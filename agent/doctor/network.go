package doctor

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/agent/vpc/thread"
)

// tryNetwork makes what agent/vpc makes, in a network namespace that is thrown away, and looks for rules of others that drop
// forwarded packets.
func (f *Facts) tryNetwork() {
	f.NetnsError = errText(thread.Own(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		f.VethError = errText(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "berth0"}, PeerName: "berth1"}))
		f.NftError = errText(tryTable())
		return nil
	}))
	f.ForwardDrop = forwardDrops()
}

// tryTable commits a table with a set, address types, connection tracking, NAT, masquerade and reject.
func tryTable() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := c.AddTable(&nftables.Table{Name: "berth_doctor", Family: nftables.TableFamilyIPv4})
	set := &nftables.Set{
		Table: t, Name: "ports", ID: 1, Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
	}
	if err := c.AddSet(set, nil); err != nil {
		return err
	}
	local := []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Ct{Register: 1, Key: expr.CtKeySTATUS},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 8},
		&expr.Payload{DestRegister: 9, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 8, SetName: set.Name, SetID: set.ID},
	}
	to := []expr.Any{
		&expr.Immediate{Register: 1, Data: []byte{127, 0, 0, 1}},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}
	for _, ch := range []struct {
		name     string
		kind     nftables.ChainType
		hook     *nftables.ChainHook
		priority *nftables.ChainPriority
		rule     []expr.Any
	}{
		{"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, append(local, to...)},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, []expr.Any{&expr.Masq{}}},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, []expr.Any{&expr.Reject{Code: 3}}},
	} {
		chain := c.AddChain(&nftables.Chain{Table: t, Name: ch.name, Type: ch.kind, Hooknum: ch.hook, Priority: ch.priority})
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: ch.rule})
	}
	return c.Flush()
}

// forwardDrops names the chains at the forward hook whose policy is drop. Rules of the old iptables kernel interface don't show here.
func forwardDrops() []string {
	c, err := nftables.New()
	if err != nil {
		return nil
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil
	}
	var all []string
	for _, ch := range chains {
		if ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward && ch.Table.Family != nftables.TableFamilyARP &&
			ch.Table.Family != nftables.TableFamilyBridge && ch.Table.Family != nftables.TableFamilyNetdev &&
			ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
			all = append(all, fmt.Sprintf("table %s chain %s", ch.Table.Name, ch.Name))
		}
	}
	return all
}
