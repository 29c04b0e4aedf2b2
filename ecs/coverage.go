package ecs

// Support says what Berth does with an operation or a field.
type Support string

// Kinds of support.
const (
	ActedOn    Support = "acted on"
	StoredOnly Support = "stored only"
	Refused    Support = "refused"
)

// Coverage is the support of one operation or of one field. A field's path has a dot before each member and [] after
// a list; it speaks for everything below it that has no line of its own.
type Coverage struct {
	Name    string
	Support Support
	Note    string // why not, or what is special
}

// Reasons that stand in many lines.
const (
	laterDeploy    = "CodeDeploy: not built yet"
	laterProviders = "capacity providers: not built yet"
	laterDaemons   = "managed daemons: not built yet"
	laterExpress   = "Express services: not built yet"
	laterShift     = "traffic shifts with Service Connect: not built yet"
	laterSecrets   = "secrets: not built yet"
	laterFargate   = "Fargate: not built yet"
	laterAgent     = "for Amazon's agent; Berth's agent has its own protocol"
	laterVolumes   = "network volumes: not built yet"
	laterMesh      = "App Mesh has ended"
	laterLens      = "FireLens: not built yet"
	laterInsights  = "Container Insights and ECS Exec: not built yet"
	laterRoles     = "IAM is not built yet; the machine's attributes are checked"
)

// OperationCoverage has a line for every operation of the model, by name.
func OperationCoverage() []Coverage {
	var out []Coverage
	for _, group := range []struct {
		support Support
		note    string
		names   []string
	}{
		{ActedOn, "", []string{
			"DescribeClusters", "ListClusters", "DeleteCluster",
			"RegisterTaskDefinition", "DescribeTaskDefinition", "DeregisterTaskDefinition", "DeleteTaskDefinitions",
			"ListTaskDefinitions", "ListTaskDefinitionFamilies", "RunTask", "StartTask", "StopTask", "DescribeTasks", "ListTasks",
			"DescribeContainerInstances", "ListContainerInstances", "UpdateContainerInstancesState",
			"DeregisterContainerInstance", "PutAttributes", "ListAttributes", "DeleteAttributes",
			"TagResource", "UntagResource", "ListTagsForResource",
		}},
		{ActedOn, "settings and configuration are stored only", []string{"CreateCluster", "UpdateCluster"}},
		{StoredOnly, laterInsights, []string{"UpdateClusterSettings"}},
		{ActedOn, "the record only: Berth's agent registers its machine itself, and no other agent can connect", []string{"RegisterContainerInstance"}},
		{ActedOn, "always NoUpdateAvailableException: agents are updated with Berth", []string{"UpdateContainerAgent"}},
		{StoredOnly, "containerInsights is the default of new clusters; nothing else looks at a setting", []string{
			"PutAccountSetting", "PutAccountSettingDefault", "DeleteAccountSetting", "ListAccountSettings",
		}},
		{ActedOn, "empty lists only; " + laterProviders, []string{"PutClusterCapacityProviders"}},
		{Refused, laterProviders, []string{
			"CreateCapacityProvider", "DescribeCapacityProviders", "UpdateCapacityProvider", "DeleteCapacityProvider",
		}},
		{ActedOn, "", []string{"CreateService", "UpdateService"}},
		{ActedOn, "", []string{
			"DescribeServices", "ListServices", "DeleteService", "DescribeServiceDeployments", "ListServiceDeployments", "DescribeServiceRevisions",
			"ContinueServiceDeployment", "GetTaskProtection", "UpdateTaskProtection",
		}},
		{ActedOn, "stopType ROLLBACK", []string{"StopServiceDeployment"}},
		{ActedOn, "", []string{"ListServicesByNamespace"}},
		{ActedOn, "launch types EC2 and EXTERNAL", []string{"CreateTaskSet"}},
		{ActedOn, "", []string{"DescribeTaskSets", "UpdateTaskSet", "DeleteTaskSet", "UpdateServicePrimaryTaskSet"}},
		{Refused, laterDaemons, []string{
			"RegisterDaemonTaskDefinition", "DescribeDaemonTaskDefinition", "ListDaemonTaskDefinitions", "DeleteDaemonTaskDefinition",
			"CreateDaemon", "DescribeDaemon", "ListDaemons", "UpdateDaemon", "DeleteDaemon", "DescribeDaemonDeployments",
			"ListDaemonDeployments", "DescribeDaemonRevisions",
		}},
		{Refused, laterExpress, []string{
			"CreateExpressGatewayService", "DescribeExpressGatewayService", "UpdateExpressGatewayService", "DeleteExpressGatewayService",
		}},
		{Refused, "ECS Exec: not built yet", []string{"ExecuteCommand"}},
		{Refused, laterAgent, []string{
			"DiscoverPollEndpoint", "SubmitTaskStateChange", "SubmitContainerStateChange", "SubmitAttachmentStateChanges",
		}},
	} {
		for _, name := range group.names {
			out = append(out, Coverage{name, group.support, group.note})
		}
	}
	return out
}

