package ingress

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// A frame can take the traffic from a group and let its targets leave at the same time, as the end of a blue/green deployment does. The
// slots can be set at once, the rules need a new worker: until that serves, the targets must.
func TestTargetsServeUntilTheRulesThatTakeTheirTrafficAwayHold(t *testing.T) {
	r := newRig(t)
	blue, green := backend(t, "blue", well, nil), backend(t, "green", well, nil)
	const greenID = "targetgroup/green/4444444444444444"
	frame := func(blueWeight, greenWeight int) haproxy.Frame {
		f := r.frame(blue)
		other := f.Groups[0]
		other.ID, other.Targets = greenID, []haproxy.Target{green}
		f.Groups = []haproxy.Group{other, f.Groups[0]}
		f.LoadBalancers[0].Listeners[0].Rules[0].Action.Groups = []haproxy.Weighted{{Group: groupID, Weight: blueWeight}, {Group: greenID, Weight: greenWeight}}
		return f
	}
	r.apply(frame(1, 0))
	r.awaitState(blue, proto.TargetHealthy)
	r.await("green is healthy", func() bool { return r.known[key{greenID, green.ID, green.Since}].State == proto.TargetHealthy })

	var stop atomic.Bool
	var load sync.WaitGroup
	for n := range 4 {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
			defer client.CloseIdleConnections()
			for !stop.Load() {
				resp, err := client.Get("http://" + r.address(5))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Error(resp.Status)
					return
				}
			}
		})
	}
	last := frame(0, 1)
	i := slices.IndexFunc(last.Groups, func(g haproxy.Group) bool { return g.ID == groupID })
	last.Groups[i].Targets = slices.Clone(last.Groups[i].Targets)
	last.Groups[i].Targets[0].Draining = true
	r.apply(last)
	r.await("blue has left", func() bool { return r.known[key{groupID, blue.ID, blue.Since}].State == proto.TargetDrained })
	stop.Store(true)
	load.Wait()
	if body, err := r.get("http://" + r.address(5)); err != nil || body != "green" {
		t.Errorf("%q %v", body, err)
	}
}

// A machine says that traffic follows a revision when no new connection is served another way.
func TestARevisionIsReportedWhenTrafficFollowsIt(t *testing.T) {
	r := newRig(t)
	blue, green := backend(t, "blue", well, nil), backend(t, "green", well, nil)
	const greenID = "targetgroup/green/4444444444444444"
	frame := func(to string) haproxy.Frame {
		f := r.frame(blue)
		other := f.Groups[0]
		other.ID, other.Targets = greenID, []haproxy.Target{green}
		f.Groups = []haproxy.Group{other, f.Groups[0]}
		group := map[string]string{"blue": groupID, "green": greenID}[to]
		f.LoadBalancers[0].Listeners[0].Rules[0].Action.Groups = []haproxy.Weighted{{Group: group, Weight: 1}}
		return f
	}
	r.apply(frame("blue"))
	r.awaitState(blue, proto.TargetHealthy)
	r.await("green is healthy", func() bool { return r.known[key{greenID, green.ID, green.Since}].State == proto.TargetHealthy })
	for n := range 6 {
		to := []string{"green", "blue"}[n%2]
		r.apply(frame(to))
		r.await("the revision is followed", func() bool { return r.last.Revision == r.revision })
		for range 20 {
			r.client.CloseIdleConnections()
			if body, err := r.get("http://" + r.address(5)); err != nil || body != to {
				t.Errorf("traffic to %s is followed, and an answer is %q %v", to, body, err)
			}
		}
	}
}
