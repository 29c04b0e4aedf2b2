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
	laterServices  = "services and deployments: not built yet"
	laterProviders = "capacity providers: not built yet"
	laterDaemons   = "managed daemons: not built yet"
	laterExpress   = "Express services: not built yet"
	laterConnect   = "Service Connect: not built yet"
	laterSecrets   = "secrets: not built yet"
	laterFargate   = "Fargate: not built yet"
	laterAgent     = "for Amazon's agent; Berth's agent has its own protocol"
	laterVolumes   = "network volumes: not built yet"
	laterMesh      = "App Mesh has ended"
	laterLens      = "FireLens: not built yet"
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
			"CreateCluster", "DescribeClusters", "ListClusters", "UpdateCluster", "UpdateClusterSettings", "DeleteCluster",
			"RegisterTaskDefinition", "DescribeTaskDefinition", "DeregisterTaskDefinition", "DeleteTaskDefinitions",
			"ListTaskDefinitions", "ListTaskDefinitionFamilies", "RunTask", "StartTask", "StopTask", "DescribeTasks", "ListTasks",
			"RegisterContainerInstance", "DescribeContainerInstances", "ListContainerInstances", "UpdateContainerInstancesState",
			"DeregisterContainerInstance", "UpdateContainerAgent", "PutAttributes", "ListAttributes", "DeleteAttributes",
			"TagResource", "UntagResource", "ListTagsForResource",
		}},
		{ActedOn, "containerInsights is the default of new clusters; the other settings are stored only", []string{
			"PutAccountSetting", "PutAccountSettingDefault", "DeleteAccountSetting", "ListAccountSettings",
		}},
		{ActedOn, "empty lists only; " + laterProviders, []string{"PutClusterCapacityProviders"}},
		{Refused, laterProviders, []string{
			"CreateCapacityProvider", "DescribeCapacityProviders", "UpdateCapacityProvider", "DeleteCapacityProvider",
		}},
		{Refused, laterServices, []string{
			"CreateService", "DescribeServices", "ListServices", "ListServicesByNamespace", "UpdateService", "DeleteService",
			"DescribeServiceDeployments", "ListServiceDeployments", "StopServiceDeployment", "ContinueServiceDeployment",
			"DescribeServiceRevisions", "CreateTaskSet", "DescribeTaskSets", "UpdateTaskSet", "DeleteTaskSet",
			"UpdateServicePrimaryTaskSet", "GetTaskProtection", "UpdateTaskProtection",
		}},
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
	const c = "containerDefinitions[]."
	return []Coverage{
		{"family", ActedOn, ""},
		{"taskRoleArn", StoredOnly, laterRoles},
		{"executionRoleArn", StoredOnly, laterRoles},
		{"networkMode", ActedOn, "awsvpc can be registered, not run: VPC is not built yet"},
		{"containerDefinitions", ActedOn, ""},
		{c + "portMappings[].name", StoredOnly, laterConnect},
		{c + "portMappings[].appProtocol", StoredOnly, laterConnect},
		{c + "versionConsistency", StoredOnly, laterServices},
		{c + "dockerLabels", StoredOnly, "there is no Docker to show them"},
		{c + "repositoryCredentials", Refused, laterSecrets},
		{c + "secrets", Refused, laterSecrets},
		{c + "logConfiguration.logDriver", ActedOn, "awslogs, json-file and none; others are refused"},
		{c + "logConfiguration.options", ActedOn, "options without effect are refused"},
		{c + "logConfiguration.secretOptions", Refused, laterSecrets},
		{c + "environmentFiles", Refused, "object storage: not built yet"},
		{c + "firelensConfiguration", Refused, laterLens},
		{c + "credentialSpecs", Refused, "gMSA needs a domain"},
		{c + "dockerSecurityOptions", ActedOn, "credentialspec is refused"},
		{c + "resourceRequirements", ActedOn, "GPU; InferenceAccelerator is refused"},
		{"volumes", ActedOn, ""},
		{"volumes[].dockerVolumeConfiguration.driver", ActedOn, "local; others are refused"},
		{"volumes[].dockerVolumeConfiguration.driverOpts", Refused, "the driver local has none in Berth"},
		{"volumes[].dockerVolumeConfiguration.labels", StoredOnly, "there is no Docker to show them"},
		{"volumes[].efsVolumeConfiguration", Refused, laterVolumes},
		{"volumes[].s3filesVolumeConfiguration", Refused, laterVolumes},
		{"volumes[].fsxWindowsFileServerVolumeConfiguration", Refused, "Windows only"},
		{"volumes[].configuredAtLaunch", Refused, laterVolumes},
		{"placementConstraints", ActedOn, ""},
		{"requiresCompatibilities", ActedOn, "checked; only EC2 and EXTERNAL run"},
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
	}
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
		{"launchType", ActedOn, "EC2 and EXTERNAL; " + laterFargate},
		{"networkConfiguration", Refused, "VPC: not built yet"},
		{"overrides", ActedOn, ""},
		{o + "environmentFiles", Refused, "object storage: not built yet"},
		{o + "resourceRequirements", ActedOn, "GPU; InferenceAccelerator is refused"},
		{"overrides.inferenceAcceleratorOverrides", Refused, "retired by AWS"},
		{"overrides.executionRoleArn", StoredOnly, laterRoles},
		{"overrides.taskRoleArn", StoredOnly, laterRoles},
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