// RegisterTaskDefinitionCoverage has the fields of RegisterTaskDefinition.
func RegisterTaskDefinitionCoverage() []Coverage {
	return append([]Coverage{
		{"family", ActedOn, ""},
		{"taskRoleArn", StoredOnly, laterRoles},
		{"executionRoleArn", StoredOnly, laterRoles},
		{"networkMode", ActedOn, "awsvpc can be registered, not run: VPC is not built yet"},
		{"volumes[].name", ActedOn, ""},
		{"volumes[].host", ActedOn, ""},
		{"volumes[].dockerVolumeConfiguration.scope", ActedOn, ""},
		{"volumes[].dockerVolumeConfiguration.autoprovision", ActedOn, ""},
		{"volumes[].dockerVolumeConfiguration.driver", ActedOn, "local; others are refused"},
		{"volumes[].dockerVolumeConfiguration.driverOpts", Refused, "the driver local has none in Berth"},
		{"volumes[].dockerVolumeConfiguration.labels", StoredOnly, "there is no Docker to show them"},
		{"volumes[].efsVolumeConfiguration", Refused, laterVolumes},
		{"volumes[].s3filesVolumeConfiguration", Refused, laterVolumes},
		{"volumes[].fsxWindowsFileServerVolumeConfiguration", Refused, "Windows only"},
		{"volumes[].configuredAtLaunch", Refused, laterVolumes},
		{"placementConstraints", ActedOn, ""},
		{"requiresCompatibilities", ActedOn, "checked; of these only EC2 runs"},
		{"cpu", ActedOn, ""},
		{"memory", ActedOn, ""},
		{"tags", ActedOn, ""},
		{"pidMode", ActedOn, ""},
		{"ipcMode", ActedOn, ""},
		{"proxyConfiguration", Refused, laterMesh},
		{"inferenceAccelerators", StoredOnly, "retired by AWS; such definitions can't be run"},
		{"ephemeralStorage", StoredOnly, laterFargate},
		{"runtimePlatform", ActedOn, "places tasks on machines of the architecture and system"},
		{"enableFaultInjection", Refused, "true is refused; fault endpoints: not built yet"},
	}, containerCoverage()...)
}

