package ecs

import (
	"strings"
	"testing"
)

func TestRunTaskRefuses(t *testing.T) {
	webOverride := func(container string) string {
		return `{"taskDefinition":"web","overrides":{"containerOverrides":[` + container + `]}}`
	}
	vpc := `"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-1"]}}`
	runBad(t, []badRow{
		{"RunTask", `{}`, ip + "TaskDefinition can not be blank."},
		{"RunTask", `{"taskDefinition":""}`, ip + "TaskDefinition can not be blank."},
		{"RunTask", `{"taskDefinition":"none"}`, cl + "TaskDefinition not found."},
		{"RunTask", `{"taskDefinition":"web:2"}`, cl + "TaskDefinition not found."},
		{"RunTask", `{"taskDefinition":"web:x"}`, cl + "TaskDefinition not found."},
		{"RunTask", `{"taskDefinition":"arn:aws:ecs:eu-west-1:999999999999:task-definition/web:1"}`, cl + "TaskDefinition not found."},
		{"RunTask", `{"taskDefinition":"arn:aws:ecs:us-east-1:111122223333:task-definition/web:1"}`, cl + "TaskDefinition not found."},
		{"RunTask", `{"taskDefinition":"old:1"}`, cl + "TaskDefinition is inactive"},
		{"RunTask", `{"taskDefinition":"old"}`, cl + "TaskDefinition not found."},
		{"RunTask", `{"taskDefinition":"web","cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"RunTask", `{"taskDefinition":"web","cluster":"old"}`, "ClusterNotFoundException: The referenced cluster was inactive."},
		{"RunTask", `{"taskDefinition":"web","cluster":"a/b"}`, ip + "Invalid identifier: Unexpected number of separators"},
		{"RunTask", `{"taskDefinition":"web","cluster":"a b"}`, ip + "Identifier contains invalid characters."},
		{"RunTask", `{"taskDefinition":"web","cluster":"arn:aws:ecs:eu-west-1:999999999999:cluster/default"}`, "ClusterNotFoundException: Cluster not found."},
		{"RunTask", `{"taskDefinition":"web","cluster":"empty"}`, ip + "No Container Instances were found in your cluster."},
		{"RunTask", `{"taskDefinition":"web","count":0}`, ip + "count should be in range [1, 10]"},
		{"RunTask", `{"taskDefinition":"web","count":11}`, ip + "count should be in range [1, 10]"},
		{"RunTask", `{"taskDefinition":"web","count":-1}`, ip + "count should be in range [1, 10]"},
		{"RunTask", `{"taskDefinition":"web","clientToken":""}`, ip + "The client token must have 1 to 64 characters in the ASCII range 33-126."},
		{"RunTask", `{"taskDefinition":"web","clientToken":"a b"}`, ip + "The client token must have 1 to 64 characters in the ASCII range 33-126."},
		{"RunTask", `{"taskDefinition":"web","clientToken":"` + long(65) + `"}`, ip + "The client token must have 1 to 64 characters in the ASCII range 33-126."},
		{"RunTask", `{"taskDefinition":"web","launchType":"EC2","capacityProviderStrategy":[{"capacityProvider":"x"}]}`, ip + "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."},
		{"RunTask", `{"taskDefinition":"web","capacityProviderStrategy":[{"capacityProvider":"FARGATE"}]}`, cl + "capacityProviderStrategy (capacity providers)" + yet},
		{"RunTask", `{"taskDefinition":"web","launchType":"LAMBDA"}`, ip + "launch type should be one of [EC2,FARGATE,EXTERNAL]"},
		{"RunTask", `{"taskDefinition":"web","launchType":"MANAGED_INSTANCES"}`, ip + "launch type should be one of [EC2,FARGATE,EXTERNAL]"},
		{"RunTask", `{"taskDefinition":"web","launchType":"FARGATE"}`, ip + "Task definition does not support launch_type FARGATE."},
		{"RunTask", `{"taskDefinition":"vpc","launchType":"FARGATE",` + vpc + `}`, cl + "launchType FARGATE" + yet},
		{"RunTask", `{"taskDefinition":"vpc","launchType":"EXTERNAL"}`, ip + "Task definition does not support launch_type EXTERNAL."},
		{"RunTask", `{"taskDefinition":"web","launchType":"EXTERNAL"}`, ip + "No Container Instances were found in your cluster."},
		{"RunTask", `{"taskDefinition":"web","platformVersion":"1.4.0"}`, ip + "The platform version must be null when specifying an EC2 launch type."},
		{"RunTask", `{"taskDefinition":"vpc"}`, ip + "Network Configuration must be provided when networkMode 'awsvpc' is specified."},
		{"RunTask", `{"taskDefinition":"vpc","networkConfiguration":{"awsvpcConfiguration":{"subnets":[]}}}`, ip + "subnets can not be empty."},
		{"RunTask", `{"taskDefinition":"vpc",` + vpc + `}`, cl + "Running tasks with networkMode awsvpc" + yet},
		{"RunTask", `{"taskDefinition":"web",` + vpc + `}`, ip + "Network Configuration is not valid for the given networkMode of this task definition."},
		{"RunTask", `{"taskDefinition":"web","propagateTags":"SERVICE"}`, ip + "Invalid propagateTags 'SERVICE'. Valid values: [TASK_DEFINITION,NONE]"},
		{"RunTask", `{"taskDefinition":"web","enableExecuteCommand":true}`, ip + "The task couldn't be run because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again."},
		{"RunTask", `{"taskDefinition":"web","enableExecuteCommand":true,"overrides":{"taskRoleArn":"r"}}`, cl + "enableExecuteCommand (ECS Exec)" + yet},
		{"RunTask", `{"taskDefinition":"web","volumeConfigurations":[{"name":"v"}]}`, ip + "The task definition has no volume that is configured at launch, so volumeConfigurations can't be given."},
		{"RunTask", `{"taskDefinition":"web","referenceId":"r"}`, cl + "referenceId" + yet},
		{"RunTask", `{"taskDefinition":"web","group":"service:x"}`, ip + "Invalid namespace for group. The prefixes service: and ecs-svc are reserved."},
		{"RunTask", `{"taskDefinition":"web","group":"ecs-svc/1"}`, ip + "Invalid namespace for group. The prefixes service: and ecs-svc are reserved."},
		{"RunTask", `{"taskDefinition":"web","group":"` + long(256) + `"}`, ip + "Group can have at most 255 characters."},
		{"RunTask", `{"taskDefinition":"web","startedBy":"` + long(129) + `"}`, ip + "startedBy can have at most 128 characters."},
		{"RunTask", `{"taskDefinition":"web","startedBy":"a b"}`, ip + "startedBy contains invalid characters."},
		{"RunTask", `{"taskDefinition":"web","tags":[{"key":"aws:a","value":"b"}]}`, ip + "Tag keys starting with aws: are reserved for system use"},
		{"RunTask", `{"taskDefinition":"web","tags":[` + strings.Repeat(`{"key":"a"},`, 50) + `{"key":"a"}]}`, ip + "Number of tags exceeds limit 50"},
		{"RunTask", `{"taskDefinition":"web","placementStrategy":[` + strings.Repeat(`{"type":"random"},`, 5) + `{"type":"random"}]}`, ip + "Placement strategies can have at most 5 items."},
		{"RunTask", `{"taskDefinition":"web","placementStrategy":[{"type":"random","field":"cpu"}]}`, ip + "Invalid field for random strategy: cpu"},
		{"RunTask", `{"taskDefinition":"web","placementStrategy":[{"type":"binpack","field":"disk"}]}`, ip + "Invalid field for binpack strategy: disk"},
		{"RunTask", `{"taskDefinition":"web","placementStrategy":[{"type":"spread","field":"moon"}]}`, ip + "Invalid field for spread strategy: moon"},
		{"RunTask", `{"taskDefinition":"web","placementStrategy":[{"type":"best"}]}`, ip + "Invalid placement strategy type: best"},
		{"RunTask", `{"taskDefinition":"web","placementConstraints":[` + strings.Repeat(`{"type":"distinctInstance"},`, 10) + `{"type":"distinctInstance"}]}`, ip + "Placement constraints can have at most 10 items."},
		{"RunTask", webOverride(`{"name":"ghost"}`), ip + "Override for container named ghost is not a container in the TaskDefinition."},
		{"RunTask", webOverride(`{"command":["x"]}`), ip + "Container override name should not be null or empty."},
		{"RunTask", webOverride(`{"name":"app","command":["` + long(8192) + `"]}`), ip + "Container Overrides length must be at most 8192"},
		{"RunTask", webOverride(`{"name":"app","environmentFiles":[{"type":"s3","value":"x"}]}`), cl + "environmentFiles (override of container 'app')" + yet},
		{"RunTask", webOverride(`{"name":"app","resourceRequirements":[{"type":"InferenceAccelerator","value":"x"}]}`), cl + "resourceRequirements of type InferenceAccelerator (override of container 'app')" + yet},
		{"RunTask", webOverride(`{"name":"app","resourceRequirements":[{"type":"GPU","value":"0"}]}`), ip + "Invalid setting for container 'app'. The value '0' of resource requirement GPU must be a number from 1 to 1024."},
		{"RunTask", webOverride(`{"name":"app","environment":[{"value":"x"}]}`), ip + "Invalid setting for container 'app'. Environment variable names should not be null or empty."},
		{"RunTask", webOverride(`{"name":"app","memory":3}`), ip + "Invalid setting for container 'app'. 'memory' must be at least 6"},
		{"RunTask", `{"taskDefinition":"sized","overrides":{"containerOverrides":[{"name":"a","memory":1024}]}}`, ip + "The 'memory' setting for container 'a' is greater than for the task."},
		{"RunTask", `{"taskDefinition":"sized","overrides":{"containerOverrides":[{"name":"a","cpu":512}]}}`, ip + "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."},
		{"RunTask", `{"taskDefinition":"web","overrides":{"cpu":"lots"}}`, ip + "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."},
		{"RunTask", `{"taskDefinition":"web","overrides":{"memory":"lots"}}`, ip + "Invalid 'memory' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."},
		{"RunTask", `{"taskDefinition":"web","overrides":{"taskRoleArn":"not a role"}}`, cl + "Role is not valid"},
		{"RunTask", `{"taskDefinition":"web","overrides":{"ephemeralStorage":{"sizeInGiB":30}}}`, ip + "overrides.ephemeralStorage is supported only for launch type FARGATE."},
		{"RunTask", `{"taskDefinition":"web","overrides":{"inferenceAcceleratorOverrides":[{"deviceName":"d"}]}}`, cl + "overrides.inferenceAcceleratorOverrides" + yet},
	})
}

func TestOtherTaskOperationsRefuse(t *testing.T) {
	id := strings.Repeat("0", 32)
	runBad(t, []badRow{
		{"StartTask", `{"taskDefinition":"web"}`, ip + "Container Instances cannot be empty."},
		{"StartTask", `{"taskDefinition":"web","containerInstances":[]}`, ip + "Container Instances cannot be empty."},
		{"StartTask", `{"taskDefinition":"web","containerInstances":["` + strings.Repeat(`a","`, 10) + `a"]}`, ip + "Container Instances can have at most 10 items."},
		{"StartTask", `{"containerInstances":["` + id + `"]}`, ip + "TaskDefinition can not be blank."},
		{"StartTask", `{"taskDefinition":"none","containerInstances":["` + id + `"]}`, cl + "TaskDefinition not found."},
		{"StartTask", `{"taskDefinition":"web","containerInstances":["` + id + `"],"propagateTags":"SERVICE"}`, ip + "Invalid propagateTags 'SERVICE'. Valid values: [TASK_DEFINITION,NONE]"},
		{"StartTask", `{"taskDefinition":"web","containerInstances":["` + id + `"],"cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"StopTask", `{}`, ip + "Task can not be blank."},
		{"StopTask", `{"task":"` + id + `"}`, ip + "The referenced task was not found."},
		{"StopTask", `{"task":"nonsense"}`, ip + "The referenced task was not found."},
		{"StopTask", `{"task":"arn:aws:ecs:eu-west-1:111122223333:task/other/` + id + `"}`, ip + "The referenced task was not found."},
		{"StopTask", `{"task":"` + id + `","reason":"` + long(1025) + `"}`, ip + "Reason can have at most 1024 characters."},
		{"StopTask", `{"task":"` + id + `","cluster":"old"}`, "ClusterNotFoundException: The referenced cluster was inactive."},
		{"DescribeTasks", `{}`, ip + "Tasks cannot be empty."},
		{"DescribeTasks", `{"tasks":[]}`, ip + "Tasks cannot be empty."},
		{"DescribeTasks", `{"tasks":["` + strings.Repeat(`a","`, 100) + `a"]}`, ip + "Tasks cannot have more than 100 elements."},
		{"DescribeTasks", `{"tasks":["a"],"include":["SECRETS"]}`, ip + "Invalid include 'SECRETS'. Valid values: [TAGS]"},
		{"DescribeTasks", `{"tasks":["a"],"cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"ListTasks", `{"maxResults":0}`, ip + "maxResults should be in range [1, 100]"},
		{"ListTasks", `{"maxResults":101}`, ip + "maxResults should be in range [1, 100]"},
		{"ListTasks", `{"nextToken":"bogus"}`, ip + "Invalid token bogus"},
		{"ListTasks", `{"desiredStatus":"DEAD"}`, ip + "Invalid desiredStatus 'DEAD'. Valid values: [RUNNING,PENDING,STOPPED]"},
		{"ListTasks", `{"launchType":"LAMBDA"}`, ip + "launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]"},
		{"ListTasks", `{"startedBy":"me","family":"web"}`, ip + "Only one of startedBy or family may be specified"},
		{"ListTasks", `{"startedBy":"me","serviceName":"s"}`, ip + "Only one of startedBy or serviceName may be specified"},
		{"ListTasks", `{"serviceName":"s"}`, "ServiceNotFoundException: Service not found."},
		{"ListTasks", `{"containerInstance":"` + id + `"}`, ip + "Referenced container instance " + id + " not found."},
		{"ListTasks", `{"cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"ListTasks", `{"cluster":"old"}`, "ClusterNotFoundException: The referenced cluster was inactive."},
		{"SubmitTaskStateChange", `{}`, "UnsupportedFeatureException: The operation SubmitTaskStateChange of ECS is not supported by this Berth."},
		{"ExecuteCommand", `{}`, "UnsupportedFeatureException: The operation ExecuteCommand of ECS is not supported by this Berth."},
	})
}

func TestClusterOperationsRefuse(t *testing.T) {
	runBad(t, []badRow{
		{"CreateCluster", `{"clusterName":"a b"}`, ip + "Invalid cluster name: 1 to 255 letters, numbers, hyphens and underscores are allowed."},
		{"CreateCluster", `{"clusterName":"` + long(256) + `"}`, ip + "Invalid cluster name: 1 to 255 letters, numbers, hyphens and underscores are allowed."},
		{"CreateCluster", `{"settings":[{"name":"magic","value":"on"}]}`, ip + "Invalid cluster setting name 'magic'. Valid names: [containerInsights]"},
		{"CreateCluster", `{"settings":[{"name":"containerInsights","value":"on"}]}`, ip + "Invalid cluster setting value 'on' for setting 'containerInsights'. Valid values: [enabled, disabled, enhanced]"},
		{"CreateCluster", `{"settings":[{"name":"containerInsights","value":"enabled"},{"name":"containerInsights","value":"disabled"}]}`, ip + "Cluster setting 'containerInsights' is given more than once."},
		{"CreateCluster", `{"configuration":{"executeCommandConfiguration":{"logging":"ALL"}}}`, ip + "Invalid execute command logging 'ALL'. Valid values: [NONE, DEFAULT, OVERRIDE]"},
		{"CreateCluster", `{"configuration":{"executeCommandConfiguration":{"logging":"OVERRIDE"}}}`, ip + "Log configuration must be specified when logging is set to OVERRIDE"},
		{"CreateCluster", `{"configuration":{"executeCommandConfiguration":{"logConfiguration":{}}}}`, ip + "Log configuration must not be specified when logging is not set to OVERRIDE"},
		{"CreateCluster", `{"serviceConnectDefaults":{"namespace":"n"}}`, cl + "serviceConnectDefaults (Service Connect)" + yet},
		{"CreateCluster", `{"capacityProviders":["FARGATE"]}`, cl + "capacityProviders (capacity providers)" + yet},
		{"CreateCluster", `{"defaultCapacityProviderStrategy":[{"capacityProvider":"FARGATE"}]}`, cl + "defaultCapacityProviderStrategy (capacity providers)" + yet},
		{"CreateCluster", `{"tags":[{"key":"aws:x"}]}`, ip + "Tag keys starting with aws: are reserved for system use"},
		{"DescribeClusters", `{"clusters":["` + strings.Repeat(`a","`, 100) + `a"]}`, ip + "Clusters cannot have more than 100 elements."},
		{"DescribeClusters", `{"include":["EVERYTHING"]}`, ip + "Invalid include 'EVERYTHING'. Valid values: [ATTACHMENTS CONFIGURATIONS SETTINGS STATISTICS TAGS]"},
		{"DescribeClusters", `{"clusters":["a/b"]}`, ip + "Invalid identifier: Unexpected number of separators"},
		{"ListClusters", `{"maxResults":101}`, ip + "maxResults should be in range [1, 100]"},
		{"ListClusters", `{"nextToken":"x"}`, ip + "Invalid token x"},
		{"UpdateCluster", `{}`, ip + "Cluster can not be blank."},
		{"UpdateCluster", `{"cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"UpdateCluster", `{"cluster":"old"}`, "ClusterNotFoundException: The referenced cluster was inactive."},
		{"UpdateCluster", `{"cluster":"default","serviceConnectDefaults":{"namespace":"n"}}`, cl + "serviceConnectDefaults (Service Connect)" + yet},
		{"UpdateClusterSettings", `{"settings":[]}`, ip + "Cluster can not be blank."},
		{"UpdateClusterSettings", `{"cluster":"default"}`, ip + "Settings can not be empty"},
		{"UpdateClusterSettings", `{"cluster":"default","settings":[{"name":"containerInsights"}]}`, ip + "Invalid cluster setting value '' for setting 'containerInsights'. Valid values: [enabled, disabled, enhanced]"},
		{"PutClusterCapacityProviders", `{}`, ip + "Cluster can not be blank."},
		{"PutClusterCapacityProviders", `{"cluster":"default","defaultCapacityProviderStrategy":[]}`, ip + "Capacity providers can not be null."},
		{"PutClusterCapacityProviders", `{"cluster":"default","capacityProviders":[]}`, ip + "Default capacity provider strategy can not be null."},
		{"PutClusterCapacityProviders", `{"cluster":"default","capacityProviders":["x"],"defaultCapacityProviderStrategy":[]}`, cl + "capacityProviders (capacity providers)" + yet},
		{"DeleteCluster", `{}`, ip + "Cluster can not be blank."},
		{"DeleteCluster", `{"cluster":"none"}`, "ClusterNotFoundException: Cluster not found."},
		{"DeleteCluster", `{"cluster":"default"}`, "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while Container Instances are active or draining."},
	})
}

func TestTaskDefinitionOperationsRefuse(t *testing.T) {
	undescribed := cl + "Unable to describe task definition."
	runBad(t, []badRow{
		{"DescribeTaskDefinition", `{}`, cl + "TaskDefinition can not be blank."},
		{"DescribeTaskDefinition", `{"taskDefinition":"none"}`, undescribed},
		{"DescribeTaskDefinition", `{"taskDefinition":"web:9"}`, undescribed},
		{"DescribeTaskDefinition", `{"taskDefinition":"web:1x"}`, undescribed},
		{"DescribeTaskDefinition", `{"taskDefinition":"web:0"}`, undescribed},
		{"DescribeTaskDefinition", `{"taskDefinition":"old"}`, undescribed},
		{"DescribeTaskDefinition", `{"taskDefinition":"arn:aws:ecs:eu-west-1:111122223333:cluster/web"}`, undescribed},
		{"DescribeTaskDefinition", `{"taskDefinition":"web","include":["X"]}`, ip + "Invalid include 'X'. Valid values: [TAGS]"},
		{"DeregisterTaskDefinition", `{}`, cl + "TaskDefinition can not be blank."},
		{"DeregisterTaskDefinition", `{"taskDefinition":"web"}`, cl + "Revision is missing."},
		{"DeregisterTaskDefinition", `{"taskDefinition":"web:one"}`, ip + "Invalid revision number. Number: one"},
		{"DeregisterTaskDefinition", `{"taskDefinition":"web:9"}`, undescribed},
		{"DeleteTaskDefinitions", `{}`, ip + "size of TaskDefinition references list must be greater than 0"},
		{"DeleteTaskDefinitions", `{"taskDefinitions":["` + strings.Repeat(`a","`, 10) + `a"]}`, ip + "Size of TaskDefinition references list cannot exceed 10"},
		{"ListTaskDefinitions", `{"status":"GONE"}`, ip + "Invalid status 'GONE'. Valid values: [ACTIVE,INACTIVE,DELETE_IN_PROGRESS]"},
		{"ListTaskDefinitions", `{"sort":"UP"}`, ip + "Invalid sort 'UP'. Valid values: [ASC,DESC]"},
		{"ListTaskDefinitions", `{"maxResults":1000}`, ip + "maxResults should be in range [1, 100]"},
		{"ListTaskDefinitions", `{"nextToken":"!"}`, ip + "Invalid token !"},
		{"ListTaskDefinitionFamilies", `{"status":"GONE"}`, ip + "Invalid status 'GONE'. Valid values: [ACTIVE,INACTIVE,ALL]"},
		{"ListTaskDefinitionFamilies", `{"maxResults":0}`, ip + "maxResults should be in range [1, 100]"},
	})
}

func TestSettingsAndTagsRefuse(t *testing.T) {
	names := " should be one of [serviceLongArnFormat,taskLongArnFormat,containerInstanceLongArnFormat,awsvpcTrunking,containerInsights,dualStackIPv6," +
		"fargateFIPSMode,tagResourceAuthorization,fargateTaskRetirementWaitPeriod,fargateEventWindows,guardDutyActivate,defaultLogDriverMode]"
	arn := "arn:aws:ecs:eu-west-1:111122223333:"
	id := strings.Repeat("0", 32)
	tag := func(resource string) string {
		return `{"resourceArn":"` + resource + `","tags":[{"key":"k","value":"v"}]}`
	}
	runBad(t, []badRow{
		{"PutAccountSetting", `{"name":"x","value":"y"}`, ip + "x" + names},
		{"PutAccountSetting", `{"name":"containerInsights"}`, ip + "Invalid value '' for containerInsights. Valid values: [disabled,enabled,enhanced]"},
		{"PutAccountSetting", `{"name":"taskLongArnFormat","value":"disabled"}`, ip + "Invalid value 'disabled' for taskLongArnFormat. Valid values: [enabled]"},
		{"PutAccountSetting", `{"name":"guardDutyActivate","value":"on"}`, ip + "guardDutyActivate is managed by AWS and can't be changed."},
		{"PutAccountSetting", `{"name":"containerInsights","value":"enabled","principalArn":"me"}`, ip + "Invalid principalArn 'me'."},
		{"PutAccountSettingDefault", `{"name":"fargateTaskRetirementWaitPeriod","value":"8"}`, ip + "Invalid value '8' for fargateTaskRetirementWaitPeriod. Valid values: [7,0,14]"},
		{"DeleteAccountSetting", `{"name":"x"}`, ip + "x" + names},
		{"ListAccountSettings", `{"name":"x"}`, ip + "x" + names},
		{"ListAccountSettings", `{"value":"x"}`, ip + "The value filter needs a setting name."},
		{"ListAccountSettings", `{"maxResults":11}`, ip + "maxResults should be in range [1, 10]"},
		{"TagResource", `{}`, ip + "Tags can not be empty."},
		{"TagResource", `{"tags":[{"key":"k"}]}`, ip + "Resource ARN can not be blank."},
		{"TagResource", tag("nonsense"), ip + "The ARN provided is invalid."},
		{"TagResource", tag("arn:aws:ecs:eu-west-1:999999999999:cluster/default"), ip + "The ARN provided is invalid."},
		{"TagResource", tag("arn:aws:s3:eu-west-1:111122223333:cluster/default"), ip + "The ARN provided is invalid."},
		{"TagResource", tag(arn + "cluster"), ip + "The ARN provided is invalid."},
		{"TagResource", tag(arn + "task-definition/web"), ip + "The ARN provided is invalid."},
		{"TagResource", tag(arn + "cluster/none"), "ClusterNotFoundException: Cluster not found."},
		{"TagResource", tag(arn + "cluster/old"), ip + "The specified cluster is inactive. Specify an active cluster and try again."},
		{"TagResource", tag(arn + "task/" + id), ip + "Long arn format must be used for tagging operations"},
		{"TagResource", tag(arn + "container-instance/" + id), ip + "Long arn format must be used for tagging operations"},
		{"TagResource", tag(arn + "service/web"), ip + "Long arn format must be used for tagging operations"},
		{"TagResource", tag(arn + "service/default/web"), "ResourceNotFoundException: The specified resource was not found."},
		{"TagResource", tag(arn + "task/default/" + id), "ResourceNotFoundException: The specified resource was not found."},
		{"TagResource", tag(arn + "container-instance/default/" + id), "ResourceNotFoundException: The specified resource was not found."},
		{"TagResource", tag(arn + "task-definition/web:9"), "ResourceNotFoundException: The specified resource was not found."},
		{"TagResource", `{"resourceArn":"` + arn + `cluster/default","tags":[{"key":"aws:k"}]}`, ip + "Tag keys starting with aws: are reserved for system use"},
		{"UntagResource", `{"resourceArn":"` + arn + `cluster/default"}`, ip + "Tag keys can not be empty."},
		{"UntagResource", `{"resourceArn":"` + arn + `cluster/default","tagKeys":["aws:k"]}`, ip + "Tag keys starting with aws: are reserved for system use"},
		{"ListTagsForResource", `{}`, ip + "Resource ARN can not be blank."},
		{"ListTagsForResource", `{"resourceArn":"` + arn + `task/default/` + id + `"}`, ip + "The specified resource was not found."},
	})
}
