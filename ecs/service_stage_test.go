package ecs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	elb "berth/api/elbv2"
	"berth/elbv2"
	"berth/store"
)

// shifting is a world with a service of two tasks whose deployments shift traffic between the target groups blue and green.
type shifting struct {
	*world
	blue, green         elbv2.TargetGroup
	production, testing string // ARNs of rules
	health              func(Task) string
	stages              []string // that service deployments showed
	lawless             bool     // the test itself sends traffic where there is no target
}

// rule puts a rule that forwards to a target group.
func (w *world) rule(id string, g elbv2.TargetGroup) string {
	w.t.Helper()
	rule := elbv2.Rule{Listener: testAccount + "/" + testRegion + "/app/lb/0000000000000001/l", ID: id, Priority: 1}
	rule.Actions = []elb.Action{{Type: elb.ActionTypeEnumForward, TargetGroupArn: new(string(g.ARN()))}}
	w.write(func(tx *store.Tx) { elbv2.Rules.Put(tx, rule) })
	return string(rule.ARN())
}

func newShifting(t *testing.T, config string) *shifting { return newWorld(t).shifting(config) }

// shifting makes the service web.
func (v *world) shifting(config string) *shifting {
	t := v.t
	w := &shifting{world: v, health: always(proto.TargetHealthy)}
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	for range 3 {
		w.register(balancedDefinition)
	}
	w.blue, w.green = w.group("blue", false), w.group("green", false)
	w.production, w.testing = w.rule("production", w.blue), w.rule("test", w.green)
	w.write(func(tx *store.Tx) {
		elbv2.Ingresses.Put(tx, elbv2.Ingress{Account: testAccount, Region: testRegion, Instance: testIngress, Connected: true})
	})
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, fmt.Sprintf(
		`{"serviceName":"web","taskDefinition":"web:1","desiredCount":2,"deploymentConfiguration":%s,"loadBalancers":[%s]}`, config, w.entry()))))(t)
	return w
}

func (w *shifting) entry() string {
	return fmt.Sprintf(`{"targetGroupArn":"%s","containerName":"app","containerPort":80,"advancedConfiguration":{
		"alternateTargetGroupArn":"%s","productionListenerRule":"%s","testListenerRule":"%s","roleArn":"arn:aws:iam::111122223333:role/r"}}`,
		w.blue.ARN(), w.green.ARN(), w.production, w.testing)
}

