package names

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"berth/agent/proto"
)

func addresses(n int, unhealthy func(int) bool) []proto.NameValue {
	var out []proto.NameValue
	for i := range n {
		out = append(out, proto.NameValue{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Unhealthy: unhealthy(i)})
	}
	return out
}

func known() proto.Names {
	const lb = "web-0123456789.us-east-1.elb.berth.internal"
	all, none := func(int) bool { return true }, func(int) bool { return false }
	return proto.Names{
		Revision: 7,
		Balancers: []proto.BalancerName{
			{Name: lb, Number: 300, Addresses: []netip.Addr{netip.MustParseAddr("172.31.0.9"), netip.MustParseAddr("172.31.16.9")}},
		},
		Zones: []proto.Zone{
			{Name: "Corp.local", TTL: 15, Sets: []proto.NameSet{
				{Name: "few.corp.local", Type: "A", TTL: 60, Values: addresses(3, none)},
				{Name: "few.corp.local", Type: "AAAA", TTL: 60, Values: []proto.NameValue{{Address: netip.MustParseAddr("fd00::1")}}},
				{Name: "many.corp.local", Type: "A", TTL: 60, Values: addresses(100, none)},
				{Name: "half.corp.local", Type: "A", TTL: 60, Values: addresses(4, func(i int) bool { return i%2 == 0 })},
				{Name: "sick.corp.local", Type: "A", TTL: 60, Values: addresses(12, all)},
				{Name: "one.corp.local", Type: "A", TTL: 60, One: true, Values: addresses(5, none)},
				{Name: "_api._tcp.corp.local", Type: "SRV", TTL: 5, Values: []proto.NameValue{{Target: "i-1._api._tcp.corp.local", Port: 8080}}},
				{Name: "i-1._api._tcp.corp.local", Type: "A", TTL: 5, Values: addresses(1, none)},
				{Name: "alias.corp.local", Type: "A", TTL: 60, One: true, Values: []proto.NameValue{{Target: lb}}},
				{Name: "near.corp.local", Type: "CNAME", TTL: 60, One: true, Values: []proto.NameValue{{Target: "few.corp.local"}}},
				{Name: "far.corp.local", Type: "CNAME", TTL: 60, One: true, Values: []proto.NameValue{{Target: "www.example.com"}}},
				{Name: "ring.corp.local", Type: "CNAME", TTL: 60, One: true, Values: []proto.NameValue{{Target: "ring.corp.local"}}},
				{Name: "a..b.corp.local", Type: "A", TTL: 60, Values: addresses(1, none)},
				{Name: strings.Repeat("x", 64) + ".corp.local", Type: "A", TTL: 60, Values: addresses(1, none)},
			}},
			{Name: "inner.corp.local", TTL: 3},
		},
	}
}

// told is the answer's code, flags and records without those of the authority section, which it names by SOA.
func told(m *dns.Msg) string {
	if m == nil {
		return "not ours"
	}
	var records []string
	for _, r := range slices.Concat(m.Answer, m.Extra) {
		if r.Header().Rrtype != dns.TypeOPT {
			records = append(records, strings.Join(strings.Fields(r.String()), " "))
		}
	}
	slices.Sort(records)
	if len(m.Ns) > 0 {
		records = append(records, fmt.Sprintf("SOA %s %d", m.Ns[0].Header().Name, m.Ns[0].(*dns.SOA).Minttl))
	}
	return dns.RcodeToString[m.Rcode] + ": " + strings.Join(records, "; ")
}

func ask(t *Table, name, kind string) (*dns.Msg, string) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[kind])
	return t.Answer(q)
}

