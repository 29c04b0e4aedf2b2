package sim

import (
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
	w.joinIngress("a", "10.0.0.1")
	w.joinIngress("b", "10.0.0.2")
	w.defineWeb()
	blue, green := w.group("blue"), w.group("green")
	production, tests := w.rules(blue, green)
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
	return production
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
