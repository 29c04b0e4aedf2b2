package sim

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"berth/agent/proto"
	"berth/ec2"
	"berth/elbv2/haproxy"
)

const (
	reloadTime = 400 * time.Millisecond // from a frame to traffic that follows it
	checkTime  = 3 * time.Second        // from a new target to its first verdict, and from a change of its health to the next
	drainTime  = time.Second            // how long requests last that are open when a target leaves
)

// ingress is the part of a simulated machine that carries load balancers' traffic. It follows the frames, finds targets healthy unless
// it was told otherwise, and lets go of those that leave when their requests end, unless it was told to hold on.
type ingress struct {
	m       *machine
	address string

	reporting sync.Mutex // held from a report's number until it is sent, so that they arrive in their order
	seq       uint64

	mu       sync.Mutex // guards what follows
	revision uint64     // of the present session; 0 before its first frame
	frame    haproxy.Frame
	followed uint64                         // newest revision that traffic follows, of any session
	served   haproxy.Frame                  // of followed
	reload   time.Duration                  // from a frame to traffic that follows it
	problem  string                         // why traffic follows nothing any more
	states   map[string]*proto.TargetStatus // by group, a blank and target
	sick     map[string]bool                // targets, by ID, that fail their checks
	held     bool                           // open requests do not end
}

// joinIngress makes a machine with the ingress role.
func (w *world) joinIngress(name, address string) *machine {
	w.Helper()
	return w.joinWith(name, &ingress{address: address, reload: reloadTime, states: map[string]*proto.TargetStatus{}, sick: map[string]bool{}})
}

// begin forgets what belongs to the last session; what the machine knows of targets stays.
func (i *ingress) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.revision = 0
}

// follow takes a frame. The first of a session is answered with everything that the machine knows.
func (i *ingress) follow(body []byte) {
	var in proto.Ingress
	if err := json.Unmarshal(body, &in); err != nil {
		i.m.w.Errorf("ingress: %v", err)
	}
	i.mu.Lock()
	full := i.revision == 0
	if in.Revision <= i.revision {
		i.m.w.Errorf("revision %d follows %d", in.Revision, i.revision)
	}
	i.revision, i.frame = in.Revision, in.Frame
	if in.Revision < i.followed {
		i.m.w.Errorf("revision %d comes after %d was followed", in.Revision, i.followed)
	}
	go i.serve(i.reload, in)
	var changed []string
	there := map[string]bool{}
	for _, g := range in.Frame.Groups {
		for _, t := range g.Targets {
			key := g.ID + " " + t.ID
			there[key] = true
			if have := i.states[key]; have == nil || have.Since != t.Since {
				i.states[key] = &proto.TargetStatus{Group: g.ID, Target: t.ID, Since: t.Since, State: proto.TargetInitial}
				changed = append(changed, key)
				go i.check(checkTime, key, t.Since)
			}
			if s := i.states[key]; t.Draining && s.State != proto.TargetDraining && s.State != proto.TargetDrained {
				s.State = proto.TargetDraining
				changed = append(changed, key)
				go i.letGo(drainTime, key, t.Since)
			}
		}
	}
	for key := range i.states {
		if !there[key] {
			delete(i.states, key)
		} else if full {
			changed = append(changed, key)
		}
	}
	i.mu.Unlock()
	i.report(full, changed...)
}

// serve makes the traffic go by a frame, unless a newer one has come or something hinders.
func (i *ingress) serve(after time.Duration, in proto.Ingress) {
	time.Sleep(after)
	i.mu.Lock()
	if in.Revision != i.revision {
		i.mu.Unlock()
		return
	}
	if i.problem == "" {
		i.followed, i.served = in.Revision, in.Frame
	}
	i.mu.Unlock()
	i.report(false)
}

// fail makes the machine follow nothing any more.
func (i *ingress) fail(problem string) {
	i.mu.Lock()
	i.problem = problem
	i.mu.Unlock()
	i.report(false)
}

// slow sets how long the machine takes to follow a frame.
func (i *ingress) slow(reload time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reload = reload
}