func TestAnswers(t *testing.T) {
	table := New(known(), View{})
	for _, row := range []struct{ name, kind, want string }{
		{"few.corp.local", "A", "NOERROR: few.corp.local. 60 IN A 10.0.0.0; few.corp.local. 60 IN A 10.0.0.1; few.corp.local. 60 IN A 10.0.0.2"},
		{"FEW.corp.LOCAL", "AAAA", "NOERROR: few.corp.local. 60 IN AAAA fd00::1"},
		{"few.corp.local", "SRV", "NOERROR: SOA corp.local. 15"},
		{"half.corp.local", "A", "NOERROR: half.corp.local. 60 IN A 10.0.0.1; half.corp.local. 60 IN A 10.0.0.3"},
		{"_api._tcp.corp.local", "SRV", "NOERROR: _api._tcp.corp.local. 5 IN SRV 1 1 8080 i-1._api._tcp.corp.local.; i-1._api._tcp.corp.local. 5 IN A 10.0.0.0"},
		{"_tcp.corp.local", "A", "NOERROR: SOA corp.local. 15"},
		{"none.corp.local", "A", "NXDOMAIN: SOA corp.local. 15"},
		{"x.inner.corp.local", "A", "NXDOMAIN: SOA inner.corp.local. 3"},
		{"berth.internal", "A", "NOERROR: SOA berth.internal. 15"},
		{"x.berth.internal", "A", "NXDOMAIN: SOA berth.internal. 15"},
		{"alias.corp.local", "A", "NOERROR: alias.corp.local. 60 IN A 172.31.0.9; alias.corp.local. 60 IN A 172.31.16.9"},
		{"web-0123456789.us-east-1.elb.berth.internal", "AAAA", "NOERROR: SOA berth.internal. 15"},
		{"near.corp.local", "AAAA", "NOERROR: few.corp.local. 60 IN AAAA fd00::1; near.corp.local. 60 IN CNAME few.corp.local."},
		{"near.corp.local", "CNAME", "NOERROR: near.corp.local. 60 IN CNAME few.corp.local."},
		{"example.com", "A", "not ours"},
		{"local", "A", "not ours"},
		{"xcorp.local", "A", "not ours"},
		{".", "NS", "not ours"},
	} {
		got, _ := ask(table, row.name, row.kind)
		if text := told(got); text != row.want {
			t.Errorf("%s %s\n got %s\nwant %s", row.name, row.kind, text, row.want)
		}
		if got != nil && !got.Authoritative {
			t.Errorf("%s %s: not authoritative", row.name, row.kind)
		}
	}
}

func TestTasksFindTheirMachineWhereItsPublishedPortsAre(t *testing.T) {
	n := proto.Names{Zones: []proto.Zone{{Name: "corp.local", TTL: 15, Sets: []proto.NameSet{
		{Name: "api.corp.local", Type: "A", TTL: 5, Values: []proto.NameValue{{Address: netip.MustParseAddr("127.0.0.1")}, {Address: netip.MustParseAddr("192.0.2.7")}}},
		{Name: "_api._tcp.corp.local", Type: "SRV", TTL: 5, Values: []proto.NameValue{{Target: "t1._api._tcp.corp.local", Port: 32768}}},
		{Name: "t1._api._tcp.corp.local", Type: "A", TTL: 5, Values: []proto.NameValue{{Address: netip.MustParseAddr("127.0.0.1")}}},
	}}}}
	tasks, machine := New(n, View{Machine: netip.MustParseAddr("10.231.0.1")}), New(n, View{Loopback: netip.MustParsePrefix("127.130.4.0/22")})
	for _, row := range []struct {
		table            *Table
		name, kind, want string
	}{
		{tasks, "api.corp.local", "A", "NOERROR: api.corp.local. 5 IN A 10.231.0.1; api.corp.local. 5 IN A 192.0.2.7"},
		{machine, "api.corp.local", "A", "NOERROR: api.corp.local. 5 IN A 127.0.0.1; api.corp.local. 5 IN A 192.0.2.7"},
		{tasks, "_api._tcp.corp.local", "SRV",
			"NOERROR: _api._tcp.corp.local. 5 IN SRV 1 1 32768 t1._api._tcp.corp.local.; t1._api._tcp.corp.local. 5 IN A 10.231.0.1"},
	} {
		got, _ := ask(row.table, row.name, row.kind)
		if text := told(got); text != row.want {
			t.Errorf("%s %s\n got %s\nwant %s", row.name, row.kind, text, row.want)
		}
	}
}

func TestAnswersHaveAtMostEightValuesInRandomOrder(t *testing.T) {
	table := New(known(), View{})
	for name, want := range map[string]int{"many.corp.local": 8, "sick.corp.local": 8, "one.corp.local": 1} {
		seen := map[string]bool{}
		for range 200 {
			got, _ := ask(table, name, "A")
			if len(got.Answer) != want {
				t.Fatalf("%s: %d values, want %d", name, len(got.Answer), want)
			}
			seen[got.Answer[0].String()] = true
		}
		if len(seen) < 3 {
			t.Errorf("%s: the first value was one of %d", name, len(seen))
		}
	}
}

