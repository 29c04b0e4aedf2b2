package dispatch_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"berth/agent/proto"
	api "berth/api/elbv2"
	"berth/ecs"
	"berth/elbv2"
	"berth/store"
)

// ingress opens a session of a machine with the ingress role and returns its first frame.
func (w *world) ingress(cert *tls.Certificate) (*agent, proto.Welcome, proto.Ingress) {
	w.Helper()
	a, _, err := w.dial(cert)
	if err != nil {
		w.Fatal(err)
	}
	h := hello()
	h.Ingress, h.Address = true, "10.0.0.1"
	a.send(proto.TypeHello, h)
	var welcome proto.Welcome
	a.want(proto.TypeWelcome, &welcome)
	var first proto.Ingress
	a.want(proto.TypeIngress, &first)
	return a, welcome, first
}

func (w *world) update(f func(tx *store.Tx)) {
	w.Helper()
	if err := w.store.Update(w.ctx, func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.Fatal(err)
	}
}

// balanced is a load balancer that forwards to one group.
type balanced struct {
	lb    elbv2.LoadBalancer
	group elbv2.TargetGroup
}

func (w *world) balance() balanced {
	w.Helper()
	b := balanced{
		lb: elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "lb", ID: "0123456789abcdef", Number: 1},
		group: elbv2.TargetGroup{
			Account: account, Region: region, Name: "web", ID: "0123456789abcdef", Protocol: api.ProtocolEnumHTTP, Port: 80,
			TargetType: api.TargetTypeEnumInstance, Check: api.TargetGroup{HealthCheckEnabled: new(true)},
		},
	}
	l := elbv2.Listener{LoadBalancer: b.lb.Key(), ID: "0123456789abcdef", Port: 80, Protocol: api.ProtocolEnumHTTP, DefaultActions: []api.Action{
		{Type: api.ActionTypeEnumForward, TargetGroupArn: new(b.group.ARN().String())},
	}}
	w.update(func(tx *store.Tx) {
		elbv2.TargetGroups.Put(tx, b.group)
		elbv2.LoadBalancers.Put(tx, b.lb)
		elbv2.Listeners.Put(tx, l)
	})
	return b
}

// add registers the machine of a session as a target.
func (w *world) add(b balanced, instanceARN string) elbv2.Target {
	w.Helper()
	t := elbv2.Target{Group: b.group.Key(), ID: w.instance(instanceARN).EC2ID, Port: 8080}
	w.update(func(tx *store.Tx) { elbv2.Register(tx, t, time.Now()) })
	t, _ = elbv2.Targets.Get(w.store.Read(), t.Key())
	return t
}

func (w *world) instance(arn string) ecs.ContainerInstance {
	w.Helper()
	for c := range ecs.ContainerInstances.All(w.store.Read()) {
		if c.ARN().String() == arn {
			return c
		}
	}
	w.Fatalf("no instance %s", arn)
	return ecs.ContainerInstance{}
}

func (w *world) health(b balanced, t elbv2.Target) string {
	state, _, _ := elbv2.Health(w.store.Read(), b.group, t)
	return state
}

func said(b balanced, t elbv2.Target, state string) proto.TargetStatus {
	return proto.TargetStatus{Group: "targetgroup/" + b.group.Path(), Target: t.Name(), Since: t.Registered, State: state}
}

// tell sends an ingress report and waits for the acknowledgement.
func (a *agent) tell(r proto.IngressReport) {
	a.w.Helper()
	a.send(proto.TypeIngressReport, r)
	var ack proto.IngressAck
	a.want(proto.TypeIngressAck, &ack)
	if ack.Seq != r.Seq {
		a.w.Errorf("report %d was acknowledged as %d", r.Seq, ack.Seq)
	}
}

// until reads frames until one is right; revisions must rise.
func (a *agent) until(last uint64, ok func(proto.Ingress) bool) proto.Ingress {
	a.w.Helper()
	for {
		var in proto.Ingress
		a.want(proto.TypeIngress, &in)
		if in.Revision <= last {
			a.w.Errorf("revision %d after %d", in.Revision, last)
		}
		if last = in.Revision; ok(in) {
			return in
		}
	}
}

