package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

// terraform is a working directory of Terraform with the configuration of testdata/terraform.
type terraform struct {
	*Berth
	dir  string
	vars []string
}

// newTerraform initialises the directory from a copy of the provider on this machine. Nothing is downloaded.
func (b *Berth) newTerraform() *terraform {
	b.t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		b.t.Skip("needs terraform")
	}
	home, _ := os.UserHomeDir()
	places := []string{os.Getenv("TF_PLUGIN_CACHE_DIR"), filepath.Join(home, ".terraform.d", "plugins"), "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"}
	i := slices.IndexFunc(places, func(dir string) bool {
		found, _ := filepath.Glob(filepath.Join(dir, "registry.terraform.io", "hashicorp", "aws", "*"))
		return dir != "" && len(found) > 0
	})
	if i < 0 {
		b.t.Skip("needs a copy of Terraform's provider hashicorp/aws: `terraform providers mirror DIR` makes one; say TF_PLUGIN_CACHE_DIR=DIR")
	}
	t := &terraform{Berth: b, dir: b.t.TempDir(), vars: []string{
		"endpoint=" + b.conn["AWS_ENDPOINT_URL"], "region=" + b.conn["AWS_REGION"], "access_key=" + b.conn["AWS_ACCESS_KEY_ID"],
		"secret_key=" + b.conn["AWS_SECRET_ACCESS_KEY"], "image=" + b.probe(),
	}}
	if err := os.CopyFS(t.dir, os.DirFS(filepath.Join("testdata", "terraform"))); err != nil {
		b.t.Fatal(err)
	}
	t.run(0, "init", "-input=false", "-plugin-dir="+places[i])
	return t
}

// run runs terraform, which must end with the code, and returns what it said.
func (t *terraform) run(code int, args ...string) string {
	t.t.Helper()
	cmd := exec.Command("terraform", append(args, "-no-color")...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_PLUGIN_CACHE_DIR=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ok && exit.ExitCode() != code || err == nil && code != 0 {
		t.t.Fatalf("terraform %s: %v, want exit code %d\n%s", args[0], err, code, out.String())
	}
	return out.String()
}

// with are arguments for a command that needs the variables.
func (t *terraform) with(more ...string) []string {
	args := []string{"-input=false"}
	for _, v := range append(slices.Clone(t.vars), more...) {
		args = append(args, "-var="+v)
	}
	return args
}

func TestTerraformAppliesPlansNothingAndDestroys(t *testing.T) {
	b := shared(t)
	tf := b.newTerraform()
	last := tf.with("release=1", "desired_count=2")
	t.Cleanup(func() { tf.run(0, append([]string{"destroy", "-auto-approve"}, last...)...) })
	for _, step := range [][]string{last, tf.with("release=2", "desired_count=3")} {
		last = step
		tf.run(0, append([]string{"apply", "-auto-approve"}, step...)...)
		tf.run(0, append([]string{"plan", "-detailed-exitcode"}, step...)...)
	}
	v := b.service("tf-web")
	if v.RunningCount != 3 || len(v.Deployments) != 1 || v.Deployments[0].RolloutState != types.DeploymentRolloutStateCompleted {
		t.Errorf("the service after an apply that waits: %s", dump(v))
	}
	url := strings.TrimSpace(b.berth("url", "tf-web"))
	if got, err := get(url + "/env"); err != nil || !strings.Contains(got, "RELEASE=2") {
		t.Errorf("answer %q, %v", got, err)
	}
	if got, err := get(url + "/teapot"); err != nil || got != "short and stout" {
		t.Errorf("answer %q, %v", got, err)
	}
	tf.run(0, append([]string{"destroy", "-auto-approve"}, last...)...)
	if v := b.service("tf-web"); aws.ToString(v.Status) != "INACTIVE" {
		t.Errorf("the service after destroy: %s", dump(v))
	}
	if out, err := b.elb().DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{Names: []string{"tf-web"}}); err == nil {
		t.Errorf("left behind: %s", dump(out))
	}
}

// justNow is before what is made from now on, whose times are in whole milliseconds.
func justNow() time.Time { return time.Now().Add(-2 * time.Millisecond) }

