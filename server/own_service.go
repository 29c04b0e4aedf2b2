package server

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	own "berth/api/berth"
	"berth/aws"
	"berth/ecs"
	"berth/elbv2"
	"berth/store"
)

// mostEvents is how many events one call gives.
const mostEvents = 1000

// ListEvents gives the events of one service, or of all of a cluster.
func (o *ownService) ListEvents(ctx context.Context, in *own.ListEventsRequest) (*own.ListEventsResponse, error) {
	if in.Limit < 0 || in.Limit > mostEvents {
		return nil, aws.Errorf("InvalidParameterException", "limit must be between 1 and %d.", mostEvents)
	}
	limit := in.Limit
	if limit == 0 {
		limit = mostEvents
	}
	events, err := o.s.ecs.Events(ctx, in.Cluster, in.Service, time.UnixMilli(in.Since), limit)
	if err != nil {
		return nil, err
	}
	out := &own.ListEventsResponse{Events: []own.Event{}}
	for _, e := range events {
		out.Events = append(out.Events, own.Event(e))
	}
	return out, nil
}

// ListTargets gives the targets of a service's tasks, with what the machines that check them last heard.
func (o *ownService) ListTargets(ctx context.Context, in *own.ListTargetsRequest) (*own.ListTargetsResponse, error) {
	targets, err := o.s.ecs.ServiceTargets(ctx, in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	return &own.ListTargetsResponse{Targets: targetShapes(targets)}, nil
}

func targetShapes(targets []ecs.WhyTarget) []own.Target {
	out := []own.Target{}
	for _, t := range targets {
		out = append(out, own.Target(t))
	}
	return out
}

// GetAddresses says where a load balancer, or a service, answers.
func (o *ownService) GetAddresses(ctx context.Context, in *own.GetAddressesRequest) (*own.GetAddressesResponse, error) {
	r, caller := o.s.store.Read(), aws.CallerFrom(ctx)
	out := &own.GetAddressesResponse{Addresses: []own.Address{}}
	place := caller.Account + "/" + caller.Region + "/"
	if lb, ok := findBalancer(r, caller, in.Subject); ok {
		out.Addresses = addressesOf(r, lb, nil)
		return out, nil
	}
	found, err := o.s.ecs.ServiceAddresses(ctx, in.Cluster, in.Subject)
	if e, ok := err.(*aws.Error); ok && strings.HasSuffix(e.Code, "NotFoundException") {
		return nil, aws.Errorf("ResourceNotFoundException", "No load balancer, and no service of the cluster, is named %s.", in.Subject)
	}
	if err != nil {
		return nil, err
	}
	if len(found.Groups) > 0 {
		for lb := range elbv2.LoadBalancers.Prefix(r, place) {
			out.Addresses = append(out.Addresses, addressesOf(r, lb, found.Groups)...)
		}
	} else {
		for _, p := range found.Ports {
			out.Addresses = append(out.Addresses, own.Address{
				Protocol: strings.ToUpper(p.Protocol), Port: p.Port, Machine: string(p.Instance), Local: "127.0.0.1", Public: p.Host, Served: true,
			})
		}
	}
	return out, nil
}

// findBalancer finds a load balancer of the caller by its name, ARN or DNS name.
func findBalancer(r store.Reader, caller aws.Caller, subject string) (elbv2.LoadBalancer, bool) {
	for lb := range elbv2.LoadBalancers.Prefix(r, caller.Account+"/"+caller.Region+"/") {
		if lb.Name == subject || lb.ARN().String() == subject || strings.EqualFold(lb.DNSName(), subject) {
			return lb, true
		}
	}
	return elbv2.LoadBalancer{}, false
}

// addressesOf are the addresses of a load balancer's listeners, of those that forward to one of the groups if any is named.
func addressesOf(r store.Reader, lb elbv2.LoadBalancer, groups []string) (out []own.Address) {
	for _, l := range elbv2.ListenersByUse(r, lb) {
		if groups != nil && !slices.ContainsFunc(elbv2.ForwardedBy(r, l), func(arn string) bool { return slices.Contains(groups, arn) }) {
			continue
		}
		for _, i := range elbv2.ConnectedIngresses(r, lb.Account, lb.Region) {
			a := own.Address{
				LoadBalancer: lb.ARN().String(), DNSName: lb.DNSName(), Protocol: string(l.Protocol), Port: int(l.Port), Machine: i.Instance,
				Served: l.ServedBy(r, i), Hindered: i.Problem,
			}
			if i.Loopback.IsValid() {
				a.Local = loopbackOf(i.Loopback, lb.Number).String()
			}
			if public := i.Published[lb.Path()]; public.IsValid() {
				a.Public = public.String()
			}
			out = append(out, a)
		}
	}
	return out
}

// loopbackOf is the address of the load balancer with a number on a machine with a loopback network.
func loopbackOf(network netip.Prefix, number int) netip.Addr {
	a := network.Addr().As4()
	return netip.AddrFrom4([4]byte{a[0], a[1], a[2] + byte(number>>8), byte(number)})
}