func TestIngressGetsTheFrameAndReports(t *testing.T) {
	w := newWorld(t)
	a, welcome, first := w.ingress(w.join("default"))
	if first.Revision == 0 || len(first.Frame.LoadBalancers) != 0 {
		t.Errorf("first: %+v", first)
	}
	b := w.balance()
	target := w.add(b, welcome.ContainerInstanceArn)
	in := a.until(first.Revision, func(in proto.Ingress) bool { return len(in.Frame.Groups) == 1 && len(in.Frame.Groups[0].Targets) == 1 })
	got := in.Frame.Groups[0].Targets[0]
	if got.Host != "10.0.0.1" || got.Port != 8080 || got.Instance != welcome.ContainerInstanceArn || got.Since != target.Registered || got.Draining {
		t.Errorf("target: %+v", got)
	}
	a.tell(proto.IngressReport{Seq: 1, Revision: in.Revision, Full: true, Targets: []proto.TargetStatus{said(b, target, proto.TargetHealthy)}})
	if got := w.health(b, target); got != "healthy" {
		t.Errorf("the target is %s", got)
	}
	i, _ := elbv2.Ingresses.Get(w.store.Read(), welcome.ContainerInstanceArn)
	if !i.Connected || i.Revision != in.Revision {
		t.Errorf("ingress: %+v", i)
	}
	a.tell(proto.IngressReport{Seq: 1, Targets: []proto.TargetStatus{said(b, target, proto.TargetUnhealthy)}})
	if got := w.health(b, target); got != "healthy" {
		t.Errorf("a report that came twice was applied twice: %s", got)
	}
	w.update(func(tx *store.Tx) { elbv2.Deregister(tx, target.Key(), time.Now()) })
	a.until(in.Revision, func(in proto.Ingress) bool { return in.Frame.Groups[0].Targets[0].Draining })
	a.tell(proto.IngressReport{Seq: 2, Targets: []proto.TargetStatus{said(b, target, proto.TargetDrained)}})
	h, _ := elbv2.TargetHealths.Get(w.store.Read(), target.Key()+"|"+welcome.ContainerInstanceArn)
	if h.State != proto.TargetDrained {
		t.Errorf("report: %+v", h)
	}
}

// Many changes come in few frames, and what is none of a frame comes in none.
func TestFramesAreGathered(t *testing.T) {
	w := newWorld(t)
	a, welcome, first := w.ingress(w.join("default"))
	b := w.balance()
	const many = 300
	for port := range int32(many) {
		target := elbv2.Target{Group: b.group.Key(), ID: w.instance(welcome.ContainerInstanceArn).EC2ID, Port: 10000 + port}
		w.update(func(tx *store.Tx) { elbv2.Register(tx, target, time.Now()) })
	}
	last := a.until(first.Revision, func(in proto.Ingress) bool {
		return len(in.Frame.Groups) == 1 && len(in.Frame.Groups[0].Targets) == many
	})
	// Tags and reports are none of a frame. The next frame is the one of the change after them.
	w.update(func(tx *store.Tx) {
		g := b.group
		g.Tags = map[string]string{"k": "v"}
		elbv2.TargetGroups.Put(tx, g)
	})
	w.update(func(tx *store.Tx) {
		g := b.group
		g.Protocol = api.ProtocolEnumHTTPS
		elbv2.TargetGroups.Put(tx, g)
	})
	var next proto.Ingress
	a.want(proto.TypeIngress, &next)
	if next.Revision <= last.Revision || next.Frame.Groups[0].Protocol != "HTTPS" {
		t.Errorf("revision %d, %s, follows %d", next.Revision, next.Frame.Groups[0].Protocol, last.Revision)
	}
}

// A frame's revision can be compared with that of a write, also if the write leaves the frame as it was.
func TestTheRevisionOfAFrameIsThatOfTheStore(t *testing.T) {
	w := newWorld(t)
	a, welcome, first := w.ingress(w.join("default"))
	b := w.balance()
	listener, _ := elbv2.Listeners.Get(w.store.Read(), b.lb.Key()+"/0123456789abcdef")
	arn := string(listener.ARN())
	behind := func() int { return len(elbv2.Behind(w.store.Read(), arn)) }
	has := func(in proto.Ingress) bool {
		return len(in.Frame.LoadBalancers) == 1 && len(in.Frame.LoadBalancers[0].Listeners) == 1
	}
	in := a.until(first.Revision, has)
	if behind() != 1 {
		t.Error("a machine that has said nothing is not behind")
	}
	a.tell(proto.IngressReport{Seq: 1, Revision: first.Revision, Full: true})
	if behind() != 1 {
		t.Error("a machine that follows an earlier frame is not behind")
	}
	a.tell(proto.IngressReport{Seq: 2, Revision: in.Revision})
	if behind() != 0 {
		t.Error("a machine that follows the frame is behind")
	}
	w.update(func(tx *store.Tx) {
		listener.Tags = map[string]string{"k": "v"}
		elbv2.Listeners.Put(tx, listener)
	})
	if behind() != 1 {
		t.Error("a machine that can't know of a write is not behind")
	}
	again := a.until(in.Revision, has)
	a.tell(proto.IngressReport{Seq: 3, Revision: again.Revision})
	if behind() != 0 {
		t.Error("a machine that follows the frame of a write that changed nothing is behind")
	}
	a.tell(proto.IngressReport{Seq: 4, Revision: 1 << 40})
	if i, _ := elbv2.Ingresses.Get(w.store.Read(), welcome.ContainerInstanceArn); i.Revision != 0 {
		t.Errorf("a revision of another store is taken: %d", i.Revision)
	}
}