// containerCoverage has the fields of a container definition.
func containerCoverage() []Coverage {
	out := []Coverage{
		{"portMappings[].name", ActedOn, "by Service Connect"},
		{"portMappings[].appProtocol", ActedOn, "by Service Connect"},
		{"versionConsistency", ActedOn, "images of Berth's registry have their digest when a deployment starts, others from its first task"},
		{"dockerLabels", StoredOnly, "there is no Docker to show them"},
		{"repositoryCredentials", Refused, laterSecrets},
		{"secrets", Refused, laterSecrets},
		{"logConfiguration.logDriver", ActedOn, "awslogs, json-file and none; others are refused"},
		{"logConfiguration.options", ActedOn, "options without effect are refused; mode makes no difference to json-file"},
		{"logConfiguration.secretOptions", Refused, laterSecrets},
		{"environmentFiles", Refused, "object storage: not built yet"},
		{"firelensConfiguration", Refused, laterLens},
		{"credentialSpecs", Refused, "gMSA needs a domain"},
		{"dockerSecurityOptions", ActedOn, "credentialspec is refused"},
		{"resourceRequirements", ActedOn, "GPU, reserved by device; Berth's agent does not report GPUs yet, so no machine has room. InferenceAccelerator is refused"},
		{"linuxParameters.sharedMemorySize", ActedOn, "for a /dev/shm of the container's own: not with ipcMode task or host"},
		{"linuxParameters.maxSwap", ActedOn, "a machine without swap gives none"},
		{"linuxParameters.swappiness", ActedOn, "cgroup v1; v2 has no such control, as on ECS"},
	}
	for _, name := range []string{
		"name", "image", "cpu", "memory", "memoryReservation", "links", "portMappings[].containerPort", "portMappings[].hostPort",
		"portMappings[].protocol", "portMappings[].containerPortRange", "essential", "restartPolicy", "entryPoint", "command", "environment",
		"mountPoints", "volumesFrom", "linuxParameters.capabilities", "linuxParameters.devices", "linuxParameters.initProcessEnabled",
		"linuxParameters.tmpfs", "dependsOn", "startTimeout", "stopTimeout", "hostname", "user", "workingDirectory", "disableNetworking",
		"privileged", "readonlyRootFilesystem", "dnsServers", "dnsSearchDomains", "extraHosts", "interactive", "pseudoTerminal", "ulimits",
		"healthCheck", "systemControls",
	} {
		out = append(out, Coverage{Name: name, Support: ActedOn})
	}
	for i := range out {
		out[i].Name = "containerDefinitions[]." + out[i].Name
	}
	return out
}

// RunTaskCoverage has the fields of RunTask.
func RunTaskCoverage() []Coverage {
	const o = "overrides.containerOverrides[]."
	return []Coverage{
		{"capacityProviderStrategy", Refused, laterProviders},
		{"cluster", ActedOn, ""},
		{"count", ActedOn, ""},
		{"enableECSManagedTags", ActedOn, ""},
		{"enableExecuteCommand", Refused, "true is refused; ECS Exec: not built yet"},
		{"group", ActedOn, ""},
		{"launchType", ActedOn, "EC2; EXTERNAL needs machines that are registered as external, which Berth's agent is not; " + laterFargate},
		{"networkConfiguration", Refused, "VPC: not built yet"},
		{"overrides.cpu", ActedOn, ""},
		{"overrides.memory", ActedOn, ""},
		{o + "name", ActedOn, ""},
		{o + "command", ActedOn, ""},
		{o + "environment", ActedOn, ""},
		{o + "environmentFiles", Refused, "object storage: not built yet"},
		{o + "cpu", ActedOn, ""},
		{o + "memory", ActedOn, ""},
		{o + "memoryReservation", ActedOn, ""},
		{o + "resourceRequirements", ActedOn, "as in the definition"},
		{"overrides.inferenceAcceleratorOverrides", Refused, "retired by AWS"},
		{"overrides.executionRoleArn", StoredOnly, "IAM is not built yet"},
		{"overrides.taskRoleArn", StoredOnly, "IAM is not built yet"},
		{"overrides.ephemeralStorage", Refused, laterFargate},
		{"placementConstraints", ActedOn, ""},
		{"placementStrategy", ActedOn, ""},
		{"platformVersion", Refused, laterFargate},
		{"propagateTags", ActedOn, ""},
		{"referenceId", Refused, "nothing in Berth reads it"},
		{"startedBy", ActedOn, ""},
		{"tags", ActedOn, ""},
		{"taskDefinition", ActedOn, ""},
		{"clientToken", ActedOn, ""},
		{"volumeConfigurations", Refused, laterVolumes},
	}
}

