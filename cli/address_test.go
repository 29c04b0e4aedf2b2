package cli

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	own "berth/api/berth"
)

// addressing answers GetAddresses, with what say makes of the number of the call.
func addressing(t *testing.T, say func(call int) []own.Address) *Client {
	t.Helper()
	calls := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		_ = json.NewEncoder(w).Encode(own.GetAddressesResponse{Addresses: say(calls)})
	}))
	t.Cleanup(s.Close)
	return NewClient(Connection{Endpoint: s.URL, Region: "eu-west-1", AccessKeyID: "a", SecretAccessKey: "b"})
}

func TestURLsWaitUntilTheListenerIsServed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	address := own.Address{LoadBalancer: "arn:lb", Protocol: "HTTP", Port: n, Machine: "m", Local: "127.0.0.1"}
	c := addressing(t, func(call int) []own.Address {
		a := address
		a.Served = call > 2
		return []own.Address{a}
	})
	got, err := c.URLs(t.Context(), "", "web", "m", time.Minute)
	if diff := cmp.Diff(got, []string{"http://127.0.0.1:" + port + "/"}); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestURLsSayWhyNothingAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	l.Close()
	for _, c := range []struct {
		name    string
		address own.Address
		cause   string
	}{
		{"not served", own.Address{Hindered: "HAProxy refuses the configuration: x"}, "its machine does not serve the listener yet: HAProxy refuses the configuration: x"},
		{"nobody listens", own.Address{Served: true, Hindered: "the port is taken"}, "connection refused: the port is taken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.address.LoadBalancer, c.address.Protocol, c.address.Port, c.address.Public = "arn:lb", "HTTP", n, "127.0.0.1"
			_, err := addressing(t, func(int) []own.Address { return []own.Address{c.address} }).URLs(t.Context(), "", "web", "", 0)
			f, ok := errors.AsType[*Failure](err)
			if !ok || !strings.HasSuffix(f.Cause, c.cause) || f.Fix != "berth why arn:lb" || f.Exit != ExitTimedOut {
				t.Errorf("%+v", err)
			}
		})
	}
}
