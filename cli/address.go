package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	own "berth/api/berth"
)

// place is an address with the URL and the host at which it is reached from here.
type place struct {
	own.Address
	url, host string
}

// urlAgain is the pause between two looks at what does not answer yet.
const urlAgain = 100 * time.Millisecond

// URLs gives the URLs at which a service or a load balancer answers from the machine that is the container instance here, the best first. For
// up to wait it waits until the first one answers, if it is a load balancer's.
func (c *Client) URLs(ctx context.Context, cluster, subject, here string, wait time.Duration) ([]string, error) {
	deadline := time.Now().Add(wait)
	for {
		places, err := c.places(ctx, cluster, subject, here)
		if err != nil {
			return nil, err
		}
		silent := places[0].silent(ctx)
		if silent == "" {
			urls := make([]string, len(places))
			for i, p := range places {
				urls[i] = p.url
			}
			return urls, nil
		}
		if !time.Now().Before(deadline) {
			return nil, &Failure{
				What: places[0].url + " does not answer after " + wait.String(), Cause: silent, Fix: "berth why " + places[0].LoadBalancer, Exit: ExitTimedOut,
			}
		}
		select {
		case <-time.After(urlAgain):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// places are those that can be reached from here, those on this machine first.
func (c *Client) places(ctx context.Context, cluster, subject, here string) ([]place, error) {
	out, err := Call[own.GetAddressesResponse](ctx, c, Own, "GetAddresses", own.GetAddressesRequest{Cluster: cluster, Subject: subject})
	if err != nil {
		return nil, err
	}
	var near, far []place
	for _, a := range out.Addresses {
		if a.Machine == here && a.Local != "" {
			near = append(near, place{a, urlOf(a, a.Local), a.Local})
		}
		if a.Public != "" {
			far = append(far, place{a, urlOf(a, a.Public), a.Public})
		}
	}
	all := append(near, far...)
	if len(all) == 0 {
		return nil, noAddress(subject, out.Addresses)
	}
	return all, nil
}

// silent says why a load balancer's address does not answer; empty: it does.
func (p place) silent(ctx context.Context) string {
	if p.LoadBalancer == "" {
		return ""
	}
	hindered := p.Hindered
	if hindered != "" {
		hindered = ": " + hindered
	}
	if !p.Served {
		return "its machine does not serve the listener yet" + hindered
	}
	if p.Protocol == "UDP" {
		return ""
	}
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(p.host, strconv.Itoa(p.Port)))
	if err != nil {
		return err.Error() + hindered
	}
	_ = conn.Close()
	return ""
}

// noAddress says why nothing answers from here.
func noAddress(subject string, known []own.Address) error {
	if len(known) == 0 {
		return &Failure{
			What: subject + " answers nowhere", Cause: "it has no listener, or no connected machine carries its traffic",
			Fix: "berth why " + subject, Exit: ExitNotFound,
		}
	}
	return &Failure{
		What: subject + " does not answer from here", Cause: "it answers on " + strconv.Itoa(len(known)) + " machines of the cluster, and this is none of them",
		Fix: "start the agents with --ingress-publish ADDRESS, and make the load balancer internet-facing",
	}
}

func urlOf(a own.Address, host string) string {
	scheme, usual := map[string]string{"HTTP": "http", "HTTPS": "https", "UDP": "udp"}[a.Protocol], map[string]int{"HTTP": 80, "HTTPS": 443}[a.Protocol]
	if scheme == "" {
		scheme = "tcp"
	}
	if a.Port == usual {
		return fmt.Sprintf("%s://%s/", scheme, host)
	}
	out := scheme + "://" + net.JoinHostPort(host, strconv.Itoa(a.Port))
	if usual != 0 {
		out += "/"
	}
	return out
}
