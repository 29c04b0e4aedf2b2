package elbv2

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"berth/acm"
	"berth/agent/proto"
	api "berth/api/elbv2"
	"berth/aws"
	"berth/ec2"
	"berth/store"
)

const (
	testAccount = "111122223333"
	testRegion  = "eu-west-1"
	testPlace   = testAccount + "/" + testRegion

	machineA = "arn:aws:ecs:" + testRegion + ":" + testAccount + ":container-instance/default/a"
	machineB = "arn:aws:ecs:" + testRegion + ":" + testAccount + ":container-instance/default/b"
)

var testVPC = ec2.DefaultVPCID(testAccount, testRegion)

// targetWorld is the service on a store of its own, with a clock that only the test moves. Machines i-aaaaaaaa and i-bbbbbbbb are there.
type targetWorld struct {
	*testing.T
	*Service
	ctx   context.Context
	clock time.Time
}

func newTargetWorld(t *testing.T) *targetWorld {
	t.Helper()
	st, err := store.Open(store.Config{Tables: append(Tables(), acm.Tables()...)})
	if err != nil {
		t.Fatal(err)
	}
	w := &targetWorld{T: t, clock: time.UnixMilli(1_700_000_000_000), ctx: aws.WithCaller(t.Context(), aws.RootCaller(testAccount, testRegion, "AKIDEXAMPLE"))}
	w.Service = New(Deps{
		Store: st, Now: func() time.Time { return w.clock }, Pages: aws.NewPages([]byte("test")),
		Machine: func(_ store.Reader, account, region, id string) (Machine, bool) {
			host, ok := map[string]string{"i-aaaaaaaa": "10.0.0.1", "i-bbbbbbbb": "10.0.0.2"}[id]
			return Machine{ARN: "machine-" + id, Host: host, Zone: region + "a"}, ok && account == testAccount
		},
	})
	return w
}

// must ends the test on an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// input decodes JSON as the API names members.
func input[T any](t testing.TB, text string) *T {
	t.Helper()
	v := new(T)
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func (w *targetWorld) update(f func(tx *store.Tx)) {
	w.Helper()
	if err := w.Store.Update(w.ctx, func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.Fatal(err)
	}
}

// group makes a target group of JSON members besides name and VPC.
func (w *targetWorld) group(name, members string) TargetGroup {
	w.Helper()
	in := input[api.CreateTargetGroupInput](w.T, `{"Name":"`+name+`","VpcId":"`+testVPC+`",`+members+`}`)
	out := must(w.CreateTargetGroup(w.ctx, in))(w.T)
	g, ok := GroupByARN(w.Store.Read(), *out.TargetGroups[0].TargetGroupArn)
	if !ok {
		w.Fatal("the group is not there")
	}
	return g
}

const webGroup = `"Protocol":"HTTP","Port":80`

// forwardTo makes a load balancer with a listener at port 80 that forwards to the groups.
func (w *targetWorld) forwardTo(groups ...TargetGroup) Listener {
	w.Helper()
	lb := LoadBalancer{Account: testAccount, Region: testRegion, Kind: "application", Name: "lb", ID: "0123456789abcdef", Number: 1}
	l := Listener{LoadBalancer: lb.Key(), ID: "fedcba9876543210", Port: 80, Protocol: api.ProtocolEnumHTTP}
	var tuples []api.TargetGroupTuple
	for _, g := range groups {
		tuples = append(tuples, api.TargetGroupTuple{TargetGroupArn: new(g.ARN().String()), Weight: new(int32(1))})
	}
	l.DefaultActions = []api.Action{{Type: api.ActionTypeEnumForward, ForwardConfig: &api.ForwardActionConfig{TargetGroups: tuples}}}
	w.update(func(tx *store.Tx) { LoadBalancers.Put(tx, lb); Listeners.Put(tx, l) })
	return l
}

func (w *targetWorld) connect(machines ...string) {
	w.Helper()
	w.update(func(tx *store.Tx) {
		for _, m := range machines {
			Connected(tx, testAccount, testRegion, m, true)
		}
	})
}

func (w *targetWorld) register(g TargetGroup, id string) Target {
	w.Helper()
	must(w.RegisterTargets(w.ctx, &api.RegisterTargetsInput{TargetGroupArn: new(g.ARN().String()), Targets: []api.TargetDescription{{Id: &id}}}))(w.T)
	return w.target(g, id)
}

func (w *targetWorld) target(g TargetGroup, id string) Target {
	w.Helper()
	t, ok := Targets.Get(w.Store.Read(), Target{Group: g.Key(), ID: id, Port: g.Port}.Key())
	if !ok {
		w.Fatalf("no target %s", id)
	}
	return t
}

func (w *targetWorld) deregister(g TargetGroup, id string) {
	w.Helper()
	must(w.DeregisterTargets(w.ctx, &api.DeregisterTargetsInput{TargetGroupArn: new(g.ARN().String()), Targets: []api.TargetDescription{{Id: &id}}}))(w.T)
}

func said(t Target, state string) proto.TargetStatus {
	_, _, path := splitKey(t.Group)
	return proto.TargetStatus{Group: groupKind + path, Target: t.Name(), Since: t.Registered, State: state}
}

func (w *targetWorld) report(machine string, targets ...proto.TargetStatus) {
	w.Helper()
	w.update(func(tx *store.Tx) { ApplyReport(tx, machine, proto.IngressReport{Seq: 1, Targets: targets}, w.clock) })
}

// health is "state reason" of the only target of the group, or of the target with the ID.
func (w *targetWorld) health(g TargetGroup, id string) string {
	w.Helper()
	out := must(w.DescribeTargetHealth(w.ctx, &api.DescribeTargetHealthInput{
		TargetGroupArn: new(g.ARN().String()), Targets: []api.TargetDescription{{Id: &id}},
	}))(w.T)
	h := out.TargetHealthDescriptions[0].TargetHealth
	return strings.TrimSpace(string(h.State) + " " + string(h.Reason))
}

// reconcile runs the reconciler once for each target that is there or was spoken of. It returns when it wants to run again, of those that leave.
func (w *targetWorld) reconcile() (again time.Duration) {
	w.Helper()
	keys, r := map[string]bool{}, w.Store.Read()
	for t := range Targets.All(r) {
		keys[t.Key()] = t.Draining != 0
	}
	for h := range TargetHealths.All(r) {
		keys[h.Target] = keys[h.Target]
	}
	for key, leaves := range keys {
		if wait := must(TargetReconciler{w.Service}.Reconcile(w.ctx, key))(w.T); leaves {
			again = wait
		}
	}
	return again
}