func TestOnlyIngressMachinesGetFrames(t *testing.T) {
	w := newWorld(t)
	b := w.balance()
	plain, welcome, _ := w.connect(w.join("default"))
	a, _, _ := w.ingress(w.join("default"))
	target := w.add(b, welcome.ContainerInstanceArn)
	if target.ID == "" || !strings.HasPrefix(target.ID, "i-") || len(target.ID) != 19 {
		t.Errorf("EC2 instance ID %q", target.ID)
	}
	a.tell(proto.IngressReport{Seq: 1, Full: true})
	plain.send(proto.TypeHeartbeat, proto.Heartbeat{})
	plain.want(proto.TypeHeartbeatAck, &struct{}{})
	for _, f := range plain.held {
		if f.Type == proto.TypeIngress {
			t.Error("a machine without the role got a frame")
		}
	}
	plain.send(proto.TypeIngressReport, proto.IngressReport{Seq: 1, Targets: []proto.TargetStatus{said(b, target, proto.TargetHealthy)}})
	plain.ended()
	if n := elbv2.TargetHealths.Len(w.store.Read()); n != 0 {
		t.Errorf("%d reports of a machine without the role", n)
	}
}

func TestAnIngressThatIsSilentIsNotWaitedFor(t *testing.T) {
	w := newWorldAt(t, 50*time.Millisecond)
	cert := w.join("default")
	a, welcome, _ := w.ingress(cert)
	connected := func() bool {
		i, _ := elbv2.Ingresses.Get(w.store.Read(), welcome.ContainerInstanceArn)
		return i.Connected
	}
	if !connected() {
		t.Error("not connected at first")
	}
	_ = a.conn.Close()
	w.eventually("the ingress is disconnected", func() bool { return !connected() })
	w.ingress(cert)
	if !connected() {
		t.Error("not connected when it came back")
	}
	w.connect(cert) // without the role
	if _, ok := elbv2.Ingresses.Get(w.store.Read(), welcome.ContainerInstanceArn); ok {
		t.Error("a machine that gave up the role is an ingress")
	}
}

// A session that was replaced writes nothing more.
func TestAReplacedSessionsIngressReportIsNotTaken(t *testing.T) {
	w := newWorld(t)
	b := w.balance()
	cert := w.join("default")
	old, welcome, _ := w.ingress(cert)
	target := w.add(b, welcome.ContainerInstanceArn)
	w.ingress(cert)
	text := w.json(proto.Frame{Type: proto.TypeIngressReport, Body: w.json(proto.IngressReport{Seq: 1, Targets: []proto.TargetStatus{said(b, target, proto.TargetHealthy)}})})
	_ = old.conn.WriteMessage(websocket.TextMessage, text)
	old.ended()
	if n := elbv2.TargetHealths.Len(w.store.Read()); n != 0 {
		t.Errorf("%d reports were taken", n)
	}
}

func TestIngressFramesThatEndTheSession(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	long := strings.Repeat("x", 5000)
	for name, body := range map[string]string{
		"null":             `null`,
		"a list":           `[]`,
		"unnumbered":       `{"targets":[]}`,
		"negative number":  `{"seq":-1}`,
		"no state":         `{"seq":1,"targets":[{"group":"g","target":"t"}]}`,
		"unknown state":    `{"seq":1,"targets":[{"group":"g","target":"t","state":"splendid"}]}`,
		"long target":      `{"seq":1,"targets":[{"target":"` + long + `","state":"healthy"}]}`,
		"long description": `{"seq":1,"targets":[{"target":"t","state":"healthy","description":"` + long + `"}]}`,
		"long problem":     `{"seq":1,"problem":"` + long + `"}`,
		"bad network":      `{"seq":1,"loopback":"127.0.0.1/99"}`,
		"bad address":      `{"seq":1,"published":{"app/a/1":"example.com"}}`,
		"long balancer":    `{"seq":1,"published":{"` + long + `":"10.0.0.1"}}`,
		"too many targets": `{"seq":1,"targets":[` + strings.Repeat(`{"state":"healthy"},`, 60_000) + `{"state":"healthy"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			a, _, _ := w.ingress(cert)
			_ = a.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ingress-report","body":`+body+`}`))
			a.ended()
			w.eventually("the session is gone", func() bool { return w.server.Sessions() == 0 })
		})
	}
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	a, _, err := w.dial(w.join("default"))
	if err != nil {
		t.Fatal(err)
	}
	h := hello()
	h.Address = "10.0.0.1\n  bind :22"
	a.send(proto.TypeHello, h)
	if reason := a.ended(); !strings.Contains(reason, "InvalidParameterException") {
		t.Errorf("ended with %q", reason)
	}
}
