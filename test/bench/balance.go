package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bareProxy is a HAProxy file as one writes it by hand: nothing but a round robin over the servers.
const bareProxy = `defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend web
  bind fd@3
  default_backend servers
backend servers
  balance roundrobin
`

// sameProxy is the same with the header fields that an application load balancer adds to each request.
const sameProxy = `defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend web
  bind fd@3
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port 80
  unique-id-format %{+X}o%Ts-%pid-%rt
  unique-id-header X-Amzn-Trace-Id
  default_backend servers
backend servers
  balance roundrobin
`

// bareTargets answers every request itself: the cheapest server that there is.
const bareTargets = `global
  nbthread 2
defaults
  mode http
  timeout client 60s
frontend target
  bind fd@3
  bind fd@4
  http-request return status 200 content-type text/plain string "I am well.\n"
`

// contestant is one way to the same targets.
type contestant struct {
	name string
	address
	pids  func() []int // its HAProxy
	extra func() []int // what else works for it: Berth's agent, which reads counters
	total runs
	used  time.Duration // processor time of pids
	more  time.Duration // of extra
	rates []float64     // of each turn
}

func (c *contestant) turn(ctx context.Context, connections int, d time.Duration) error {
	before, err := processorTime(c.pids()...)
	if err != nil {
		return err
	}
	beside, err := processorTime(c.extra()...)
	if err != nil {
		return err
	}
	r, err := c.drive(ctx, connections, d)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	after, err := processorTime(c.pids()...)
	if err != nil {
		return err
	}
	afterBeside, err := processorTime(c.extra()...)
	c.total.add(r)
	c.used, c.more = c.used+after-before, c.more+afterBeside-beside
	c.rates = append(c.rates, r.rate())
	return err
}

// each is processor time by request.
func (c *contestant) each(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d.Microseconds())/float64(len(c.total.took)))
}

// balance measures requests through a load balancer against a bare HAProxy in front of the same targets.
func (b *bench) balance(ctx context.Context) (err error) {
	if _, err := findHAProxy(); err != nil {
		b.report.note("Load balancer: skipped, HAProxy is not installed on this machine.")
		return nil
	}
	all, end, err := b.contestants(ctx)
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return err
	}
	rounds, turn := pick(b, 8, 4), pick(b, 2*time.Second, 500*time.Millisecond)
	b.report.section("Requests through a load balancer", fmt.Sprintf("Application load balancer, HTTP, keep-alive, its default rule, two targets that answer at once; client, HAProxy and targets on this machine. "+
		"In turns with it, %d turns of %s each: HAProxy with a minimal file written by hand, and, the baseline, one that adds the same header fields. "+
		"Ratio: the median over the turns of the rate over the baseline's. Processor time in microseconds by request: of HAProxy, and of the agent, which reads HAProxy's counters for the metrics.", rounds, turn),
		"connections", "through", "requests", "p50", "p99", "HAProxy", "agent", "ratio", "aim")
	for _, connections := range pick(b, []int{1, 32, 128}, []int{1, 32}) {
		if err := b.compete(ctx, all, connections, rounds, turn); err != nil {
			return err
		}
	}
	return nil
}

