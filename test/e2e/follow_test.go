package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// defaultRule is the ARN of a listener's default rule.
func (l *balancer) defaultRule(listener string) string {
	l.t.Helper()
	out, err := l.elb().DescribeRules(l.t.Context(), &elb.DescribeRulesInput{ListenerArn: &listener})
	if err != nil || len(out.Rules) == 0 {
		l.t.Fatalf("rules of %s: %v", listener, err)
	}
	return *out.Rules[len(out.Rules)-1].RuleArn
}

// A hook that runs after a shift of traffic, and the first request after it, meet the revision that the traffic was shifted to.
func TestHooksAfterAShiftMeetTheNewRevision(t *testing.T) {
	b := start(t)
	l := b.newBalancer("follow")
	const name = "follow"
	green := l.newGroup("follow-green")
	tests, err := l.elb().CreateListener(t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: &l.arn, Port: new(int32(8080)), Protocol: elbtypes.ProtocolEnumHttp,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &green}},
	})
	if err != nil {
		t.Fatal(err)
	}
	production, testing := l.defaultRule(l.listener), l.defaultRule(*tests.Listeners[0].ListenerArn)
	balancers := []types.LoadBalancer{{
		TargetGroupArn: &l.group, ContainerName: new("main"), ContainerPort: new(int32(8080)),
		AdvancedConfiguration: &types.AdvancedConfiguration{
			AlternateTargetGroupArn: &green, ProductionListenerRule: &production, TestListenerRule: &testing, RoleArn: new("arn:aws:iam::000000000000:role/ecs"),
		},
	}}
	met := &met{t: t, answers: map[string][]string{}}
	hook := httptest.NewServer(met)
	defer hook.Close()
	l.serve(ecs.CreateServiceInput{ServiceName: new(name), TaskDefinition: new(l.definition(name, "0")), DesiredCount: new(int32(1)), LoadBalancers: balancers})
	url := strings.TrimSuffix(l.url(), "/")
	for n, config := range []types.DeploymentConfiguration{
		{Strategy: types.DeploymentStrategyBlueGreen, BakeTimeInMinutes: new(int32(0))},
		{Strategy: types.DeploymentStrategyCanary, BakeTimeInMinutes: new(int32(0)), CanaryConfiguration: &types.CanaryConfiguration{
			CanaryPercent: new(20.0), CanaryBakeTimeInMinutes: new(int32(0))}},
		{Strategy: types.DeploymentStrategyBlueGreen, BakeTimeInMinutes: new(int32(0))},
	} {
		release := fmt.Sprint(n + 1)
		met.look(map[string]string{"POST_TEST_TRAFFIC_SHIFT": url + ":8080/env", "POST_PRODUCTION_TRAFFIC_SHIFT": url + "/env"})
		config.LifecycleHooks = []types.DeploymentLifecycleHook{{HookTargetArn: &hook.URL, LifecycleStages: []types.DeploymentLifecycleHookStage{
			types.DeploymentLifecycleHookStagePostTestTrafficShift, types.DeploymentLifecycleHookStagePostProductionTrafficShift}}}
		next := l.definition(name, release)
		l.update(ecs.UpdateServiceInput{Service: new(name), TaskDefinition: &next, DeploymentConfiguration: &config})
		l.completed(name, next)
		for stage, got := range met.all() {
			if len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return s != release }) {
				t.Errorf("%s of release %s met %v", stage, release, got)
			}
		}
	}
}

// met is a lifecycle hook that asks an address of its stage and notes which release answers.
type met struct {
	t       *testing.T
	mu      sync.Mutex // guards what follows
	where   map[string]string
	answers map[string][]string
}

func (m *met) look(where map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.where, m.answers = where, map[string][]string{"POST_TEST_TRAFFIC_SHIFT": nil, "POST_PRODUCTION_TRAFFIC_SHIFT": nil}
}

func (m *met) all() map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answers
}

func (m *met) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		LifecycleStage string `json:"lifecycleStage"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		m.t.Error(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for range 10 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		release := "none"
		resp, err := client.Get(m.where[in.LifecycleStage])
		if err != nil {
			release = err.Error()
		} else {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			for line := range strings.Lines(string(body)) {
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), "RELEASE="); ok {
					release = v
				}
			}
		}
		m.answers[in.LifecycleStage] = append(m.answers[in.LifecycleStage], release)
	}
	fmt.Fprint(w, `{"hookStatus":"SUCCEEDED"}`)
}
