package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	api "berth/api/elbv2"
	"berth/elbv2"
	"berth/store"
)

// forward makes a load balancer, the n-th, whose listener forwards to the group.
func (w *world) forward(n int, group string) {
	w.Helper()
	lb := elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "lb", ID: "000000000000000" + string(rune('0'+n)), Number: n}
	l := elbv2.Listener{
		LoadBalancer: lb.Key(), ID: "0123456789abcdef", Port: 80, Protocol: api.ProtocolEnumHTTP,
		DefaultActions: []api.Action{{Type: api.ActionTypeEnumForward, TargetGroupArn: &group}},
	}
	err := w.store.Update(w.Context(), func(tx *store.Tx) error { elbv2.LoadBalancers.Put(tx, lb); elbv2.Listeners.Put(tx, l); return nil })
	if err != nil {
		w.Fatal(err)
	}
}

// Two machines that carry traffic, and a target on the first that both have found healthy.
func healthyTarget(w *world) (a, b *machine, group string, target types.TargetDescription) {
	w.Helper()
	a, b = w.joinIngress("a", "10.0.0.1"), w.joinIngress("b", "10.0.0.2")
	group = w.group("web")
	w.forward(1, group)
	target = w.targetOf(a, 8080)
	w.registerTarget(group, target)
	w.settle(time.Second)
	w.wantHealth(group, target, "initial Elb.InitialHealthChecking")
	w.settle(2 * checkTime)
	w.wantHealth(group, target, "healthy")
	for _, m := range []*machine{a, b} {
		if got := m.ingress.active(); !slices.Equal(got, []string{*target.Id + ":8080"}) {
			w.Errorf("machine %s sends to %v", m.name, got)
		}
	}
	return a, b, group, target
}

func TestATargetIsHealthyWhenEveryMachineHasFoundItSo(t *testing.T) {
	scenario(t, func(w *world) {
		a, b, group, target := healthyTarget(w)
		name := *target.Id + ":8080"
		b.ingress.setHealth(name, false)
		w.settle(2 * checkTime)
		w.wantHealth(group, target, "healthy")
		a.ingress.setHealth(name, false)
		w.settle(2 * checkTime)
		w.wantHealth(group, target, "unhealthy Target.ResponseCodeMismatch")
		b.ingress.setHealth(name, true)
		w.settle(2 * checkTime)
		w.wantHealth(group, target, "healthy")
		other := w.targetOf(b, 8080)
		a.ingress.setHealth(*other.Id+":8080", false)
		b.ingress.setHealth(*other.Id+":8080", false)
		w.registerTarget(group, other)
		w.settle(2 * checkTime)
		w.wantHealth(group, other, "unhealthy Target.ResponseCodeMismatch")
	})
}

func TestATargetThatLeavesIsThereUntilItsRequestsEnd(t *testing.T) {
	scenario(t, func(w *world) {
		a, b, group, target := healthyTarget(w)
		b.ingress.hold()
		w.deregisterTarget(group, target)
		w.settle(time.Minute)
		w.wantHealth(group, target, "draining Target.DeregistrationInProgress")
		for _, m := range []*machine{a, b} {
			if got := m.ingress.active(); len(got) != 0 {
				w.Errorf("machine %s sends to %v", m.name, got)
			}
		}
		b.ingress.release()
		w.settle(0)
		w.wantHealth(group, target, "unused Target.NotRegistered")
	})
}

func TestATargetThatLeavesIsGoneAfterTheDelay(t *testing.T) {
	scenario(t, func(w *world) {
		_, b, group, target := healthyTarget(w)
		b.ingress.hold()
		w.deregisterTarget(group, target)
		w.settle(299 * time.Second)
		w.wantHealth(group, target, "draining Target.DeregistrationInProgress")
		w.settle(time.Second)
		w.wantHealth(group, target, "unused Target.NotRegistered")
	})
}

func TestAMachineThatIsLostIsNotWaitedFor(t *testing.T) {
	scenario(t, func(w *world) {
		_, b, group, target := healthyTarget(w)
		b.ingress.hold()
		b.cable.pull()
		w.deregisterTarget(group, target)
		w.settle(2 * heartbeat)
		w.wantHealth(group, target, "draining Target.DeregistrationInProgress")
		w.settle(2 * heartbeat)
		w.wantHealth(group, target, "unused Target.NotRegistered")
		// It comes back, and what it says of the target is of no use any more.
		b.cable.plug()
		w.settle(time.Minute)
		w.wantConnected(b, true)
		w.wantHealth(group, target, "unused Target.NotRegistered")
		w.registerTarget(group, target)
		w.settle(time.Second)
		w.wantHealth(group, target, "initial Elb.InitialHealthChecking")
		w.settle(2 * checkTime)
		w.wantHealth(group, target, "healthy")
	})
}

func TestATargetThatComesBackWhileItLeavesBeginsAnew(t *testing.T) {
	scenario(t, func(w *world) {
		_, b, group, target := healthyTarget(w)
		b.ingress.hold()
		w.deregisterTarget(group, target)
		w.settle(time.Minute)
		w.registerTarget(group, target)
		w.settle(time.Second)
		w.wantHealth(group, target, "initial Elb.InitialHealthChecking")
		w.settle(2 * checkTime)
		w.wantHealth(group, target, "healthy")
		w.settle(time.Hour)
		w.wantHealth(group, target, "healthy")
	})
}

func TestAMachineThatJoinsTakesNoTargetsHealth(t *testing.T) {
	scenario(t, func(w *world) {
		_, _, group, target := healthyTarget(w)
		late := w.joinIngress("late", "10.0.0.3")
		w.wantHealth(group, target, "healthy")
		w.settle(2 * checkTime)
		if got := late.ingress.active(); len(got) != 1 {
			w.Errorf("the machine sends to %v", got)
		}
		late.halt()
		w.settle(time.Minute)
		w.wantHealth(group, target, "healthy")
	})
}
