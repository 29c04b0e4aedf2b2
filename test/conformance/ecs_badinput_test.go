package conformance

import (
	"strings"
	"testing"
)

const (
	client    = "ClientException: "
	invalid   = "InvalidParameterException: "
	noCluster = "ClusterNotFoundException: Cluster not found."
	noID      = "00000000000000000000000000000000"
	notYet    = " is not supported by this Berth yet."
	setting   = client + "Invalid setting for container 'a'. "
)

// define is a RegisterTaskDefinition with one container, and members added to the container or to the definition.
func define(container, definition string) string {
	return `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64` + comma(container) + `}]` + comma(definition) + `}`
}

func comma(members string) string {
	if members == "" {
		return ""
	}
	return "," + members
}

func repeat(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }

func TestECSRefusesBadRequests(t *testing.T) {
	const s = "SerializationException: "
	newWorld(t).refuses("ecs", []bad{
		{"RunTask", `{"count":"2"}`, s + "STRING_VALUE can not be converted to an Integer at 'count'"},
		{"RunTask", `{"taskDefinition":2}`, s + "NUMBER_VALUE can not be converted to a String at 'taskDefinition'"},
		{"RunTask", `{"overrides":[]}`, s + "Start of list can not be converted to a Structure at 'overrides'"},
		{"RunTask", `{"tags":{}}`, s + "Start of structure or map can not be converted to a List at 'tags'"},
		{"RunTask", `{"enableECSManagedTags":"true"}`, s + "STRING_VALUE can not be converted to a Boolean at 'enableECSManagedTags'"},
		{"ListClusters", ``, ""},
		{"ListClusters", `{`, s + "The body is not JSON: unexpected end of JSON input at byte 1"},
		{"TagResource", `{"resourceArn":"a","tags":[{"key":"a\u0000"}]}`, invalid + "1 validation error detected: Value 'a\x00' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)"},
	})
}

func TestECSRefusesBadClusters(t *testing.T) {
	w := ownAccount(t)
	const arn = "arn:aws:ecs:us-east-1:999999999999:cluster/c"
	w.refuses("ecs", []bad{
		{"CreateCluster", `{"clusterName":"a b"}`, invalid + "Invalid cluster name: 1 to 255 letters, numbers, hyphens and underscores are allowed."},
		{"CreateCluster", `{"settings":[{"name":"containerInsights","value":"loud"}]}`, invalid + "Invalid cluster setting value 'loud' for setting 'containerInsights'. Valid values: [enabled, disabled, enhanced]"},
		{"CreateCluster", `{"configuration":{"executeCommandConfiguration":{"logging":"OVERRIDE"}}}`, invalid + "Log configuration must be specified when logging is set to OVERRIDE"},
		{"CreateCluster", `{"capacityProviders":["FARGATE"]}`, client + "capacityProviders (capacity providers)" + notYet},
		{"CreateCluster", `{"tags":[{"key":"AWS:x"}]}`, invalid + "Tag keys starting with aws: are reserved for system use"},
		{"CreateCluster", `{"tags":[` + repeat(`{"key":"k"}`, 51) + `]}`, invalid + "Number of tags exceeds limit 50"},
		{"UpdateCluster", `{}`, invalid + "Cluster can not be blank."},
		{"UpdateCluster", `{"cluster":"none"}`, noCluster},
		{"UpdateCluster", `{"cluster":"` + arn + `"}`, noCluster},
		{"UpdateClusterSettings", `{"cluster":"none","settings":[]}`, invalid + "Settings can not be empty"},
		{"DeleteCluster", `{"cluster":"none"}`, noCluster},
		{"DeleteCluster", `{"cluster":"a/b"}`, invalid + "Invalid identifier: Unexpected number of separators"},
		{"ListClusters", `{"maxResults":0}`, invalid + "maxResults should be in range [1, 100]"},
		{"ListClusters", `{"nextToken":"bogus"}`, invalid + "Invalid token bogus"},
		{"DescribeClusters", `{"clusters":[` + repeat(`"a"`, 101) + `]}`, invalid + "Clusters cannot have more than 100 elements."},
		{"PutClusterCapacityProviders", `{"cluster":"none"}`, invalid + "Capacity providers can not be null."},
		{"RunTask", `{"taskDefinition":"a"}`, noCluster},
		{"ListTasks", `{}`, noCluster},
		{"ListTasks", `{"cluster":""}`, noCluster},
		{"DescribeTasks", `{"tasks":["a"]}`, noCluster},
		{"StopTask", `{"task":"` + noID + `"}`, noCluster},
		{"ListContainerInstances", `{}`, noCluster},
		{"ListAttributes", `{"targetType":"container-instance"}`, noCluster},
	})
}

