package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// A service of no tasks goes through every stage of a blue/green deployment, and waits where it is to be paused.
func TestECSContinueServiceDeployment(t *testing.T) {
	w := newTasks(t)
	stages := []types.DeploymentLifecycleHookStage{types.DeploymentLifecycleHookStagePostScaleUp}
	v := must(w.ecs.CreateService(t.Context(), &ecs.CreateServiceInput{
		Cluster: &w.cluster, ServiceName: new(name("bg")), TaskDefinition: &w.family, DesiredCount: new(int32(0)),
		DeploymentConfiguration: &types.DeploymentConfiguration{
			Strategy: types.DeploymentStrategyBlueGreen, BakeTimeInMinutes: new(int32(0)),
			LifecycleHooks: []types.DeploymentLifecycleHook{{TargetType: types.DeploymentLifecycleHookTargetTypePause, LifecycleStages: stages}},
		},
	}))(t).Service
	deployment := func() types.ServiceDeployment {
		out := must(w.ecs.DescribeServiceDeployments(t.Context(), &ecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*v.CurrentServiceDeployment}}))(t)
		return out.ServiceDeployments[0]
	}
	eventually(t, "the deployment pauses", func() bool {
		hooks := deployment().LifecycleHookDetails
		return len(hooks) == 1 && hooks[0].Status == types.DeploymentLifecycleHookStatusAwaitingAction
	})
	d := deployment()
	if d.LifecycleStage != types.ServiceDeploymentLifecycleStagePostScaleUp || d.Status != types.ServiceDeploymentStatusInProgress {
		t.Errorf("%s in %s", d.Status, d.LifecycleStage)
	}
	proceed := func(hook string) error {
		_, err := w.ecs.ContinueServiceDeployment(t.Context(), &ecs.ContinueServiceDeploymentInput{ServiceDeploymentArn: d.ServiceDeploymentArn, HookId: &hook})
		return err
	}
	wantError(t, proceed("x"), "InvalidParameterException", "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}")
	wantError(t, proceed("ecs-pause-x"), "InvalidParameterException", "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN")
	if err := proceed(*d.LifecycleHookDetails[0].HookId); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deployment is over", func() bool { return deployment().Status == types.ServiceDeploymentStatusSuccessful })
	wantError(t, proceed(*d.LifecycleHookDetails[0].HookId), "InvalidParameterException", "Continuing a service deployment is not allowed for service deployment in terminal states.")
	_, err := w.ecs.StopServiceDeployment(t.Context(), &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: d.ServiceDeploymentArn})
	wantError(t, err, "ConflictException", "The service deployment is in a terminal state and cannot be stopped.")
	_, err = w.ecs.StopServiceDeployment(t.Context(), &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: d.ServiceDeploymentArn, StopType: types.StopServiceDeploymentStopTypeAbort})
	wantError(t, err, "ClientException", "stopType ABORT is not supported by this Berth yet.")
}
