package ecs

import (
	"fmt"
	"strings"
	"testing"

	api "berth/api/ecs"
)

func TestStrategiesAreChecked(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	const pause, call = `"targetType":"PAUSE",`, `"hookTargetArn":"https://x/y",`
	hook := func(text string) string { return fmt.Sprintf(blueGreenConfig, `,"lifecycleHooks":[{`+text+`}]`) }
	const bad = "InvalidParameterException: "
	const target = bad + "Invalid hookTargetArn. Give an HTTP(S) URL, or the ARN of a task definition to run."
	for _, row := range []struct{ config, want string }{
		{`{"strategy":"BLUE_GREEN"}`, bad + "bakeTimeInMinutes must be specified when the deployment strategy is BLUE_GREEN."},
		{`{"strategy":"BLUE_GREEN","bakeTimeInMinutes":1441}`, bad + "bakeTimeInMinutes must be between 0 and 1440"},
		{`{"strategy":"LINEAR","linearConfiguration":{"stepPercent":2.9}}`, bad + "stepPercent must be a multiple of 0.1 between 3.0 and 100.0"},
		{`{"strategy":"LINEAR","linearConfiguration":{"stepPercent":3.05}}`, bad + "stepPercent must be a multiple of 0.1 between 3.0 and 100.0"},
		{`{"strategy":"LINEAR","linearConfiguration":{"stepBakeTimeInMinutes":-1}}`, bad + "stepBakeTimeInMinutes must be between 0 and 1440"},
		{`{"strategy":"CANARY","canaryConfiguration":{"canaryPercent":0}}`, bad + "canaryPercent must be a multiple of 0.1 between 0.1 and 100.0"},
		{`{"strategy":"CANARY","linearConfiguration":{}}`, bad + "linearConfiguration and canaryConfiguration can be given with their own deployment strategy only."},
		{`{"lifecycleHooks":[{` + call + `"lifecycleStages":["PRE_SCALE_UP"]}]}`, bad + "lifecycleHooks can be given with the deployment strategies BLUE_GREEN, LINEAR and CANARY only."},
		{hook(`"targetType":"X"`), bad + "Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE"},
		{hook(call + `"lifecycleStages":[]`), bad + "lifecycleStages must have at least one stage."},
		{hook(pause + `"lifecycleStages":["PRODUCTION_TRAFFIC_SHIFT"]`), bad + "Invalid lifecycle stage provided for Pause Hook"},
		{hook(pause + `"lifecycleStages":["PRE_SCALE_UP"],"roleArn":"arn:aws:iam::1:role/r"`), bad + "hookTargetArn and roleArn can not be given for a Pause Hook"},
		{hook(pause + `"lifecycleStages":["PRE_SCALE_UP"],"timeoutConfiguration":{"timeoutInMinutes":20161}`), bad + "timeoutInMinutes must be between 1 and 20160"},
		{hook(call + `"lifecycleStages":["PRE_SCALE_UP"],"timeoutConfiguration":{"timeoutInMinutes":1441}`), bad + "timeoutInMinutes must be between 1 and 1440"},
		{hook(`"lifecycleStages":["PRE_SCALE_UP"]`), target},
		{hook(`"hookTargetArn":"file:///etc/passwd","lifecycleStages":["PRE_SCALE_UP"]`), target},
		{hook(`"hookTargetArn":"arn:aws:lambda:eu-west-1:111122223333:function:f","lifecycleStages":["PRE_SCALE_UP"]`),
			bad + "hookTargetArn: Berth has no Lambda functions. Give an HTTP(S) URL, or the ARN of a task definition to run."},
		{hook(`"hookTargetArn":"arn:aws:ecs:eu-west-1:999999999999:task-definition/f","lifecycleStages":["PRE_SCALE_UP"]`),
			bad + "Invalid hookTargetArn. Of ECS's resources a hook can run a task definition of this account and region only."},
		{fmt.Sprintf(blueGreenConfig, `,"lifecycleHooks":[`+strings.TrimSuffix(strings.Repeat(`{"targetType":"PAUSE","lifecycleStages":["PRE_SCALE_UP"]},`, 11), ",")+`]`),
			bad + "lifecycleHooks can have at most 10 hooks of each targetType."},
		{`{"alarms":{"enable":true,"rollback":true,"alarmNames":["a"]}}`, "ClientException: deploymentConfiguration.alarms (CloudWatch alarms) is not supported by this Berth yet."},
	} {
		in := fmt.Sprintf(`{"serviceName":"x","desiredCount":1,"taskDefinition":"web","deploymentConfiguration":%s,"loadBalancers":[%s]}`, row.config, w.entry())
		if got := w.call("CreateService", in); got != row.want {
			t.Errorf("%s: got %q, want %q", row.config, got, row.want)
		}
	}
	if got, want := w.call("CreateService", `{"serviceName":"x","schedulingStrategy":"DAEMON","taskDefinition":"web","deploymentConfiguration":{"strategy":"BLUE_GREEN","bakeTimeInMinutes":1}}`),
		bad+"The daemon scheduling strategy does not support the BLUE_GREEN deployment strategy."; got != want {
		t.Errorf("daemon: got %q", got)
	}
}