func TestAliasesLeadElsewhereAndEnd(t *testing.T) {
	table := New(known(), View{})
	got, elsewhere := ask(table, "far.corp.local", "A")
	if told(got) != "NOERROR: far.corp.local. 60 IN CNAME www.example.com." || elsewhere != "www.example.com." {
		t.Errorf("got %s, elsewhere %s", told(got), elsewhere)
	}
	if got, elsewhere = ask(table, "ring.corp.local", "A"); len(got.Answer) != mostAliases || elsewhere != "" {
		t.Errorf("a ring of aliases: %s", told(got))
	}
}

func TestMachineReachesBalancersOnItsLoopback(t *testing.T) {
	loopback := netip.MustParsePrefix("127.130.4.0/22")
	got, _ := ask(New(known(), View{Loopback: loopback}), "web-0123456789.us-east-1.elb.berth.internal", "A")
	if want := "NOERROR: web-0123456789.us-east-1.elb.berth.internal. 60 IN A 127.130.5.44"; told(got) != want {
		t.Errorf("got %s, want %s", told(got), want)
	}
	if got := Last(loopback); got != netip.MustParseAddr("127.130.7.255") {
		t.Errorf("the machine's DNS answers at %s", got)
	}
}

func TestAnswersFit(t *testing.T) {
	n := known()
	for i := range 8 {
		n.Zones[0].Sets = append(n.Zones[0].Sets, proto.NameSet{Name: fmt.Sprintf("%s.%d.corp.local", strings.Repeat("y", 60), i), Type: "A", TTL: 1, Values: addresses(1, func(int) bool { return false })})
	}
	big := proto.NameSet{Name: "big.corp.local", Type: "SRV", TTL: 1}
	for i := range 8 {
		big.Values = append(big.Values, proto.NameValue{Target: fmt.Sprintf("%s.%d.corp.local", strings.Repeat("y", 60), i), Port: 1})
	}
	n.Zones[0].Sets = append(n.Zones[0].Sets, big)
	table := New(n, View{})
	for _, row := range []struct {
		edns, limit int
		udp, cut    bool
	}{{0, 512, true, true}, {4096, largestUDP, true, false}, {600, 600, true, true}, {0, dns.MaxMsgSize, false, false}} {
		q := new(dns.Msg).SetQuestion("big.corp.local.", dns.TypeSRV)
		if row.edns > 0 {
			q.SetEdns0(uint16(row.edns), false)
		}
		answer, _ := table.Answer(q)
		Fit(q, answer, row.udp)
		out, err := answer.Pack()
		if err != nil || len(out) > row.limit || answer.Truncated != row.cut || (answer.IsEdns0() != nil) != (row.edns > 0) {
			t.Errorf("%+v: %d bytes, truncated %v, %v", row, len(out), answer.Truncated, err)
		}
	}
}

func TestFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	var warned []error
	f := Open(dir, netip.Prefix{}, netip.Addr{}, func(err error) { warned = append(warned, err) })
	look := func() string { got, _ := ask(f.Tasks(), "few.corp.local", "AAAA"); return told(got) }
	if got := look(); got != "not ours" {
		t.Errorf("before there are names: %s", got)
	}
	if err := Write(dir, known()); err != nil {
		t.Fatal(err)
	}
	want := "NOERROR: few.corp.local. 60 IN AAAA fd00::1"
	if got := look(); got != want {
		t.Errorf("got %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(`{"zones":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, FileName), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != want || len(warned) != 1 {
		t.Errorf("a broken file: %s, warned %v", got, warned)
	}
}

func FuzzAnswer(f *testing.F) {
	table := New(known(), View{})
	for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeANY, dns.TypeCNAME, dns.TypeSOA} {
		q := new(dns.Msg).SetQuestion("many.corp.local.", kind)
		q.SetEdns0(1232, true)
		raw, _ := q.Pack()
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q := new(dns.Msg)
		if q.Unpack(raw) != nil {
			return
		}
		answer, _ := table.Answer(q)
		if answer == nil {
			answer = Refuse(q)
		}
		Fit(q, answer, true)
		out, err := answer.Pack()
		if err != nil || len(out) > largestUDP {
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
}
