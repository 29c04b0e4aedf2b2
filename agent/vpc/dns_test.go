package vpc

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"berth/test/netlab"
)

// query is a DNS question for the root's name servers, with ID 0x1234.
var query = []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}

// resolverOn answers every query on a machine's loopback with code NXDOMAIN, over UDP and TCP.
func resolverOn(t *testing.T, m *netlab.Machine) string {
	t.Helper()
	l, err := m.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var c net.PacketConn
	if err := m.Run(func() (err error) { c, err = net.ListenPacket("udp4", l.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	answer := func(q []byte) []byte {
		a := append([]byte(nil), q...)
		a[2], a[3] = 0x81, 0x83
		return a
	}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(answer(buf[:n]), from)
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 2+len(query))
			if _, err := io.ReadFull(conn, buf); err == nil {
				_, _ = conn.Write(append(buf[:2:2], answer(buf[2:])...))
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestContainersResolveByTheGateway(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	upstream := resolverOn(t, m)
	for _, tc := range []struct {
		name      string
		resolvers []string
		code      byte
	}{
		{"a resolver on the machine's loopback", []string{upstream}, 3},
		{"a dead resolver before it", []string{"127.0.0.1:1", upstream}, 3},
		{"only a dead resolver: SERVFAIL", []string{"127.0.0.1:1"}, 2},
		{"none, without egress: REFUSED", nil, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir()+"/net")
			cfg.Resolvers = tc.resolvers
			n := openOn(t, m, cfg)
			res := attach(t, n, "c")
			conn, err := from(t, res.NetNS)(t.Context(), "udp", net.JoinHostPort(res.DNS[0], "53"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			buf := make([]byte, 512)
			if _, err := conn.Write(query); err != nil {
				t.Fatal(err)
			}
			k, err := conn.Read(buf)
			if err != nil || k < 12 || binary.BigEndian.Uint16(buf) != 0x1234 || buf[3]&15 != tc.code {
				t.Errorf("UDP: got % x, %v, want code %d", buf[:k], err, tc.code)
			}
		})
	}
}

func TestContainersResolveOverTCP(t *testing.T) {
	m := netlab.New(t, 1).Machines[0]
	cfg := testConfig(t, t.TempDir()+"/net")
	cfg.Resolvers = []string{resolverOn(t, m)}
	n := openOn(t, m, cfg)
	res := attach(t, n, "c")
	conn, err := from(t, res.NetNS)(t.Context(), "tcp", net.JoinHostPort(res.DNS[0], "53"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(append([]byte{0, byte(len(query))}, query...)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2+len(query))
	if _, err := io.ReadFull(conn, buf); err != nil || buf[5]&15 != 3 {
		t.Errorf("got % x, %v, want NXDOMAIN", buf, err)
	}
}