func TestECSRefusesBadDefinitions(t *testing.T) {
	const size = "' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
	w := newWorld(t)
	rows := []bad{
		{"", `{}`, client + "Family should not be null or empty."},
		{"", `{"family":"a b"}`, client + "Family contains invalid characters."},
		{"", `{"family":"f"}`, client + "Container list cannot be empty."},
		{"", `{"family":"f","containerDefinitions":[{"image":"i"}]}`, client + "Container.name should not be null or empty."},
		{"", `{"family":"f","containerDefinitions":[{"name":"a"}]}`, client + "Container.image should not be null or empty."},
		{"", `{"family":"f","containerDefinitions":[{"name":"a","image":"a b"}]}`, client + "Container.image contains invalid characters."},
		{"", `{"family":"f","containerDefinitions":[` + repeat(`{"name":"a","image":"i","memory":9}`, 2) + `]}`, client + "Container names must be unique within a Task Definition."},
		{"", `{"family":"f","containerDefinitions":[` + repeat(`{}`, 11) + `]}`, client + "Too many containers."},
		{"", `{"family":"f","containerDefinitions":[{"name":"a","image":"i"}]}`, setting + "At least one of 'memory' or 'memoryReservation' must be specified."},
		{"", define(`"memoryReservation":65`, ""), setting + "The 'memory' value must be greater than or equal to the 'memoryReservation' value."},
		{"", define(`"essential":false`, ""), client + "Task definition doesn't have any essential container."},
		{"", define("", `"cpu":"lots"`), client + "Invalid 'cpu" + size},
		{"", define("", `"memory":"1 TB"`), client + "Invalid 'memory" + size},
		{"", define("", `"memory":"32"`), client + "The 'memory' setting for container 'a' is greater than for the task."},
		{"", define(`"mountPoints":[{"sourceVolume":"v","containerPath":"/v"}]`, ""), client + "Unknown volume 'v'."},
		{"", define(`"links":["b"]`, `"networkMode":"host"`), client + "Links are not supported when networkMode=host."},
		{"", define(`"portMappings":[{"containerPort":80,"hostPort":81}]`, `"networkMode":"awsvpc"`), client + "When networkMode=awsvpc, the host ports and container ports in port mappings must match."},
		{"", define(`"portMappings":[{"containerPort":80,"hostPort":81}]`, `"networkMode":"host"`), client + "When networkMode=host, the host ports and container ports in port mappings must match."},
		{"", define(`"portMappings":[{"containerPort":80}]`, `"networkMode":"none"`), client + "Port mappings are not allowed with networkMode=none."},
		{"", define(`"dnsServers":["1.1.1.1"]`, `"networkMode":"awsvpc"`), client + "DNS servers are not supported on container when networkMode=awsvpc."},
		{"", define(`"portMappings":[{"containerPort":80,"hostPort":80},{"containerPort":81,"hostPort":80}]`, ""), client + "TCP host port '80' is mapped multiple times in task."},
		{"", define(`"portMappings":[{}]`, ""), client + "Invalid 'containerPort' setting for container 'a'."},
		{"", define(`"portMappings":[{"containerPort":80,"hostPort":-1}]`, ""), client + "Invalid 'hostPort' setting for container 'a'."},
		{"", define(`"logConfiguration":{"logDriver":"awslogs"}`, ""), client + "Log driver awslogs requires options: awslogs-region, awslogs-group"},
		{"", define(`"healthCheck":{"command":["curl"]}`, ""), setting + "The health check command must start with CMD, CMD-SHELL or NONE."},
		{"", define("", `"requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512"`), client + "Fargate only supports network mode ‘awsvpc’."},
		{"", define("", `"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc"`), client + "Fargate requires that 'cpu' be defined at the task level."},
		{"", define("", `"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256"`), client + "Fargate requires that 'memory' be defined at the task level."},
		{"", define("", `"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"4096"`), client + "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation for the valid values."},
		{"", define(`"secrets":[{"name":"S","valueFrom":"x"}]`, ""), client + "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."},
		{"", define(`"secrets":[{"name":"S","valueFrom":"x"}]`, `"executionRoleArn":"r"`), client + "secrets (container 'a')" + notYet},
		{"", define("", `"taskRoleArn":"a role"`), client + "Role is not valid"},
		{"", define("", `"tags":[]`), client + "Tags can not be empty."},
		{"", define("", `"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1"}}]`), client + "efsVolumeConfiguration (volume 'v')" + notYet},
		{"", define("", `"ephemeralStorage":{"sizeInGiB":201}`), client + "Ephemeral storage size must be between 21 and 200 GiB."},
	}
	for i := range rows {
		rows[i].operation = "RegisterTaskDefinition"
	}
	w.refuses("ecs", append(rows, []bad{
		{"DescribeTaskDefinition", `{"taskDefinition":"none"}`, client + "Unable to describe task definition."},
		{"DeregisterTaskDefinition", `{"taskDefinition":"none"}`, client + "Revision is missing."},
		{"DeregisterTaskDefinition", `{"taskDefinition":"none:x"}`, invalid + "Invalid revision number. Number: x"},
		{"DeregisterTaskDefinition", `{"taskDefinition":"none:1"}`, client + "Unable to describe task definition."},
		{"DeleteTaskDefinitions", `{"taskDefinitions":[]}`, invalid + "size of TaskDefinition references list must be greater than 0"},
		{"DeleteTaskDefinitions", `{"taskDefinitions":[` + repeat(`"a:1"`, 11) + `]}`, invalid + "Size of TaskDefinition references list cannot exceed 10"},
		{"ListTaskDefinitions", `{"maxResults":101}`, invalid + "maxResults should be in range [1, 100]"},
		{"ListTaskDefinitionFamilies", `{"nextToken":"x"}`, invalid + "Invalid token x"},
	}...))
}

