package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	elb "berth/api/elbv2"
	"berth/elbv2"
	"berth/store"
)

// rules makes a load balancer with a production rule that forwards to blue and a test rule that forwards to green.
func (w *world) rules(blue, green string) (production, tests string) {
	w.Helper()
	lb := elbv2.LoadBalancer{Account: account, Region: region, Kind: "application", Name: "lb", ID: "0000000000000001", Number: 1}
	err := w.store.Update(w.Context(), func(tx *store.Tx) error {
		elbv2.LoadBalancers.Put(tx, lb)
		for i, group := range []string{blue, green} {
			l := elbv2.Listener{LoadBalancer: lb.Key(), ID: "012345678901234" + string(rune('0'+i)), Port: int32(80 + i), Protocol: elb.ProtocolEnumHTTP,
				DefaultActions: []elb.Action{{Type: elb.ActionTypeEnumFixedResponse, FixedResponseConfig: &elb.FixedResponseActionConfig{StatusCode: new("404")}}}}
			rule := elbv2.Rule{Listener: l.Key(), ID: "0123456789abcdef", Priority: 1,
				Conditions: []elb.RuleCondition{{Field: new("path-pattern"), Values: []string{"*"}}},
				Actions:    []elb.Action{{Type: elb.ActionTypeEnumForward, TargetGroupArn: new(group)}}}
			elbv2.Listeners.Put(tx, l)
			elbv2.Rules.Put(tx, rule)
			if i == 0 {
				production = rule.ARN().String()
			} else {
				tests = rule.ARN().String()
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return production, tests
}

// shifted has two machines and the service web of two tasks whose deployments shift traffic; the first is over.
func shifted(w *world, config types.DeploymentConfiguration) (production string) {
	w.Helper()
	production, _ = shiftedTwo(w, config)
	return production
}

// shiftedTwo is shifted, and tells the rule of test traffic besides.
func shiftedTwo(w *world, config types.DeploymentConfiguration) (production, tests string) {
	w.Helper()
	w.joinIngress("a", "10.0.0.1")
	w.joinIngress("b", "10.0.0.2")
	w.defineWeb()
	blue, green := w.group("blue"), w.group("green")
	production, tests = w.rules(blue, green)
	config.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}
	_, err := w.ecs.CreateService(w.Context(), &sdk.CreateServiceInput{
		ServiceName: new("web"), TaskDefinition: new("web"), DesiredCount: new(int32(2)), DeploymentConfiguration: &config,
		LoadBalancers: []types.LoadBalancer{{TargetGroupArn: &blue, ContainerName: new("app"), ContainerPort: new(int32(80)),
			AdvancedConfiguration: &types.AdvancedConfiguration{AlternateTargetGroupArn: &green, ProductionListenerRule: &production, TestListenerRule: &tests,
				RoleArn: new("arn:aws:iam::111122223333:role/r")}}},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.over(production, "SUCCESSFUL", 0)
	return production, tests
}

func (w *world) serviceDeployment() types.ServiceDeployment {
	w.Helper()
	out, err := w.ecs.DescribeServiceDeployments(w.Context(), &sdk.DescribeServiceDeploymentsInput{
		ServiceDeploymentArns: []string{*w.service().CurrentServiceDeployment}})
	if err != nil || len(out.ServiceDeployments) != 1 {
		w.Fatalf("describe: %v %+v", err, out)
	}
	return out.ServiceDeployments[0]
}

// over waits for the end of the service's deployment, and watches that all production traffic goes to groups that every machine has
// enough targets for.
func (w *world) over(production, want string, least int) types.ServiceDeployment {
	w.Helper()
	var d types.ServiceDeployment
	for range 1200 {
		if d = w.serviceDeployment(); d.FinishedAt != nil || d.StoppedAt != nil {
			break
		}
		w.watch(time.Second, least)
		w.takesTraffic(production, least)
	}
	if string(d.Status) != want {
		w.Fatalf("the deployment is %s in %s; the rule says %s", d.Status, d.LifecycleStage, want)
	}
	return d
}

func (w *world) takesTraffic(production string, least int) {
	w.Helper()
	shares, _ := elbv2.Shares(w.store.Read(), production)
	for _, s := range shares {
		for _, m := range w.machines {
			if n := m.ingress.healthyIn(s.Group); s.Weight > 0 && n < least {
				w.Errorf("%s sends %d of the traffic to %s, where %d targets take it; at least %d should", m.name, s.Weight, s.Group, n, least)
			}
		}
	}
}

// serves is where the machine's traffic of a rule goes, as shares shows it.
func (i *ingress) serves(arn string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, lb := range i.served.LoadBalancers {
		for _, l := range lb.Listeners {
			for _, rule := range l.Rules {
				if !strings.HasSuffix(arn, "/"+lb.ID+"/"+l.ID+"/"+rule.ID) {
					continue
				}
				out := ""
				for _, g := range rule.Action.Groups {
					out += fmt.Sprintf("%s %d, ", g.Group, g.Weight)
				}
				return out
			}
		}
	}
	return ""
}

// wantFollowed checks that all machines that are there send the traffic of the rules where these say.
func (w *world) wantFollowed(rules ...string) {
	w.Helper()
	for _, rule := range rules {
		shares, _ := elbv2.Shares(w.store.Read(), rule)
		want := ""
		for _, s := range shares {
			_, group, _ := strings.Cut(s.Group, ":targetgroup/")
			want += fmt.Sprintf("targetgroup/%s %d, ", group, s.Weight)
		}
		for _, m := range w.machines {
			if got := m.ingress.serves(rule); got != want && !m.cable.isOut() {
				w.Errorf("in %s %s sends the traffic to %s; the rule says %s", w.serviceDeployment().LifecycleStage, m.name, got, want)
			}
		}
	}
}

// healthyIn is how many targets of a group the machine sends requests to.
func (i *ingress) healthyIn(group string) (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.states {
		if s.State == "healthy" && strings.HasSuffix(group, s.Group) {
			n++
		}
	}
	return n
}

func strategies() map[string]types.DeploymentConfiguration {
	return map[string]types.DeploymentConfiguration{
		"blue/green": {Strategy: types.DeploymentStrategyBlueGreen, BakeTimeInMinutes: new(int32(1))},
		"canary": {Strategy: types.DeploymentStrategyCanary, BakeTimeInMinutes: new(int32(1)),
			CanaryConfiguration: &types.CanaryConfiguration{CanaryPercent: new(12.5), CanaryBakeTimeInMinutes: new(int32(1))}},
		"linear": {Strategy: types.DeploymentStrategyLinear, BakeTimeInMinutes: new(int32(1)),
			LinearConfiguration: &types.LinearConfiguration{StepPercent: new(40.0), StepBakeTimeInMinutes: new(int32(1))}},
	}
}

// pauses is a pause in every stage in which there can be one.
func pauses() []types.DeploymentLifecycleHook {
	return []types.DeploymentLifecycleHook{{TargetType: types.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []types.DeploymentLifecycleHookStage{
		types.DeploymentLifecycleHookStagePreScaleUp, types.DeploymentLifecycleHookStagePostScaleUp, types.DeploymentLifecycleHookStagePostTestTrafficShift,
		types.DeploymentLifecycleHookStagePreProductionTrafficShift, types.DeploymentLifecycleHookStagePostProductionTrafficShift}}}
}

// answer ends a pause.
func (w *world) answer(action types.DeploymentLifecycleHookAction) (was bool) {
	w.Helper()
	d := w.serviceDeployment()
	for _, h := range d.LifecycleHookDetails {
		if h.Status != types.DeploymentLifecycleHookStatusAwaitingAction {
			continue
		}
		_, err := w.ecs.ContinueServiceDeployment(w.Context(), &sdk.ContinueServiceDeploymentInput{ServiceDeploymentArn: d.ServiceDeploymentArn, HookId: h.HookId, Action: action})
		if err != nil {
			w.Fatal(err)
		}
		return true
	}
	return false
}

func TestEveryStrategyMovesTheTrafficAndComesToRest(t *testing.T) {
	for name, config := range strategies() {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				production := shifted(w, config)
				for range 2 {
					w.defineWeb()
					w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
					w.over(production, "SUCCESSFUL", 2)
					w.wantService("ACTIVE 2/2/0 COMPLETED")
				}
			})
		})
	}
}

func TestARollbackAtEachPauseReturnsTheTraffic(t *testing.T) {
	for name, config := range strategies() {
		for n := range 6 {
			t.Run(name+" "+string(rune('1'+n)), func(t *testing.T) {
				scenario(t, func(w *world) {
					production := shifted(w, config)
					old := w.tasksOf()
					w.defineWeb()
					config := config
					config.LifecycleHooks = pauses()
					w.update(sdk.UpdateServiceInput{TaskDefinition: new("web"), DeploymentConfiguration: &config})
					for left, passed := n, 0; left >= 0 && passed < 600; passed++ {
						action := types.DeploymentLifecycleHookActionContinue
						if left == 0 {
							action = types.DeploymentLifecycleHookActionRollback
						}
						if w.answer(action) {
							left--
						}
						w.watch(time.Second, 2)
						w.takesTraffic(production, 2)
						if w.serviceDeployment().FinishedAt != nil {
							return // it has fewer pauses
						}
					}
					w.over(production, "ROLLBACK_SUCCESSFUL", 2)
					w.wantService("ACTIVE 2/2/0 COMPLETED")
					for _, task := range old {
						w.wantTask(task.ARN().String(), "RUNNING", "RUNNING")
					}
				})
			})
		}
	}
}

func TestAStageThatMovesTrafficIsOverWhenEveryMachineFollows(t *testing.T) {
	for name, config := range strategies() {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				production, tests := shiftedTwo(w, config)
				w.machines[1].ingress.slow(20 * time.Second)
				w.defineWeb()
				config := config
				config.LifecycleHooks = pauses()
				w.update(sdk.UpdateServiceInput{TaskDefinition: new("web"), DeploymentConfiguration: &config})
				shown := map[types.ServiceDeploymentLifecycleStage]int{}
				for range 600 {
					d := w.serviceDeployment()
					if d.FinishedAt != nil {
						break
					}
					shown[d.LifecycleStage]++
					switch d.LifecycleStage {
					case types.ServiceDeploymentLifecycleStagePostTestTrafficShift:
						w.wantFollowed(tests)
					case types.ServiceDeploymentLifecycleStagePostProductionTrafficShift, types.ServiceDeploymentLifecycleStageBakeTime:
						w.wantFollowed(tests, production)
					}
					w.answer(types.DeploymentLifecycleHookActionContinue)
					w.watch(time.Second, 2)
				}
				w.over(production, "SUCCESSFUL", 2)
				for _, stage := range []types.ServiceDeploymentLifecycleStage{"TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"} {
					if shown[stage] < 19 {
						t.Errorf("%s was over after %d s; the rule says when the slow machine follows", stage, shown[stage])
					}
				}
			})
		})
	}
}

