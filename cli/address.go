package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"

	own "berth/api/berth"
)

// URLs are where a service or a load balancer answers from this machine, best first. here is the ARN of the container instance that this
// machine is; empty if it is none.
func (c *Client) URLs(ctx context.Context, cluster, subject, here string) ([]string, error) {
	out, err := Call[own.GetAddressesResponse](ctx, c, Own, "GetAddresses", own.GetAddressesRequest{Cluster: cluster, Subject: subject})
	if err != nil {
		return nil, err
	}
	var near, far []string
	for _, a := range out.Addresses {
		if a.Machine == here && a.Local != "" {
			near = append(near, urlOf(a, a.Local))
		}
		if a.Public != "" {
			far = append(far, urlOf(a, a.Public))
		}
	}
	all := append(near, far...)
	if len(all) == 0 {
		return nil, noAddress(subject, out.Addresses)
	}
	return all, nil
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