// check gives a verdict on a target that stays.
func (i *ingress) check(after time.Duration, key string, since int64) {
	time.Sleep(after)
	i.mu.Lock()
	s := i.states[key]
	if s == nil || s.Since != since || s.State == proto.TargetDraining || s.State == proto.TargetDrained {
		i.mu.Unlock()
		return
	}
	s.State, s.Reason, s.Description = proto.TargetHealthy, "", ""
	if i.sick[s.Target] {
		s.State, s.Reason, s.Description = proto.TargetUnhealthy, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [500]"
	}
	i.mu.Unlock()
	i.report(false, key)
}

// letGo ends the requests of a target that leaves.
func (i *ingress) letGo(after time.Duration, key string, since int64) {
	time.Sleep(after)
	i.mu.Lock()
	s := i.states[key]
	if s == nil || s.Since != since || s.State != proto.TargetDraining || i.held {
		i.mu.Unlock()
		return
	}
	s.State = proto.TargetDrained
	i.mu.Unlock()
	i.report(false, key)
}

// report tells what traffic follows, and the states of targets.
func (i *ingress) report(full bool, keys ...string) {
	slices.Sort(keys)
	i.reporting.Lock()
	defer i.reporting.Unlock()
	i.seq++
	i.mu.Lock()
	r := proto.IngressReport{Seq: i.seq, Revision: i.followed, Problem: i.problem, Full: full}
	for _, key := range slices.Compact(keys) {
		if s := i.states[key]; s != nil {
			r.Targets = append(r.Targets, *s)
		}
	}
	i.mu.Unlock()
	i.m.send(proto.TypeIngressReport, r)
}

// setHealth makes checks of a target, by ID such as i-0123:80, fail or pass from now on.
func (i *ingress) setHealth(target string, healthy bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sick[target] = !healthy
	for key, s := range i.states {
		if s.Target == target {
			go i.check(checkTime, key, s.Since)
		}
	}
}

// hold keeps requests open until release.
func (i *ingress) hold() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held = true
}

func (i *ingress) release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held = false
	for key, s := range i.states {
		go i.letGo(0, key, s.Since)
	}
}

// active lists the targets, by ID, to which the machine sends new requests.
func (i *ingress) active() (out []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.states {
		if s.State == proto.TargetHealthy {
			out = append(out, s.Target)
		}
	}
	slices.Sort(out)
	return out
}

// group makes a target group of targets by instance ID.
func (w *world) group(name string) string {
	w.Helper()
	out, err := w.elb.CreateTargetGroup(w.Context(), &elbv2.CreateTargetGroupInput{
		Name: &name, Protocol: types.ProtocolEnumHttp, Port: new(int32(80)), VpcId: new(ec2.DefaultVPCID(account, region)),
	})
	if err != nil {
		w.Fatal(err)
	}
	return *out.TargetGroups[0].TargetGroupArn
}

// targetOf is the machine as a target at a port.
func (w *world) targetOf(m *machine, port int32) types.TargetDescription {
	w.Helper()
	return types.TargetDescription{Id: w.instance(m).Ec2InstanceId, Port: &port}
}

func (w *world) registerTarget(group string, t types.TargetDescription) {
	w.Helper()
	if _, err := w.elb.RegisterTargets(w.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{t}}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) deregisterTarget(group string, t types.TargetDescription) {
	w.Helper()
	if _, err := w.elb.DeregisterTargets(w.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{t}}); err != nil {
		w.Fatal(err)
	}
}

// wantHealth checks "state" or "state reason" of a target.
func (w *world) wantHealth(group string, t types.TargetDescription, want string) {
	w.Helper()
	out, err := w.elb.DescribeTargetHealth(context.Background(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &group, Targets: []types.TargetDescription{t}})
	if err != nil {
		w.Fatal(err)
	}
	h := out.TargetHealthDescriptions[0].TargetHealth
	if got := strings.TrimSpace(string(h.State) + " " + string(h.Reason)); got != want {
		w.Errorf("the target is %s; the rule says %s", got, want)
	}
}