// TestAServiceAsTerraformDrivesIt makes the calls by which Terraform's provider makes, changes and deletes a service and waits for each:
// it finds the deployment of an update by the ID of the primary one, and deletes a service while its tasks still drain.
func TestAServiceAsTerraformDrivesIt(t *testing.T) {
	b := shared(t)
	l := b.newBalancer("tf-way")
	cluster := b.aws("ecs", "describe-clusters", "--query", "clusters[0].clusterArn", "--output", "text")
	first := l.definition("tf-way", "1")
	began := justNow()
	made, err := b.ecs().CreateService(t.Context(), &ecs.CreateServiceInput{
		ServiceName: new("tf-way"), Cluster: &cluster, ClientToken: new("terraform-20260101"), TaskDefinition: &first, DesiredCount: new(int32(2)), SchedulingStrategy: types.SchedulingStrategyReplica,
		DeploymentController: &types.DeploymentController{Type: types.DeploymentControllerTypeEcs}, HealthCheckGracePeriodSeconds: new(int32(30)),
		DeploymentConfiguration: &types.DeploymentConfiguration{
			MinimumHealthyPercent: new(int32(50)), MaximumPercent: new(int32(200)), DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true},
		},
		LoadBalancers: []types.LoadBalancer{{TargetGroupArn: &l.group, ContainerName: new("main"), ContainerPort: new(int32(8080))}},
		Tags:          []types.Tag{{Key: new("made-by"), Value: new("terraform")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := *made.Service.ServiceArn
	t.Cleanup(func() {
		_, _ = b.ecs().DeleteService(context.Background(), &ecs.DeleteServiceInput{Cluster: &cluster, Service: &arn, Force: new(true)})
	})
	read := func() types.Service {
		t.Helper()
		out, err := b.ecs().DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{arn}, Include: []types.ServiceField{types.ServiceFieldTags}})
		if err != nil || len(out.Services) != 1 || len(out.Failures) != 0 {
			t.Fatalf("%v %s", err, dump(out))
		}
		return out.Services[0]
	}
	steady := func(after time.Time) {
		t.Helper()
		primary := read().Deployments[0]
		if *primary.Status != "PRIMARY" || !primary.CreatedAt.After(after) {
			t.Fatalf("primary deployment %s", dump(primary))
		}
		_, id, _ := strings.Cut(*primary.Id, "/")
		list, err := b.ecs().ListServiceDeployments(t.Context(), &ecs.ListServiceDeploymentsInput{
			Cluster: &cluster, Service: new("tf-way"), CreatedAt: &types.CreatedAt{After: &after},
		})
		if err != nil || len(list.ServiceDeployments) != 1 || !strings.Contains(*list.ServiceDeployments[0].TargetServiceRevisionArn, id) {
			t.Fatalf("deployment %s: %v %s", id, err, dump(list))
		}
		eventually(t, "the deployment succeeds", func() (bool, string) {
			out, err := b.ecs().DescribeServiceDeployments(t.Context(), &ecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*list.ServiceDeployments[0].ServiceDeploymentArn}})
			if err != nil {
				t.Fatal(err)
			}
			return out.ServiceDeployments[0].Status == types.ServiceDeploymentStatusSuccessful, dump(out)
		})
	}
	same := func(definition string, desired int32) {
		t.Helper()
		v := read()
		c := v.DeploymentConfiguration
		for what, equal := range map[string]bool{
			"status": *v.Status == "ACTIVE", "cluster": *v.ClusterArn == cluster, "definition": *v.TaskDefinition == definition, "desired count": v.DesiredCount == desired,
			"percents": *c.MinimumHealthyPercent == 50 && *c.MaximumPercent == 200, "breaker": c.DeploymentCircuitBreaker.Enable && c.DeploymentCircuitBreaker.Rollback, "alarms": c.Alarms == nil || !c.Alarms.Enable,
			"grace period": *v.HealthCheckGracePeriodSeconds == 30, "controller": v.DeploymentController == nil || v.DeploymentController.Type == types.DeploymentControllerTypeEcs,
			"load balancer": len(v.LoadBalancers) == 1 && *v.LoadBalancers[0].TargetGroupArn == l.group && *v.LoadBalancers[0].ContainerPort == 8080 && v.LoadBalancers[0].LoadBalancerName == nil,
			"none":          len(v.CapacityProviderStrategy)+len(v.PlacementConstraints)+len(v.PlacementStrategy)+len(v.ServiceRegistries) == 0 && v.NetworkConfiguration == nil && v.PlatformVersion == nil,
			"options":       !v.EnableECSManagedTags && !v.EnableExecuteCommand && cmp.Or(v.PropagateTags, types.PropagateTagsNone) == types.PropagateTagsNone,
			"strategy":      v.SchedulingStrategy == types.SchedulingStrategyReplica && v.LaunchType == types.LaunchTypeEc2, "tags": len(v.Tags) == 1,
			"connect": v.Deployments[0].ServiceConnectConfiguration == nil && len(v.Deployments[0].VolumeConfigurations) == 0,
		} {
			if !equal {
				t.Errorf("%s is not what was written: %s", what, dump(v))
			}
		}
	}
	steady(began)
	same(first, 2)
	second, began := l.definition("tf-way", "2"), justNow()
	l.update(ecs.UpdateServiceInput{Cluster: &cluster, Service: &arn, TaskDefinition: &second, DesiredCount: new(int32(3))})
	steady(began)
	same(second, 3)

	l.update(ecs.UpdateServiceInput{Cluster: &cluster, Service: &arn, DesiredCount: new(int32(0))})
	if _, err := b.ecs().DeleteService(t.Context(), &ecs.DeleteServiceInput{Cluster: &cluster, Service: &arn, Force: new(false)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service is INACTIVE", func() (bool, string) { v := read(); return *v.Status == "INACTIVE", dump(v) })
	if left := read(); left.RunningCount != 0 {
		t.Errorf("tasks are left: %s", dump(left))
	}
}