func TestAMachineThatIsLostInAShiftIsNotWaitedFor(t *testing.T) {
	scenario(t, func(w *world) {
		production := shifted(w, strategies()["blue/green"])
		w.machines[1].ingress.fail("HAProxy refuses the configuration")
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		for w.serviceDeployment().LifecycleStage != types.ServiceDeploymentLifecycleStageTestTrafficShift {
			w.watch(time.Second, 0)
		}
		w.watch(time.Minute, 0)
		if stage := w.serviceDeployment().LifecycleStage; stage != types.ServiceDeploymentLifecycleStageTestTrafficShift {
			t.Errorf("the deployment is in %s; the rule says that it waits for a machine that is connected", stage)
		}
		w.machines[1].cable.pull()
		w.watch(3*heartbeat+time.Second, 0)
		w.wantFollowed(production)
		if stage := w.serviceDeployment().LifecycleStage; stage != types.ServiceDeploymentLifecycleStageBakeTime {
			t.Errorf("the deployment is in %s; the rule says that it does not wait for a machine that is lost", stage)
		}
	})
}

func TestAMachineThatCannotFollowFailsTheDeployment(t *testing.T) {
	scenario(t, func(w *world) {
		production := shifted(w, strategies()["blue/green"])
		w.machines[1].ingress.fail("HAProxy refuses the configuration: no such thing")
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		d := w.over(production, "ROLLBACK_SUCCESSFUL", 2)
		if want := "did not follow the TEST_TRAFFIC_SHIFT lifecycle stage within 5 minutes: machine "; !strings.Contains(*d.StatusReason, want) ||
			!strings.HasSuffix(*d.StatusReason, " (HAProxy refuses the configuration: no such thing)") {
			t.Errorf("reason: %s", *d.StatusReason)
		}
		w.wantService("ACTIVE 2/2/0 COMPLETED")
	})
}