// shares shows where a rule sends traffic.
func (w *shifting) shares(rule string) string {
	w.t.Helper()
	shares, _ := elbv2.Shares(w.store.Read(), rule)
	var out []string
	for _, s := range shares {
		if s.Weight > 0 {
			name := strings.Split(s.Group, "/")[1]
			out = append(out, fmt.Sprint(name, ":", s.Weight))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (w *shifting) deployment() api.ServiceDeployment {
	w.t.Helper()
	arn := w.service("web").CurrentServiceDeployment
	return must(w.DescribeServiceDeployments(w.ctx, &api.DescribeServiceDeploymentsRequest{ServiceDeploymentArns: []string{*arn}}))(w.t).ServiceDeployments[0]
}

// pass lets everything work once, then time go on.
func (w *shifting) pass(d time.Duration) {
	w.t.Helper()
	w.schedule("web")
	w.note()
	w.lawOfTraffic()
	w.assigned()
	w.schedule("web")
	w.ingress(w.health)
	for h := range Hooks.All(w.store.Read()) {
		if _, err := (HookReconciler{w.Service}).Reconcile(w.ctx, h.Key()); err != nil {
			w.t.Fatal(err)
		}
	}
	w.lawOfTraffic()
	w.clock = w.clock.Add(d)
}

// lawOfTraffic: whatever gets production traffic has a target that can take it, once anything has.
func (w *shifting) lawOfTraffic() {
	w.t.Helper()
	if w.lawless {
		return
	}
	shares, _ := elbv2.Shares(w.store.Read(), w.production)
	serving := map[string]bool{}
	for target := range elbv2.Targets.All(w.store.Read()) {
		if h, _ := elbv2.TargetHealths.Get(w.store.Read(), target.Key()+"|"+testIngress); h.State == proto.TargetHealthy && target.Draining == 0 {
			g, _ := elbv2.TargetGroups.Get(w.store.Read(), target.Group)
			serving[string(g.ARN())] = true
		}
	}
	for _, s := range shares {
		if s.Weight > 0 && len(serving) > 0 && !serving[s.Group] {
			w.t.Fatalf("%s has %d of the traffic and no target for it", s.Group, s.Weight)
		}
	}
}

func (w *shifting) note() {
	d := w.deployment()
	line := fmt.Sprintf("%s[%s|%s]", d.LifecycleStage, w.shares(w.production), w.shares(w.testing))
	if len(w.stages) == 0 || w.stages[len(w.stages)-1] != line {
		w.stages = append(w.stages, line)
	}
}

// until passes until the deployment shows the stage or status.
func (w *shifting) until(what string) api.ServiceDeployment {
	w.t.Helper()
	for range 300 {
		if d := w.deployment(); string(d.LifecycleStage) == what || string(d.Status) == what {
			return d
		}
		w.pass(30 * time.Second)
	}
	d := w.deployment()
	w.t.Fatalf("the deployment is %s in %s, want %s: %v\n%s", d.Status, d.LifecycleStage, what, value(d.StatusReason), strings.Join(w.events("web"), "\n"))
	return d
}

const (
	blueGreenConfig = `{"strategy":"BLUE_GREEN","bakeTimeInMinutes":5%s}`
	canaryConfig    = `{"strategy":"CANARY","canaryConfiguration":{"canaryPercent":12.5,"canaryBakeTimeInMinutes":3},"bakeTimeInMinutes":2}`
	linearConfig    = `{"strategy":"LINEAR","linearConfiguration":{"stepPercent":40,"stepBakeTimeInMinutes":2},"bakeTimeInMinutes":1}`
)

func TestDeploymentsThatShiftTraffic(t *testing.T) {
	for _, row := range []struct{ name, config, weights string }{
		{"blue/green", fmt.Sprintf(blueGreenConfig, ""), "green:100"},
		{"canary", canaryConfig, "blue:875 green:125, green:100"},
		{"linear", linearConfig, "blue:60 green:40, blue:20 green:80, green:100"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newShifting(t, row.config)
			w.until("SUCCESSFUL")
			if got := w.shares(w.production); got != "blue:100" {
				t.Fatalf("after the first deployment traffic goes to %s", got)
			}
			w.write(func(tx *store.Tx) {
				if err := elbv2.SetShares(tx, w.production, []elbv2.Share{{Group: string(w.blue.ARN()), Weight: 1}}); err != nil {
					t.Error(err)
				}
			})
			w.update(`{"service":"web","taskDefinition":"web:2"}`)
			w.stages = nil
			w.step("POST_TEST_TRAFFIC_SHIFT")
			if v := w.service("web"); *v.Deployments[0].DesiredCount != 2 || *v.Deployments[1].DesiredCount != 2 {
				t.Errorf("desired counts %d, %d", *v.Deployments[0].DesiredCount, *v.Deployments[1].DesiredCount)
			}
			w.want("web", "ACTIVE 2/4/0 PRIMARY web:2 IN_PROGRESS 2/0 failed=0 ACTIVE web:1 COMPLETED 2/0 failed=0")
			w.until("SUCCESSFUL")
			w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
			var weights []string
			for _, s := range w.stages {
				shown, _, _ := strings.Cut(s[strings.Index(s, "[")+1:], "|")
				if !slices.Contains(weights, shown) {
					weights = append(weights, shown)
				}
			}
			if got := strings.Join(weights, ", "); got != row.weights {
				t.Errorf("traffic went %s, want %s", got, row.weights)
			}
			revision := must(w.DescribeServiceRevisions(w.ctx, &api.DescribeServiceRevisionsRequest{ServiceRevisionArns: []string{*w.deployment().TargetServiceRevision.Arn}}))(t).ServiceRevisions[0]
			if got := *revision.ResolvedConfiguration.LoadBalancers[0].TargetGroupArn; got != string(w.green.ARN()) {
				t.Errorf("the revision uses %s", got)
			}
			if got := *revision.LoadBalancers[0].TargetGroupArn; got != string(w.blue.ARN()) {
				t.Errorf("the revision is configured with %s", got)
			}
			// The next one goes back the other way.
			w.update(`{"service":"web","taskDefinition":"web:3"}`)
			w.until("SUCCESSFUL")
			if got := w.shares(w.production) + " " + w.shares(w.testing); got != "blue:100 blue:100" {
				t.Errorf("after the third deployment traffic goes to %s", got)
			}
			w.want("web", "ACTIVE 2/2/0 PRIMARY web:3 COMPLETED 2/0 failed=0")
		})
	}
}

func TestStagesAreShown(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	d := w.until("PRE_SCALE_UP")
	if *d.TargetServiceRevision.RequestedTaskCount != 0 || *d.SourceServiceRevisions[0].RequestedTaskCount != 2 {
		t.Errorf("requested %+v %+v", d.TargetServiceRevision, d.SourceServiceRevisions)
	}
	w.step("SCALE_UP")
	d = w.deployment()
	if s, g := d.SourceServiceRevisions[0], d.TargetServiceRevision; *s.RequestedProductionTrafficWeight != 100 || *g.RequestedProductionTrafficWeight != 0 ||
		*s.RequestedTestTrafficWeight != 100 || *g.RequestedTestTrafficWeight != 0 {
		t.Errorf("weights %+v %+v", s, g)
	}
	w.step("POST_PRODUCTION_TRAFFIC_SHIFT")
	d = w.deployment()
	if s, g := d.SourceServiceRevisions[0], d.TargetServiceRevision; *s.RequestedProductionTrafficWeight != 0 || *g.RequestedProductionTrafficWeight != 100 ||
		*g.RequestedTestTrafficWeight != 100 || *g.RequestedTaskCount != 2 {
		t.Errorf("weights %+v %+v", s, g)
	}
	if d.Alarms.Status != "DISABLED" || d.DeploymentCircuitBreaker.Status != "DISABLED" || d.Rollback != nil {
		t.Errorf("%+v", d)
	}
}

func TestStopAtEachStageReturnsTheTraffic(t *testing.T) {
	for _, stage := range []string{"PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
		"PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"} {
		t.Run(stage, func(t *testing.T) {
			w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
			w.until("SUCCESSFUL")
			w.update(`{"service":"web","taskDefinition":"web:2"}`)
			d := w.deployment()
			if string(d.LifecycleStage) != stage {
				w.step(stage)
			}
			must(w.StopServiceDeployment(w.ctx, &api.StopServiceDeploymentRequest{ServiceDeploymentArn: d.ServiceDeploymentArn}))(t)
			d = w.until("ROLLBACK_SUCCESSFUL")
			w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
			if got := w.shares(w.production); got != "blue:100" && got != "blue:1" {
				t.Errorf("traffic goes to %s", got)
			}
			if d.Rollback == nil || *d.Rollback.ServiceRevisionArn != *d.SourceServiceRevisions[0].Arn || *d.StatusReason != "Service deployment rolled back on request." {
				t.Errorf("%+v", d)
			}
			// The next deployment works as any other.
			w.update(`{"service":"web","taskDefinition":"web:3"}`)
			w.until("SUCCESSFUL")
			w.want("web", "ACTIVE 2/2/0 PRIMARY web:3 COMPLETED 2/0 failed=0")
		})
	}
}

// step makes one transaction after the other until the stage shows.
func (w *shifting) step(stage string) {
	w.t.Helper()
	key := ServiceKey(testAccount, testRegion, "default", "web")
	for range 500 {
		before := w.store.Read().Revision()
		again := must(ServiceReconciler{w.Service}.Reconcile(w.ctx, key))(w.t)
		if string(w.deployment().LifecycleStage) == stage {
			return
		}
		if w.store.Read().Revision() == before {
			w.assigned()
			w.ingress(w.health)
			w.clock = w.clock.Add(min(max(again, time.Second), 30*time.Second))
		}
	}
	w.t.Fatalf("stage %s is never seen, it is %s", stage, w.deployment().LifecycleStage)
}

func TestUnhealthyRevisionNeverGetsTraffic(t *testing.T) {
	w := newShifting(t, `{"strategy":"BLUE_GREEN","bakeTimeInMinutes":1,"deploymentCircuitBreaker":{"enable":true,"rollback":true}}`)
	w.until("SUCCESSFUL")
	old := fmt.Sprint(idsOf(w.tasks(Task.Active)))
	w.health = func(t Task) string {
		if t.Revision == 2 {
			return proto.TargetUnhealthy
		}
		return proto.TargetHealthy
	}
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	d := w.until("ROLLBACK_SUCCESSFUL")
	if got := *d.StatusReason; got != "Service deployment rolled back because the circuit breaker threshold was exceeded." {
		t.Errorf("reason %s", got)
	}
	if d.DeploymentCircuitBreaker.Status != "TRIGGERED" {
		t.Errorf("breaker %+v", d.DeploymentCircuitBreaker)
	}
	if got := fmt.Sprint(idsOf(w.tasks(Task.Active))); got != old {
		t.Errorf("tasks %s, want %s", got, old)
	}
	w.hasEvent("web", "deployment failed: Service deployment rolled back because the circuit breaker threshold was exceeded.")
	for _, s := range w.stages {
		if strings.Contains(s, "green") && !strings.Contains(s, "|green") {
			t.Errorf("traffic went to the new revision: %s", s)
		}
	}
}

func TestFirstDeploymentThatFailsEndsItsTasks(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	d := w.until("BAKE_TIME")
	must(w.StopServiceDeployment(w.ctx, &api.StopServiceDeploymentRequest{ServiceDeploymentArn: d.ServiceDeploymentArn}))(t)
	w.until("STOPPED")
	w.pass(time.Second)
	w.want("web", "ACTIVE 2/0/0 PRIMARY web:1 FAILED 0/0 failed=0")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.until("SUCCESSFUL")
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
}

func TestUpdateInMidDeploymentIsReconciledFirst(t *testing.T) {
	for _, stage := range []string{"SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"} {
		t.Run(stage, func(t *testing.T) {
			w := newShifting(t, canaryConfig)
			if stage == "BAKE_TIME" {
				w = newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
			}
			w.until("SUCCESSFUL")
			w.update(`{"service":"web","taskDefinition":"web:2"}`)
			w.step(stage)
			w.clock = w.clock.Add(time.Second)
			w.update(`{"service":"web","taskDefinition":"web:3"}`)
			if got := w.deployment().LifecycleStage; got != "RECONCILE_SERVICE" {
				t.Errorf("begins with %s", got)
			}
			w.until("SUCCESSFUL")
			w.want("web", "ACTIVE 2/2/0 PRIMARY web:3 COMPLETED 2/0 failed=0")
			list := must(w.ListServiceDeployments(w.ctx, &api.ListServiceDeploymentsRequest{Service: new("web")}))(t).ServiceDeployments
			want := map[bool]string{true: "SUCCESSFUL", false: "STOPPED"}[stage == "CLEAN_UP"]
			if got := string(list[1].Status); got != want {
				t.Errorf("the interrupted deployment is %s, want %s", got, want)
			}
			if n := len(strings.Fields(w.shares(w.production))); n != 1 {
				t.Errorf("traffic goes to %s", w.shares(w.production))
			}
		})
	}
}

func TestBackToRollingKeepsTheTargetGroupThatServes(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:3","deploymentConfiguration":{"strategy":"ROLLING"}}`)
	w.until("SUCCESSFUL")
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:3 COMPLETED 2/0 failed=0")
	for _, target := range targets(w.world) {
		if target.Group != w.green.Key() {
			t.Errorf("a target is in %s", target.Group)
		}
	}
	if got := w.shares(w.production); got != "green:100" {
		t.Errorf("traffic goes to %s", got)
	}
}

func TestDeletedServiceEndsInMidDeployment(t *testing.T) {
	w := newShifting(t, canaryConfig)
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.step("PRODUCTION_TRAFFIC_SHIFT")
	must(w.DeleteService(w.ctx, &api.DeleteServiceRequest{Service: new("web"), Force: new(true)}))(t)
	for range 20 {
		w.schedule("web")
		w.assigned()
		w.ingress(w.health)
		w.clock = w.clock.Add(time.Second)
	}
	w.want("web", "INACTIVE 0/0/0")
}

func TestBlueGreenWithoutLoadBalancers(t *testing.T) {
	w := newServiceWorld(t, 2, `,"deploymentConfiguration":{"strategy":"BLUE_GREEN","bakeTimeInMinutes":0}`)
	w.rounds(5, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	w.update(`{"service":"web","taskDefinition":"web:2"}`)
	w.rounds(8, "web", always("HEALTHY"))
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:2 COMPLETED 2/0 failed=0")
}

func TestBrokenRulesRollBack(t *testing.T) {
	for _, row := range []struct {
		name, want string
		change     func(*shifting)
	}{
		{"gone", ". One or more rules not found", func(w *shifting) {
			w.write(func(tx *store.Tx) {
				elbv2.Rules.Delete(tx, testAccount+"/"+testRegion+"/app/lb/0000000000000001/l/test")
			})
		}},
		{"two groups serve", ". productionListenerRule PRODUCTION should have exactly one target group serving traffic but found 2 target groups which are serving traffic", func(w *shifting) {
			w.write(func(tx *store.Tx) {
				_ = elbv2.SetShares(tx, w.production, []elbv2.Share{{Group: string(w.blue.ARN()), Weight: 1}, {Group: string(w.green.ARN()), Weight: 1}})
			})
		}},
		{"another group", ". Production listener rule is forwarding traffic to unexpected target group OTHER. Expected traffic to be forwarded to either targetGroupArn: BLUE or alternateTargetGroupArn: GREEN", func(w *shifting) {
			w.rule("production", w.group("other", false))
		}},
		{"a group nowhere", ": Target group GREEN is not associated with either productionListenerRule or testListenerRule.", func(w *shifting) {
			w.rule("production", w.blue)
			w.rule("test", w.blue)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
			w.until("SUCCESSFUL")
			row.change(w)
			w.lawless = true
			w.update(`{"service":"web","taskDefinition":"web:2"}`)
			w.until("CLEAN_UP")
			want := "Service deployment rolled back because of invalid networking configuration" + strings.NewReplacer("PRODUCTION", w.production,
				"BLUE", string(w.blue.ARN()), "GREEN", string(w.green.ARN()), "OTHER", strings.Replace(string(w.blue.ARN()), "blue/0000000000000004", "other/0000000000000005", 1)).Replace(row.want)
			if got := value(w.deployment().StatusReason); got != want {
				t.Errorf("reason\n %s, want\n %s", got, want)
			}
		})
	}
}

func TestARollingDeploymentInMidShiftTakesTheTrafficBack(t *testing.T) {
	w := newShifting(t, `{}`) // rolling, with the rules for later
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","loadBalancers":[` + entry(w.blue) + `]}`) // and without them
	w.until("SUCCESSFUL")
	w.update(`{"service":"web","taskDefinition":"web:2","deploymentConfiguration":` + canaryConfig + `,"loadBalancers":[` + w.entry() + `]}`)
	for w.shares(w.production) != "blue:875 green:125" {
		w.pass(time.Second)
	}
	w.clock = w.clock.Add(time.Second)
	w.update(`{"service":"web","taskDefinition":"web:3","deploymentConfiguration":{"strategy":"ROLLING"}}`)
	if got := w.shares(w.production); got != "blue:100" {
		t.Errorf("traffic goes to %s", got)
	}
	w.until("SUCCESSFUL")
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:3 COMPLETED 2/0 failed=0")
	for _, target := range targets(w.world) {
		if target.Group != w.blue.Key() {
			t.Errorf("a target is in %s", target.Group)
		}
	}
}

// Tasks on a machine that is not heard of never become STOPPED: they are not waited for.
func TestALostMachineDoesNotHoldUpDeployments(t *testing.T) {
	for _, end := range []string{"SUCCESSFUL", "ROLLBACK_SUCCESSFUL"} {
		t.Run(end, func(t *testing.T) {
			w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
			m2 := w.machine("default", "m2", 1000, 1000)
			w.until("SUCCESSFUL")
			w.update(`{"service":"web","taskDefinition":"web:2"}`)
			w.until("BAKE_TIME")
			if on := w.tasks(func(t Task) bool { return t.Instance == m2.ID && t.Active() }); len(on) != 2 {
				t.Fatalf("%d tasks are on the machine", len(on))
			}
			if err := w.Disconnect(w.ctx, m2.Key(), "session-m2"); err != nil {
				t.Fatal(err)
			}
			if end != "SUCCESSFUL" {
				must(w.StopServiceDeployment(w.ctx, &api.StopServiceDeploymentRequest{ServiceDeploymentArn: w.deployment().ServiceDeploymentArn}))(t)
			}
			w.until(end)
		})
	}
}

// A network load balancer has no rules: the listener's default action itself shifts the traffic.
func TestBlueGreenShiftsAListenerOfANetworkLoadBalancer(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	w.until("SUCCESSFUL")
	group := func(g elbv2.TargetGroup, weight int32) elb.TargetGroupTuple {
		return elb.TargetGroupTuple{TargetGroupArn: new(string(g.ARN())), Weight: &weight}
	}
	l := elbv2.Listener{LoadBalancer: testAccount + "/" + testRegion + "/net/nlb/0000000000000002", ID: "l", Port: 80, Protocol: elb.ProtocolEnumTCP, DefaultActions: []elb.Action{{
		Type:          elb.ActionTypeEnumForward,
		ForwardConfig: &elb.ForwardActionConfig{TargetGroups: []elb.TargetGroupTuple{group(w.blue, 100), group(w.green, 0)}},
	}}}
	w.write(func(tx *store.Tx) { elbv2.Listeners.Put(tx, l) })
	entry := strings.Replace(strings.Replace(w.entry(), w.production, string(l.ARN()), 1), `"testListenerRule":"`+w.testing+`",`, "", 1)
	w.production = string(l.ARN())
	w.update(`{"service":"web","taskDefinition":"web:2","loadBalancers":[` + entry + `]}`)
	w.until("SUCCESSFUL")
	if got := w.shares(w.production); got != "green:100" {
		t.Errorf("traffic to %s", got)
	}
}