func TestAdvancedConfigurationIsChecked(t *testing.T) {
	w := newShifting(t, fmt.Sprintf(blueGreenConfig, ""))
	other, more := w.group("other", true), w.group("others", true)
	const bad, net = "InvalidParameterException: ", "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/net/n/1/2"
	e := func(alternate, production, test string) string {
		if test != "" {
			test = fmt.Sprintf(`,"testListenerRule":%q`, test)
		}
		return fmt.Sprintf(`{"targetGroupArn":"%s","containerName":"app","containerPort":80,"advancedConfiguration":{"alternateTargetGroupArn":%q,"productionListenerRule":%q%s}}`,
			w.blue.ARN(), alternate, production, test)
	}
	green := string(w.green.ARN())
	for _, row := range []struct{ strategy, lbs, want string }{
		{`"BLUE_GREEN"`, entry(other), bad + "advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy"},
		{`"BLUE_GREEN"`, entry(other) + "," + w.entry(), bad + "Either all or none of the provided loadBalancers must have advancedConfiguration defined"},
		{`"CANARY"`, "", bad + "The deployment strategy CANARY needs loadBalancers with advancedConfiguration."},
		{`"BLUE_GREEN"`, `{"loadBalancerName":"c","containerName":"app","containerPort":80,"advancedConfiguration":{}}`, bad + "advancedConfiguration field is not allowed with ELBv1 loadBalancers"},
		{`"BLUE_GREEN"`, `{"loadBalancerName":"c","containerName":"app","containerPort":80},` + entry(other), bad + "All loadBalancers must be strictly either ELBv1 (defining loadBalancerName) or ELBv2 (defining targetGroupArn)"},
		{`"BLUE_GREEN"`, e(string(w.blue.ARN()), w.production, w.testing), bad + "Duplicate targetGroupArn found: " + string(w.blue.ARN())},
		{`"BLUE_GREEN"`, e(green, w.production, w.production), bad + "The following rules cannot be used as both production and test listener rules: " + w.production},
		{`"BLUE_GREEN"`, e(green, w.production, ""), bad + "For Application LoadBalancer, testListenerRule is required when productionListenerRule is not associated with both targetGroup and alternateTargetGroup"},
		{`"BLUE_GREEN"`, e(green, "", w.testing), bad + "productionListenerRule can not be blank."},
		{`"BLUE_GREEN"`, e(green, "x", w.testing), bad + "x is neither the ARN of a listener rule of an Application Load Balancer nor that of a listener of a Network Load Balancer."},
		{`"BLUE_GREEN"`, e(green, strings.Replace(w.production, testAccount, "444455556666", 1), w.testing), bad + strings.Replace(w.production, testAccount, "444455556666", 1) + " is not in the account and region of the service."},
		{`"ROLLING"`, e(green, w.production, strings.Replace(w.testing, testRegion, "eu-west-3", 1)), bad + strings.Replace(w.testing, testRegion, "eu-west-3", 1) + " is not in the account and region of the service."},
		{`"LINEAR"`, e(green, net, ""), bad + "Network Load Balancers are not supported with the deployment strategy LINEAR."},
		{`"BLUE_GREEN"`, e(green+"0", w.production, w.testing), bad + "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role being passed has the proper permissions."},
	} {
		in := fmt.Sprintf(`{"serviceName":"x","desiredCount":1,"taskDefinition":"web","deploymentConfiguration":{"strategy":%s,"bakeTimeInMinutes":1},"loadBalancers":[%s]}`, row.strategy, row.lbs)
		if got := w.call("CreateService", in); got != row.want {
			t.Errorf("%s %s: got %q, want %q", row.strategy, row.lbs, got, row.want)
		}
	}
	// A service that changes to another strategy must have what it needs.
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](t, fmt.Sprintf(`{"serviceName":"plain","desiredCount":1,"taskDefinition":"web","loadBalancers":[%s]}`, entry(more)))))(t)
	if got, want := w.call("UpdateService", `{"service":"plain","deploymentConfiguration":{"strategy":"BLUE_GREEN","bakeTimeInMinutes":1}}`),
		bad+"advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy"; got != want {
		t.Errorf("update: got %q", got)
	}
}

func TestDefaultsOfStrategies(t *testing.T) {
	w := newShifting(t, `{"strategy":"LINEAR"}`)
	c := w.service("web").DeploymentConfiguration
	if *c.LinearConfiguration.StepPercent != 10 || *c.LinearConfiguration.StepBakeTimeInMinutes != 6 || *c.BakeTimeInMinutes != 0 || c.CanaryConfiguration != nil {
		t.Errorf("%+v", c)
	}
	w.update(`{"service":"web","deploymentConfiguration":{"strategy":"CANARY","canaryConfiguration":{"canaryPercent":0.1}}}`)
	c = w.service("web").DeploymentConfiguration
	if *c.CanaryConfiguration.CanaryPercent != 0.1 || *c.CanaryConfiguration.CanaryBakeTimeInMinutes != 10 || c.LinearConfiguration != nil {
		t.Errorf("%+v", c)
	}
	// Members that are not given stay.
	w.update(`{"service":"web","deploymentConfiguration":{"canaryConfiguration":{"canaryBakeTimeInMinutes":1},"lifecycleHooks":[{"targetType":"PAUSE","lifecycleStages":["PRE_SCALE_UP"]}]}}`)
	w.update(`{"service":"web","deploymentConfiguration":{"maximumPercent":150}}`)
	c = w.service("web").DeploymentConfiguration
	if *c.CanaryConfiguration.CanaryPercent != 0.1 || *c.CanaryConfiguration.CanaryBakeTimeInMinutes != 1 || len(c.LifecycleHooks) != 1 {
		t.Errorf("%+v", c)
	}
	w.update(`{"service":"web","deploymentConfiguration":{"lifecycleHooks":[]}}`)
	if c = w.service("web").DeploymentConfiguration; len(c.LifecycleHooks) != 0 {
		t.Errorf("%+v", c)
	}
}