func TestECSRefusesBadTasks(t *testing.T) {
	w := newTasks(t)
	vpc := name("vpc")
	if status, _, answer := w.post("ecs", "RegisterTaskDefinition", `{"family":"`+vpc+`","networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i"}]}`); status != 200 {
		t.Fatalf("%s", answer)
	}
	run := func(more string) string {
		return `{"cluster":"` + w.cluster + `","taskDefinition":"` + w.family + `"` + comma(more) + `}`
	}
	in := func(more string) string { return `{"cluster":"` + w.cluster + `"` + comma(more) + `}` }
	w.refuses("ecs", []bad{
		{"RunTask", in(""), invalid + "TaskDefinition can not be blank."},
		{"RunTask", in(`"taskDefinition":"none"`), client + "TaskDefinition not found."},
		{"RunTask", run(`"count":11`), invalid + "count should be in range [1, 10]"},
		{"RunTask", run(`"count":0`), invalid + "count should be in range [1, 10]"},
		{"RunTask", run(`"launchType":"MOON"`), invalid + "launch type should be one of [EC2,FARGATE,EXTERNAL]"},
		{"RunTask", run(`"launchType":"FARGATE"`), invalid + "Task definition does not support launch_type FARGATE."},
		{"RunTask", run(`"launchType":"EC2","capacityProviderStrategy":[{"capacityProvider":"p"}]`), invalid + "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."},
		{"RunTask", run(`"platformVersion":"LATEST"`), invalid + "The platform version must be null when specifying an EC2 launch type."},
		{"RunTask", run(`"propagateTags":"SERVICE"`), invalid + "Invalid propagateTags 'SERVICE'. Valid values: [TASK_DEFINITION,NONE]"},
		{"RunTask", run(`"overrides":{"containerOverrides":[{"name":"ghost"}]}`), invalid + "Override for container named ghost is not a container in the TaskDefinition."},
		{"RunTask", run(`"overrides":{"containerOverrides":[{"name":"app","command":["` + long(8192) + `"]}]}`), invalid + "Container Overrides length must be at most 8192"},
		{"RunTask", run(`"networkConfiguration":{"awsvpcConfiguration":{"subnets":["s"]}}`), invalid + "Network Configuration is not valid for the given networkMode of this task definition."},
		{"RunTask", in(`"taskDefinition":"` + vpc + `"`), invalid + "Network Configuration must be provided when networkMode 'awsvpc' is specified."},
		{"RunTask", in(`"taskDefinition":"` + vpc + `","networkConfiguration":{"awsvpcConfiguration":{"subnets":[]}}`), invalid + "subnets can not be empty."},
		{"RunTask", in(`"taskDefinition":"` + vpc + `","networkConfiguration":{"awsvpcConfiguration":{"subnets":["s"]}}`), client + "Running tasks with networkMode awsvpc" + notYet},
		{"RunTask", run(`"enableExecuteCommand":true`), invalid + "The task couldn't be run because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again."},
		{"RunTask", run(`"group":"service:x"`), invalid + "Invalid namespace for group. The prefixes service: and ecs-svc are reserved."},
		{"RunTask", run(`"startedBy":"a b"`), invalid + "startedBy contains invalid characters."},
		{"RunTask", run(`"clientToken":"a b"`), invalid + "The client token must have 1 to 64 characters in the ASCII range 33-126."},
		{"RunTask", run(`"placementStrategy":[{"type":"random","field":"cpu"}]`), invalid + "Invalid field for random strategy: cpu"},
		{"RunTask", run(`"placementConstraints":[{"type":"distinctInstance","expression":"a"}]`), invalid + "Expression is not allowed for distinctInstance placement constraint."},
		{"RunTask", run(`"placementConstraints":[` + repeat(`{"type":"distinctInstance"}`, 11) + `]`), invalid + "Placement constraints can have at most 10 items."},
		{"StartTask", run(""), invalid + "Container Instances cannot be empty."},
		{"StartTask", run(`"containerInstances":[` + repeat(`"a"`, 11) + `]`), invalid + "Container Instances can have at most 10 items."},
		{"StopTask", in(`"task":"` + noID + `"`), invalid + "The referenced task was not found."},
		{"StopTask", in(""), invalid + "Task can not be blank."},
		{"DescribeTasks", in(""), invalid + "Tasks cannot be empty."},
		{"DescribeTasks", in(`"tasks":[` + repeat(`"a"`, 101) + `]`), invalid + "Tasks cannot have more than 100 elements."},
		{"ListTasks", in(`"containerInstance":"` + noID + `"`), invalid + "Referenced container instance " + noID + " not found."},
		{"ListTasks", in(`"serviceName":"s"`), "ServiceNotFoundException: Service not found."},
		{"ListTasks", in(`"startedBy":"a","launchType":"EC2"`), invalid + "Only one of startedBy or launchType may be specified"},
		{"ListTasks", in(`"nextToken":"x"`), invalid + "Invalid token x"},
	})
}

