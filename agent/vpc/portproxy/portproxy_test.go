package portproxy

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReservedPortsWithinARequest(t *testing.T) {
	spans := []portSpan{{51678, 51680}, {60000, 60000}}
	for _, tc := range []struct {
		name        string
		host, count uint16
		want        int
	}{
		{"before", 51670, 8, 0},
		{"touches the first", 51670, 9, 51678},
		{"covers all", 51670, 100, 51680},
		{"inside", 51679, 1, 51679},
		{"after", 51681, 10, 0},
		{"the highest of several counts", 51600, 9000, 60000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := lastReserved(spans, Port{Host: tc.host, Count: tc.count}); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestRefusalKeepsIDOpcodeAndRecursion(t *testing.T) {
	query := []byte{0xab, 0xcd, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 1}
	want := []byte{0xab, 0xcd, 0x81, 0x82, 0, 0, 0, 0, 0, 0, 0, 0}
	if got := refusal(query, 2); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestReplyLeavesFromTheAddressThatWasAsked(t *testing.T) {
	global := unix.Inet6Pktinfo{Addr: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}, Ifindex: 7}
	linkLocal := unix.Inet6Pktinfo{Addr: [16]byte{0xfe, 0x80, 15: 1}, Ifindex: 7}
	anyLink := global
	anyLink.Ifindex = 0
	for _, tc := range []struct {
		name      string
		got, want unix.Inet6Pktinfo
	}{
		{"from any interface", global, anyLink},
		{"a link-local address from its own interface", linkLocal, linkLocal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, want := replySource(unix.PktInfo6(&tc.got)), unix.PktInfo6(&tc.want); !bytes.Equal(got, want) {
				t.Errorf("got % x, want % x", got, want)
			}
		})
	}
	if got := replySource(nil); got != nil {
		t.Errorf("without a message: got % x", got)
	}
}