func TestARevisionWhoseTargetsFailNeverGetsTraffic(t *testing.T) {
	scenario(t, func(w *world) {
		production := shifted(w, strategies()["blue/green"])
		old, _ := elbv2.Shares(w.store.Read(), production)
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		for range 120 {
			for _, task := range w.tasksOf() {
				if task.Revision == 2 {
					w.sick(task, true)
				}
			}
			w.watch(time.Second, 2)
			if now, _ := elbv2.Shares(w.store.Read(), production); !slices.Equal(now, old) {
				w.Fatalf("traffic goes to %v", now)
			}
		}
		w.over(production, "ROLLBACK_SUCCESSFUL", 2)
		w.wantService("ACTIVE 2/2/0 COMPLETED")
	})
}

func TestAnUpdateInMidShiftIsReconciled(t *testing.T) {
	scenario(t, func(w *world) {
		production := shifted(w, strategies()["canary"])
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		for w.serviceDeployment().LifecycleStage != types.ServiceDeploymentLifecycleStageProductionTrafficShift {
			w.watch(time.Second, 2)
		}
		w.watch(10*time.Second, 2)
		w.defineWeb()
		w.update(sdk.UpdateServiceInput{TaskDefinition: new("web")})
		w.over(production, "SUCCESSFUL", 2)
		w.wantService("ACTIVE 2/2/0 COMPLETED")
	})
}