func TestECSRefusesBadContainerInstances(t *testing.T) {
	w := newTasks(t)
	in := func(more string) string { return `{"cluster":"` + w.cluster + `"` + comma(more) + `}` }
	ci := func(more string) string { return in(`"containerInstances":["` + w.machine + `"]` + comma(more)) }
	attribute := func(a string) string { return in(`"attributes":[` + a + `]`) }
	to := `,"targetId":"` + w.machine + `"`
	const size = `"totalResources":[{"name":"CPU","type":"INTEGER","integerValue":1}]`
	w.refuses("ecs", []bad{
		{"RegisterContainerInstance", `{"cluster":"none",` + size + `}`, noCluster},
		{"RegisterContainerInstance", in(`"instanceIdentityDocument":"{}",` + size), client + "Instance identity document is not valid."},
		{"RegisterContainerInstance", in(`"containerInstanceArn":"` + noID + `",` + size), client + "Referenced container instance " + noID + " not found."},
		{"RegisterContainerInstance", in(`"containerInstanceArn":"` + w.arn("container-instance/other/"+noID) + `",` + size), invalid + "The container instance is registered in another cluster."},
		{"RegisterContainerInstance", in(`"totalResources":[{"name":"CPU","type":"INTEGER","integerValue":-1}]`), invalid + "Resource values can not be negative."},
		{"RegisterContainerInstance", in(`"totalResources":[{"name":"DISK","type":"STRINGSET"}]`), invalid + "Resource 'DISK' of type 'STRINGSET' is not supported."},
		{"RegisterContainerInstance", in(`"totalResources":[{"name":"PORTS","type":"STRINGSET","stringSetValue":["0"]}]`), invalid + "Invalid port '0'."},
		{"RegisterContainerInstance", in(`"attributes":[{"name":"a b"}]`), invalid + "Invalid attribute name 'a b': 1 to 128 letters, numbers, hyphens, underscores, periods and slashes are allowed."},
		{"DescribeContainerInstances", in(""), client + "Container Instances cannot be empty."},
		{"DescribeContainerInstances", in(`"containerInstances":[` + repeat(`"a"`, 101) + `]`), invalid + "instanceIds can have at most 100 items."},
		{"DescribeContainerInstances", ci(`"include":["EVERYTHING"]`), invalid + "Invalid include 'EVERYTHING'. Valid values: [TAGS CONTAINER_INSTANCE_HEALTH]"},
		{"UpdateContainerInstancesState", ci(`"status":"DEREGISTERING"`), invalid + "Container instance status should be one of [ACTIVE,DRAINING]"},
		{"UpdateContainerInstancesState", ci(""), invalid + "Container instance status should be one of [ACTIVE,DRAINING]"},
		{"UpdateContainerInstancesState", in(`"status":"ACTIVE"`), invalid + "Container Instances cannot be empty."},
		{"UpdateContainerInstancesState", in(`"status":"ACTIVE","containerInstances":[` + repeat(`"a"`, 11) + `]`), invalid + "instanceIds can have at most 10 items."},
		{"ListContainerInstances", in(`"maxResults":101`), invalid + "maxResults should be in range [1, 100]"},
		{"ListContainerInstances", in(`"status":"GONE"`), invalid + "Container instance status should be one of [ACTIVE DRAINING REGISTERING DEREGISTERING REGISTRATION_FAILED]"},
		{"ListContainerInstances", in(`"nextToken":"x"`), invalid + "Invalid token x"},
		{"DeregisterContainerInstance", in(""), invalid + "Container Instance can not be blank."},
		{"DeregisterContainerInstance", in(`"containerInstance":"` + noID + `"`), invalid + "Referenced container instance " + noID + " not found."},
		{"UpdateContainerAgent", in(""), invalid + "Container Instance can not be blank."},
		{"UpdateContainerAgent", in(`"containerInstance":"` + noID + `"`), invalid + "Referenced container instance " + noID + " not found."},
		{"PutAttributes", in(""), invalid + "attributes can not be empty"},
		{"PutAttributes", attribute(repeat(`{"name":"a"`+to+`}`, 11)), invalid + "attributes can have at most 10 items."},
		{"PutAttributes", attribute(`{"name":"a"}`), invalid + "TargetId can not be blank."},
		{"PutAttributes", attribute(`{"name":"a","targetId":"` + noID + `"}`), invalid + "Target type can not be blank when the target is not an ARN."},
		{"PutAttributes", attribute(`{"name":"a","targetId":"` + noID + `","targetType":"container-instance"}`), "TargetNotFoundException: Could not find " + noID},
		{"PutAttributes", attribute(`{"name":"ecs.os-type","value":"dos"` + to + `}`), invalid + "Attribute 'ecs.os-type' is reserved and can not be changed."},
		{"PutAttributes", attribute(`{"name":"a","value":" b"` + to + `}`), invalid + "Invalid value ' b' of attribute 'a'."},
		{"PutAttributes", attribute(`{"name":"a","targetType":"task"` + to + `}`), invalid + "Invalid target type 'task'. Valid values: [container-instance]"},
		{"DeleteAttributes", attribute(`{"name":"a","targetId":"` + w.arn("container-instance/"+w.cluster+"/"+noID) + `"}`), "TargetNotFoundException: Could not find " + w.arn("container-instance/"+w.cluster+"/"+noID)},
		{"DeleteAttributes", in(`"attributes":[]`), invalid + "attributes can not be empty"},
		{"ListAttributes", in(""), invalid + "Invalid target type ''. Valid values: [container-instance]"},
		{"ListAttributes", in(`"targetType":"container-instance","attributeValue":"x"`), invalid + "Attribute name can not be blank when an attribute value is given."},
		{"ListAttributes", in(`"targetType":"container-instance","maxResults":-1`), invalid + "maxResults should be in range [1, 100]"},
	})
	t.Run("query language", func(t *testing.T) {
		for _, filter := range []string{"attribute:", "nonsense == 1", "attribute:a ==", "attribute:a == 1 and", "(attribute:a == 1", "runningTasksCount == many", "attribute:a =~ (", "agentConnected > true", "attribute:a in []"} {
			got := w.refusal("ecs", "ListContainerInstances", in(`"filter":"`+filter+`"`))
			if !strings.HasPrefix(got, invalid+"Invalid expression") {
				t.Errorf("%q: %s", filter, got)
			}
			if run := w.refusal("ecs", "RunTask", in(`"taskDefinition":"`+w.family+`","placementConstraints":[{"type":"memberOf","expression":"`+filter+`"}]`)); run != got {
				t.Errorf("RunTask and ListContainerInstances word %q differently: %s", filter, run)
			}
		}
	})
}