// contestants are Berth's load balancer, the minimal HAProxy and, last, the one that does the same. end removes them, also after an error.
func (b *bench) contestants(ctx context.Context) (all []*contestant, end func() error, err error) {
	var ends []func() error
	end = func() error {
		var errs []error
		for _, f := range slices.Backward(ends) {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	nobody := func() []int { return nil }
	targets, ports, err := listen(2)
	if err != nil {
		return nil, end, err
	}
	h, err := startHAProxy(ctx, b.berth.dir, bareTargets, targets...)
	if err != nil {
		return nil, end, err
	}
	ends = append(ends, h.end)
	l, err := b.berth.newBalancer(ctx, "bench")
	if err != nil {
		return nil, end, err
	}
	ends = append(ends, func() error { return l.remove(context.WithoutCancel(ctx)) })
	if err := l.register(ctx, ports...); err != nil {
		return nil, end, err
	}
	if err := b.berth.inRotation(ctx, ports...); err != nil {
		return nil, end, err
	}
	ours, err := newAddress(l.url)
	if err != nil {
		return nil, end, err
	}
	agent, err := b.berth.process("agent")
	if err != nil {
		return nil, end, err
	}
	all = append(all, &contestant{name: "Berth", address: ours, pids: b.berth.haproxies, extra: func() []int { return []int{agent} }})
	for _, bare := range []struct{ name, text string }{{"HAProxy, minimal", bareProxy}, {"HAProxy, same headers", sameProxy}} {
		var text strings.Builder
		text.WriteString(bare.text)
		for i, p := range ports {
			fmt.Fprintf(&text, "  server s%d 127.0.0.1:%d\n", i, p)
		}
		front, at, err := listen(1)
		if err != nil {
			return nil, end, err
		}
		h, err := startHAProxy(ctx, b.berth.dir, text.String(), front...)
		if err != nil {
			return nil, end, err
		}
		ends = append(ends, h.end)
		a, err := newAddress(fmt.Sprintf("http://127.0.0.1:%d/", at[0]))
		if err != nil {
			return nil, end, err
		}
		all = append(all, &contestant{name: bare.name, address: a, pids: h.pids, extra: nobody})
	}
	return all, end, nil
}

// compete drives all in turns and prints a row for each.
func (b *bench) compete(ctx context.Context, all []*contestant, connections, rounds int, turn time.Duration) error {
	for _, c := range all {
		c.total, c.used, c.more, c.rates = runs{}, 0, 0, nil
		if _, err := c.drive(ctx, connections, turn/4); err != nil { // opens connections to targets
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for i := range rounds {
		for j := range all {
			// The order changes, so that none is always first.
			if err := all[(i+j)%len(all)].turn(ctx, connections, turn); err != nil {
				return err
			}
		}
	}
	baseline := all[len(all)-1]
	for i, c := range all {
		var ratios []float64
		for turn := range c.rates {
			ratios = append(ratios, c.rates[turn]/baseline.rates[turn])
		}
		aim := ""
		if i == 0 {
			aim = "> 0.95: missed"
			if median(ratios) > 0.95 {
				aim = "> 0.95: met"
			}
		}
		b.report.row(fmt.Sprint(connections), c.name, rate(c.total.rate()), milliseconds(median(c.total.took)), milliseconds(at(c.total.took, 0.99)),
			c.each(c.used), c.each(c.more), fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), at(ratios, 0.1), at(ratios, 0.9)), aim)
	}
	return nil
}

// listen opens listeners on loopback at ports that the kernel chooses.
func listen(n int) (listeners []net.Listener, ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		listeners, ports = append(listeners, l), append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return listeners, ports, nil
}

// inRotation waits until the newest worker of Berth's HAProxy sends requests to all ports.
func (b *berth) inRotation(ctx context.Context, ports ...int) error {
	return b.eventually(ctx, "targets get requests", func() error {
		now, err := rotation(ctx, b.statsSocket())
		for _, p := range ports {
			if !now[p] {
				err = cmp.Or(err, fmt.Errorf("port %d does not: %v", p, now))
			}
		}
		return err
	})
}

// compare prints the rates of addresses, in turns. The last one is the baseline.
func (b *bench) compare(ctx context.Context, list string) error {
	var all []*contestant
	nobody := func() []int { return nil }
	for part := range strings.SplitSeq(list, ",") {
		fields := strings.Split(part, "=")
		if len(fields) < 2 {
			return fmt.Errorf("%q is not NAME=URL or NAME=URL=PID", part)
		}
		a, err := newAddress(fields[1])
		if err != nil {
			return err
		}
		c := &contestant{name: fields[0], address: a, pids: nobody, extra: nobody}
		if len(fields) > 2 {
			pid, err := strconv.Atoi(fields[2])
			if err != nil {
				return err
			}
			c.pids = func() []int { return []int{pid} }
		}
		all = append(all, c)
	}
	b.report.section("Addresses in turns", "", "connections", "through", "requests", "p50", "p99", "HAProxy", "agent", "ratio", "aim")
	return b.compete(ctx, all, 32, pick(b, 12, 4), pick(b, time.Second, 250*time.Millisecond))
}