// CreateServiceCoverage has the fields of CreateService; UpdateService has the same.
func CreateServiceCoverage() []Coverage {
	const d = "deploymentConfiguration."
	return []Coverage{
		{"cluster", ActedOn, ""},
		{"serviceName", ActedOn, ""},
		{"taskDefinition", ActedOn, ""},
		{"availabilityZoneRebalancing", ActedOn, "zones are those of the machines that a task may be placed on"},
		{"loadBalancers[].targetGroupArn", ActedOn, "target type instance: network mode awsvpc is not built yet"},
		{"loadBalancers[].loadBalancerName", Refused, "Classic Load Balancers are not built"},
		{"loadBalancers[].containerName", ActedOn, ""},
		{"loadBalancers[].containerPort", ActedOn, ""},
		{"loadBalancers[].advancedConfiguration", ActedOn, ""},
		{"loadBalancers[].advancedConfiguration.roleArn", StoredOnly, "load balancers are Berth's own"},
		{"serviceRegistries", ActedOn, "Cloud Map services with an SRV record; serviceRegistries.port is for awsvpc, which is not built yet"},
		{"desiredCount", ActedOn, ""},
		{"clientToken", ActedOn, ""},
		{"launchType", ActedOn, "EC2 and EXTERNAL; " + laterFargate},
		{"capacityProviderStrategy", Refused, laterProviders},
		{"platformVersion", Refused, laterFargate},
		{"role", StoredOnly, "Berth registers targets itself and needs no role"},
		{d + "deploymentCircuitBreaker", ActedOn, ""},
		{d + "maximumPercent", ActedOn, "a daemon's task stops before its successor starts, whatever the percentage"},
		{d + "minimumHealthyPercent", ActedOn, ""},
		{d + "alarms", Refused, "enable true is refused; CloudWatch alarms: not built yet"},
		{d + "strategy", ActedOn, "BLUE_GREEN also without load balancers, LINEAR and CANARY with; none for services of Service Connect: " + laterShift},
		{d + "bakeTimeInMinutes", ActedOn, ""},
		{d + "lifecycleHooks", ActedOn, "hookTargetArn is an HTTP(S) URL or the ARN of a task definition; Lambda functions are refused"},
		{d + "lifecycleHooks[].roleArn", StoredOnly, "IAM is not built yet"},
		{d + "linearConfiguration", ActedOn, ""},
		{d + "canaryConfiguration", ActedOn, ""},
		{"deploymentConfiguration", ActedOn, ""},
		{"placementConstraints", ActedOn, ""},
		{"placementStrategy", ActedOn, ""},
		{"networkConfiguration", Refused, "VPC: not built yet"},
		{"healthCheckGracePeriodSeconds", ActedOn, ""},
		{"schedulingStrategy", ActedOn, ""},
		{"deploymentController", ActedOn, "ECS and EXTERNAL; cannot be changed; CODE_DEPLOY: " + laterDeploy},
		{"tags", ActedOn, ""},
		{"enableECSManagedTags", ActedOn, ""},
		{"propagateTags", ActedOn, ""},
		{"enableExecuteCommand", Refused, "true is refused; ECS Exec: not built yet"},
		{"serviceConnectConfiguration", ActedOn, "network mode bridge; machines carry the traffic, not a container in the task"},
		{"serviceConnectConfiguration.services[].ingressPortOverride", Refused, "traffic comes to the task's own port: there is no proxy in the task"},
		{"serviceConnectConfiguration.services[].tls", Refused, "TLS of Service Connect: not built yet"},
		{"serviceConnectConfiguration.services[].clientAliases[].testTrafficRules", Refused, laterShift},
		{"serviceConnectConfiguration.logConfiguration", Refused, "there is no proxy in the task that would write a log"},
		{"serviceConnectConfiguration.accessLogConfiguration", Refused, "access logs of Service Connect: not built yet"},
		{"volumeConfigurations", Refused, laterVolumes},
		{"vpcLatticeConfigurations", Refused, "VPC Lattice: not built yet"},
	}
}