func TestECSRefusesBadTagsAndSettings(t *testing.T) {
	w := newTasks(t)
	tag := func(arn string) string { return `{"resourceArn":"` + arn + `","tags":[{"key":"k"}]}` }
	task := *w.run(nil).Tasks[0].TaskArn
	w.refuses("ecs", []bad{
		{"TagResource", `{}`, invalid + "Tags can not be empty."},
		{"TagResource", tag("nonsense"), invalid + "The ARN provided is invalid."},
		{"TagResource", tag("arn:aws:ecs:us-east-1:999999999999:cluster/c"), invalid + "The ARN provided is invalid."},
		{"TagResource", tag("arn:aws:ecs:eu-west-1:" + w.account + ":cluster/c"), invalid + "The ARN provided is invalid."},
		{"TagResource", tag(w.arn("cluster/none")), noCluster},
		{"TagResource", tag(w.arn("task/" + noID)), invalid + "Long arn format must be used for tagging operations"},
		{"TagResource", tag(w.arn("task/" + w.cluster + "/" + noID)), "ResourceNotFoundException: The specified resource was not found."},
		{"TagResource", tag(w.arn("service/s")), invalid + "Long arn format must be used for tagging operations"},
		{"TagResource", `{"resourceArn":"` + task + `","tags":[{"key":"aws:k"}]}`, invalid + "Tag keys starting with aws: are reserved for system use"},
		{"UntagResource", `{"resourceArn":"` + task + `","tagKeys":[]}`, invalid + "Tag keys can not be empty."},
		{"ListTagsForResource", `{}`, invalid + "Resource ARN can not be blank."},
		{"ListTagsForResource", `{"resourceArn":"` + w.arn("task/"+w.cluster+"/"+noID) + `"}`, invalid + "The specified resource was not found."},
		{"PutAccountSetting", `{"name":"containerInsights","value":"maybe"}`, invalid + "Invalid value 'maybe' for containerInsights. Valid values: [disabled,enabled,enhanced]"},
		{"PutAccountSetting", `{"name":"taskLongArnFormat","value":"disabled"}`, invalid + "Invalid value 'disabled' for taskLongArnFormat. Valid values: [enabled]"},
		{"PutAccountSetting", `{"name":"containerInsights","value":"enabled","principalArn":"arn:aws:iam::999999999999:user/u"}`, invalid + "Invalid principalArn 'arn:aws:iam::999999999999:user/u'."},
		{"PutAccountSettingDefault", `{"name":"guardDutyActivate","value":"on"}`, invalid + "guardDutyActivate is managed by AWS and can't be changed."},
		{"ListAccountSettings", `{"value":"enabled"}`, invalid + "The value filter needs a setting name."},
		{"ListAccountSettings", `{"maxResults":11}`, invalid + "maxResults should be in range [1, 10]"},
		{"ListAccountSettings", `{"nextToken":"x"}`, invalid + "Invalid token x"},
	})
	t.Run("more than fifty tags", func(t *testing.T) {
		var list []string
		for i := range 51 {
			list = append(list, `{"key":"k`+string(rune('A'+i%26))+strings.Repeat("x", i/26)+`"}`)
		}
		got := w.refusal("ecs", "TagResource", `{"resourceArn":"`+task+`","tags":[`+strings.Join(list, ",")+`]}`)
		if got != invalid+"Number of tags exceeds limit 50" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a stopped task", func(t *testing.T) {
		w.refuses("ecs", []bad{{"StopTask", `{"cluster":"` + w.cluster + `","task":"` + task + `"}`, ""}})
		w.refuses("ecs", []bad{{"DeregisterContainerInstance", `{"cluster":"` + w.cluster + `","force":true,"containerInstance":"` + w.machine + `"}`, ""}})
		w.refuses("ecs", []bad{
			{"TagResource", tag(task), invalid + "The specified task is stopped. Specify a running task and try again."},
			{"TagResource", tag(w.machine), invalid + "The specified container instance is inactive. Specify an active container instance and try again."},
			{"StopTask", `{"cluster":"` + w.cluster + `","task":"` + task + `"}`, ""},
			{"PutAttributes", `{"cluster":"` + w.cluster + `","attributes":[{"name":"a","targetId":"` + w.machine + `"}]}`, "TargetNotFoundException: Could not find " + w.machine},
			{"DeregisterContainerInstance", `{"cluster":"` + w.cluster + `","containerInstance":"` + w.machine + `"}`, invalid + "Referenced container instance " + w.machine + " not found."},
		})
	})
}
