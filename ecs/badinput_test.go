package ecs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	api "berth/api/ecs"
	"berth/aws"
	"berth/aws/wire"
)

// call sends a JSON input through the front door and returns "Code: message" of the answer, "" if it is no error.
func (w *world) call(operation, in string) string {
	w.t.Helper()
	door := wire.New(wire.Config{
		Services: []wire.Service{{API: &api.API, Handler: w.Service, Invalid: Invalid}},
		Authenticate: func(_ *http.Request, _ *aws.API, read func() ([]byte, error)) (aws.Caller, []byte, error) {
			body, err := read()
			return aws.CallerFrom(w.ctx), body, err
		},
	})
	r := httptest.NewRequestWithContext(w.ctx, http.MethodPost, "/", strings.NewReader(in))
	r.Header.Set("X-Amz-Target", api.API.Target+"."+operation)
	answer := httptest.NewRecorder()
	door.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK {
		return ""
	}
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &e); err != nil || answer.Code != http.StatusBadRequest {
		w.t.Fatalf("%s %s: answer %d %s", operation, in, answer.Code, answer.Body)
	}
	return e.Type + ": " + e.Message
}

// badWorld has a cluster default with one small machine, a deleted cluster old, and definitions web (bridge, 2
// containers), vpc (awsvpc, fits Fargate), old:1 (INACTIVE), big (more memory than any machine) and role.
func badWorld(t *testing.T) *world {
	w := newWorld(t)
	w.cluster("default")
	w.cluster("old")
	w.cluster("empty")
	must(w.DeleteCluster(w.ctx, &api.DeleteClusterRequest{Cluster: new("old")}))(t)
	w.machine("default", "m1", 1024, 1024)
	w.register(webDefinition)
	w.register(`{"family":"vpc","networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i"}]}`)
	w.register(`{"family":"old","containerDefinitions":[{"name":"a","image":"i","memory":64}]}`)
	w.register(`{"family":"big","containerDefinitions":[{"name":"a","image":"i","memory":9999}]}`)
	w.register(`{"family":"sized","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i"}]}`)
	must(w.DeregisterTaskDefinition(w.ctx, &api.DeregisterTaskDefinitionRequest{TaskDefinition: new("old:1")}))(t)
	return w
}

// badRow is one bad input. Operations "container" and "definition" stand for RegisterTaskDefinition with one valid
// container and the members given added to the container or to the definition.
type badRow struct{ operation, in, want string }

func (r badRow) request() (operation, in string) {
	switch r.operation {
	case "container":
		return "RegisterTaskDefinition", fmt.Sprintf(`{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64%s}]}`, more(r.in))
	case "definition":
		return "RegisterTaskDefinition", fmt.Sprintf(`{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64}]%s}`, more(r.in))
	case "two":
		return "RegisterTaskDefinition", fmt.Sprintf(`{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64%s},{"name":"b","image":"i","memory":64}]}`, more(r.in))
	case "vpc":
		return "RegisterTaskDefinition", fmt.Sprintf(`{"family":"f","networkMode":"awsvpc","containerDefinitions":[{"name":"a","image":"i","memory":64%s}]}`, more(r.in))
	case "fargate":
		return "RegisterTaskDefinition", fmt.Sprintf(`{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i"%s}]}`, more(r.in))
	}
	return r.operation, r.in
}

func more(members string) string {
	if members == "" {
		return ""
	}
	return "," + members
}

func runBad(t *testing.T, rows []badRow) {
	t.Helper()
	w := badWorld(t)
	revision := w.store.Read().Revision()
	for _, r := range rows {
		operation, in := r.request()
		if got := w.call(operation, in); got != r.want {
			if len(in) > 300 {
				in = in[:300] + "..."
			}
			t.Errorf("%s %s\n got %s\nwant %s", operation, in, got, r.want)
		}
	}
	if w.store.Read().Revision() != revision {
		t.Error("a refused request wrote something")
	}
}

const (
	cl  = "ClientException: "
	ip  = "InvalidParameterException: "
	yet = " is not supported by this Berth yet."
	set = "Invalid setting for container 'a'. "
)

func long(n int) string { return strings.Repeat("x", n) }

func TestRegisterTaskDefinitionRefusesContainers(t *testing.T) {
	runBad(t, []badRow{
		{"RegisterTaskDefinition", `{}`, cl + "Family should not be null or empty."},
		{"RegisterTaskDefinition", `{"family":""}`, cl + "Family should not be null or empty."},
		{"RegisterTaskDefinition", `{"family":"a b"}`, cl + "Family contains invalid characters."},
		{"RegisterTaskDefinition", `{"family":"` + long(256) + `"}`, cl + "Family should be 255 characters or less."},
		{"RegisterTaskDefinition", `{"family":"f"}`, cl + "Container list cannot be empty."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[]}`, cl + "Container list cannot be empty."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{}]}`, cl + "Container.name should not be null or empty."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a.b","image":"i"}]}`, cl + "Container.name contains invalid characters."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"` + long(256) + `","image":"i"}]}`, cl + "Container.name should be 255 characters or less."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a"}]}`, cl + "Container.image should not be null or empty."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a","image":"a b"}]}`, cl + "Container.image contains invalid characters."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a","image":"` + long(256) + `:1"}]}`, cl + "Container.image repository should be 255 characters or less."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[` + strings.Repeat(`{},`, 10) + `{}]}`, cl + "Too many containers."},
		{"definition", `"containerDefinitions":[{"name":"a","image":"i","memory":9},{"name":"a","image":"i","memory":9}]`, cl + "Container names must be unique within a Task Definition."},
		{"container", `"essential":false`, cl + "Task definition doesn't have any essential container."},
		{"container", `"dockerLabels":{"l":"` + long(65536) + `"}`, cl + "Actual length: '65636'. Max allowed length is '65536' bytes."},
		{"container", `"environment":[{"value":"v"}]`, cl + set + "Environment variable names should not be null or empty."},
		{"container", `"environment":[{"name":"A=B","value":"v"}]`, cl + set + "Environment variable 'A=B' contains invalid characters."},
		{"container", `"healthCheck":{"command":[]}`, cl + set + "The health check command should not be null or empty."},
		{"container", `"healthCheck":{"command":["curl"]}`, cl + set + "The health check command must start with CMD, CMD-SHELL or NONE."},
		{"container", `"healthCheck":{"command":["CMD"]}`, cl + set + "The health check command should have something to run after 'CMD'."},
		{"container", `"healthCheck":{"command":["CMD","x"],"interval":4}`, cl + "Invalid setting for container 'a': health check interval must be between 5 and 300"},
		{"container", `"healthCheck":{"command":["CMD","x"],"interval":301}`, cl + "Invalid setting for container 'a': health check interval must be between 5 and 300"},
		{"container", `"healthCheck":{"command":["CMD","x"],"timeout":1}`, cl + "Invalid setting for container 'a': health check timeout must be between 2 and 60"},
		{"container", `"healthCheck":{"command":["CMD","x"],"retries":11}`, cl + "Invalid setting for container 'a': health check retries must be between 1 and 10"},
		{"container", `"healthCheck":{"command":["CMD","x"],"startPeriod":301}`, cl + "Invalid setting for container 'a': health check startPeriod must be between 0 and 300"},
		{"container", `"restartPolicy":{}`, cl + set + "restartPolicy.enabled should not be null."},
		{"container", `"restartPolicy":{"enabled":true,"restartAttemptPeriod":59}`, cl + "Invalid setting for container 'a': restartAttemptPeriod must be between 60 and 1800"},
		{"container", `"restartPolicy":{"enabled":true,"ignoredExitCodes":[` + strings.Repeat("0,", 50) + `0]}`, cl + set + "restartPolicy.ignoredExitCodes can have at most 50 items."},
		{"container", `"startTimeout":-1`, cl + set + "'startTimeout' must not be negative."},
		{"container", `"stopTimeout":-1`, cl + set + "'stopTimeout' must not be negative."},
		{"container", `"versionConsistency":"maybe"`, cl + "Invalid value 'maybe' for versionConsistency. Valid values: [enabled,disabled]"},
		{"container", `"ulimits":[{"name":"nofile","softLimit":2}]`, cl + set + "A ulimit needs name, softLimit and hardLimit."},
		{"container", `"ulimits":[{"name":"nofile","softLimit":3,"hardLimit":2}]`, cl + set + "The softLimit of ulimit 'nofile' must not be greater than its hardLimit."},
		{"container", `"ulimits":[{"name":"cpu","softLimit":1,"hardLimit":2},{"name":"cpu","softLimit":1,"hardLimit":2}]`, cl + set + "Ulimit 'cpu' is given more than once."},
		{"container", `"resourceRequirements":[{"type":"GPU","value":"none"}]`, cl + set + "The value 'none' of resource requirement GPU must be a number from 1 to 1024."},
		{"container", `"resourceRequirements":[{"type":"TPU","value":"1"}]`, cl + "Invalid value 'TPU' for resourceRequirements.type. Valid values: [GPU,InferenceAccelerator]"},
		{"container", `"systemControls":[{"namespace":"net.core.somaxconn"}]`, cl + set + "A system control needs namespace and value."},
		{"container", `"systemControls":[{"namespace":"vm.swappiness","value":"1"}]`, cl + set + "System control 'vm.swappiness' is not allowed: only kernel parameters of namespaces (net.* and IPC) are."},
		{"container", `"dockerSecurityOptions":["seccomp:unconfined"]`, cl + set + "Invalid docker security option 'seccomp:unconfined'."},
		{"container", `"dockerSecurityOptions":["credentialspec:file"]`, cl + "dockerSecurityOptions credentialspec" + yet},
		{"container", `"extraHosts":[{"hostname":"h"}]`, cl + set + "An extra host needs hostname and ipAddress."},
		{"container", `"extraHosts":[{"hostname":"h","ipAddress":"1.2.3"}]`, cl + set + "'1.2.3' is not an IP address."},
		{"container", `"dnsServers":["dns"]`, cl + set + "'dns' is not an IP address."},
		{"container", `"linuxParameters":{"swappiness":101,"maxSwap":1}`, cl + "Invalid setting for container 'a': swappiness must be between 0 and 100"},
		{"container", `"linuxParameters":{"swappiness":10}`, cl + set + "'swappiness' needs 'maxSwap'."},
		{"container", `"linuxParameters":{"maxSwap":-1}`, cl + set + "'maxSwap' must not be negative."},
		{"container", `"linuxParameters":{"sharedMemorySize":-1}`, cl + set + "'sharedMemorySize' must not be negative."},
		{"container", `"linuxParameters":{"capabilities":{"add":["SYS_MAGIC"]}}`, cl + set + "Unknown Linux capability 'SYS_MAGIC'."},
		{"container", `"linuxParameters":{"tmpfs":[{"containerPath":"tmp","size":1}]}`, cl + set + "The containerPath of a tmpfs must be an absolute path."},
		{"container", `"linuxParameters":{"tmpfs":[{"containerPath":"/tmp","size":0}]}`, cl + set + "The size of tmpfs '/tmp' must be greater than 0."},
		{"container", `"linuxParameters":{"devices":[{"hostPath":"fuse"}]}`, cl + set + "The hostPath of a device must be an absolute path."},
		{"container", `"linuxParameters":{"devices":[{"hostPath":"/dev/fuse","permissions":["run"]}]}`, cl + "Invalid value 'run' for devices.permissions. Valid values: [read,write,mknod]"},
		{"container", `"linuxParameters":{"devices":[{"hostPath":"/dev/fuse","containerPath":"fuse"}]}`, cl + set + "The containerPath of device '/dev/fuse' must be an absolute path."},
		{"container", `"cpu":-1`, cl + set + "'cpu' must not be negative."},
		{"container", `"memoryReservation":65`, cl + set + "The 'memory' value must be greater than or equal to the 'memoryReservation' value."},
		{"container", `"memoryReservation":0`, cl + set + "'memoryReservation' must be at least 1"},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a","image":"i"}]}`, cl + set + "At least one of 'memory' or 'memoryReservation' must be specified."},
		{"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":5}]}`, cl + set + "'memory' must be at least 6"},
	})
}

func TestRegisterTaskDefinitionRefusesLogDrivers(t *testing.T) {
	runBad(t, []badRow{
		{"container", `"logConfiguration":{}`, cl + set + "logConfiguration.logDriver should not be null or empty."},
		{"container", `"logConfiguration":{"logDriver":"awslogs"}`, cl + "Log driver awslogs requires options: awslogs-region, awslogs-group"},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r"}}`, cl + "Log driver awslogs requires options: awslogs-group"},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g","x":"y"}}`, cl + "Log driver awslogs disallows options: x"},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g","tag":"y"}}`, cl + "Option tag of log driver awslogs" + yet},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g","mode":"fast"}}`, cl + "Log driver option mode must be blocking or non-blocking."},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g","max-buffer-size":"big"}}`, cl + "Log driver option max-buffer-size must be a size such as 10m."},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g","awslogs-create-group":"perhaps"}}`, cl + "Log driver awslogs option awslogs-create-group must be true or false."},
		{"container", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g","awslogs-datetime-format":"%d","awslogs-multiline-pattern":"x"}}`, cl + "Log driver awslogs can have only one of options: awslogs-datetime-format, awslogs-multiline-pattern"},
		{"container", `"logConfiguration":{"logDriver":"splunk"}`, cl + "Log driver splunk" + yet},
		{"container", `"logConfiguration":{"logDriver":"awsfirelens"}`, cl + "Log driver awsfirelens" + yet},
		{"container", `"logConfiguration":{"logDriver":"paper"}`, cl + "Invalid value 'paper' for logConfiguration.logDriver. Valid values: [json-file,syslog,journald,gelf,fluentd,awslogs,splunk,awsfirelens]"},
		{"container", `"logConfiguration":{"logDriver":"json-file","options":{"x":"y"}}`, cl + "Log driver json-file disallows options: x"},
		{"container", `"logConfiguration":{"logDriver":"json-file","options":{"max-buffer-size":"1m"}}`, cl + "Option max-buffer-size of log driver json-file" + yet},
		{"container", `"logConfiguration":{"logDriver":"json-file","options":{"labels":"y"}}`, cl + "Option labels of log driver json-file" + yet},
		{"container", `"logConfiguration":{"logDriver":"none","options":{"x":"y"}}`, cl + "Log driver none disallows options: x"},
	})
}

func TestRegisterTaskDefinitionRefusesWhatBerthLacks(t *testing.T) {
	of := " (container 'a')" + yet
	runBad(t, []badRow{
		{"container", `"secrets":[{"name":"S","valueFrom":"x"}]`, cl + "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."},
		{"definition", `"executionRoleArn":"r","containerDefinitions":[{"name":"a","image":"i","memory":64,"secrets":[{"name":"S","valueFrom":"x"}]}]`, cl + "secrets" + of},
		{"container", `"logConfiguration":{"logDriver":"json-file","secretOptions":[{"name":"S","valueFrom":"x"}]}`, cl + "logConfiguration.secretOptions" + of},
		{"container", `"environmentFiles":[{"type":"s3","value":"arn:aws:s3:::b/x.env"}]`, cl + "environmentFiles" + of},
		{"container", `"repositoryCredentials":{"credentialsParameter":"x"}`, cl + "repositoryCredentials" + of},
		{"container", `"firelensConfiguration":{"type":"fluentbit"}`, cl + "firelensConfiguration" + of},
		{"container", `"credentialSpecs":["credentialspec:x"]`, cl + "credentialSpecs" + of},
		{"container", `"resourceRequirements":[{"type":"InferenceAccelerator","value":"d"}]`, cl + "resourceRequirements of type InferenceAccelerator" + of},
		{"definition", `"proxyConfiguration":{"containerName":"a"}`, cl + "proxyConfiguration (App Mesh)" + yet},
		{"definition", `"enableFaultInjection":true`, cl + "enableFaultInjection" + yet},
		{"definition", `"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1"}}]`, cl + "efsVolumeConfiguration (volume 'v')" + yet},
		{"definition", `"volumes":[{"name":"v","s3filesVolumeConfiguration":{"fileSystemArn":"a"}}]`, cl + "s3filesVolumeConfiguration (volume 'v')" + yet},
		{"definition", `"volumes":[{"name":"v","fsxWindowsFileServerVolumeConfiguration":{"fileSystemId":"fs-1"}}]`, cl + "fsxWindowsFileServerVolumeConfiguration (volume 'v')" + yet},
		{"definition", `"volumes":[{"name":"v","configuredAtLaunch":true}]`, cl + "configuredAtLaunch (EBS volume 'v')" + yet},
		{"definition", `"volumes":[{"name":"v","dockerVolumeConfiguration":{"driver":"rexray"}}]`, cl + "Volume driver rexray (volume 'v')" + yet},
		{"definition", `"volumes":[{"name":"v","dockerVolumeConfiguration":{"driverOpts":{"a":"b"}}}]`, cl + "driverOpts (volume 'v')" + yet},
	})
}

func TestRegisterTaskDefinitionRefusesTaskSettings(t *testing.T) {
	size := "' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
	runBad(t, []badRow{
		{"definition", `"tags":[]`, cl + "Tags can not be empty."},
		{"definition", `"tags":[{"key":"aws:x","value":"y"}]`, ip + "Tag keys starting with aws: are reserved for system use"},
		{"definition", `"tags":[{"key":"AWS:x","value":"y"}]`, ip + "Tag keys starting with aws: are reserved for system use"},
		{"definition", `"tags":[{"key":"k"},{"key":"k"}]`, ip + "Duplicate tag keys found."},
		{"definition", `"tags":[{"value":"y"}]`, ip + "Tag key can not be empty."},
		{"definition", `"tags":[{"key":"` + long(129) + `"}]`, ip + "Tag key exceeds the maximum length of 128 characters."},
		{"definition", `"tags":[{"key":"k","value":"` + long(257) + `"}]`, ip + "Tag value exceeds the maximum length of 256 characters."},
		{"definition", `"networkMode":"ether"`, cl + "Invalid value 'ether' for networkMode. Valid values: [bridge,host,awsvpc,none]"},
		{"definition", `"pidMode":"x"`, cl + "Invalid value 'x' for pidMode. Valid values: [host,task]"},
		{"definition", `"ipcMode":"x"`, cl + "Invalid value 'x' for ipcMode. Valid values: [host,task,none]"},
		{"definition", `"requiresCompatibilities":["LAMBDA"]`, cl + "Invalid value 'LAMBDA' for requiresCompatibilities. Valid values: [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]"},
		{"definition", `"runtimePlatform":{"cpuArchitecture":"MIPS"}`, cl + "Invalid value 'MIPS' for runtimePlatform.cpuArchitecture. Valid values: [X86_64,ARM64]"},
		{"definition", `"cpu":"much"`, cl + "Invalid 'cpu" + size},
		{"definition", `"cpu":"127"`, cl + "Invalid 'cpu" + size},
		{"definition", `"cpu":"193 vCPU"`, cl + "Invalid 'cpu" + size},
		{"definition", `"cpu":"NaN vCPU"`, cl + "Invalid 'cpu" + size},
		{"definition", `"memory":"1 TB"`, cl + "Invalid 'memory" + size},
		{"definition", `"memory":"-1"`, cl + "Invalid 'memory" + size},
		{"definition", `"memory":"1e3GB"`, cl + "Invalid 'memory" + size},
		{"definition", `"memory":"32"`, cl + "The 'memory' setting for container 'a' is greater than for the task."},
		{"definition", `"memory":"100","containerDefinitions":[{"name":"a","image":"i","memoryReservation":60},{"name":"b","image":"i","memoryReservation":60}]`, cl + "The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'."},
		{"definition", `"cpu":"256","containerDefinitions":[{"name":"a","image":"i","memory":64,"cpu":200},{"name":"b","image":"i","memory":64,"cpu":100}]`, cl + "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."},
		{"definition", `"taskRoleArn":"a role"`, cl + "Role is not valid"},
		{"definition", `"executionRoleArn":"arn:aws:iam::111122223333:user/x"`, cl + "Role is not valid"},
		{"definition", `"ephemeralStorage":{"sizeInGiB":20}`, cl + "Ephemeral storage size must be between 21 and 200 GiB."},
		{"definition", `"placementConstraints":[{"type":"distinctInstance"}]`, cl + "Invalid value 'distinctInstance' for placementConstraints.type. Valid values: [memberOf]"},
		{"definition", `"placementConstraints":[` + strings.Repeat(`{"type":"memberOf","expression":"attribute:a exists"},`, 10) + `{"type":"memberOf"}]`, cl + "Placement constraints can have at most 10 items."},
	})
}

func TestRegisterTaskDefinitionRefusesNetworkAndVolumes(t *testing.T) {
	runBad(t, []badRow{
		{"container", `"portMappings":[{}]`, cl + "Invalid 'containerPort' setting for container 'a'."},
		{"container", `"portMappings":[{"containerPort":0}]`, cl + "Invalid 'containerPort' setting for container 'a'."},
		{"container", `"portMappings":[{"containerPort":65536}]`, cl + "Invalid 'containerPort' setting for container 'a'."},
		{"container", `"portMappings":[{"containerPort":80,"hostPort":65536}]`, cl + "Invalid 'hostPort' setting for container 'a'."},
		{"container", `"portMappings":[{"containerPort":80,"protocol":"sctp"}]`, cl + "Invalid value 'sctp' for portMappings.protocol. Valid values: [tcp,udp]"},
		{"container", `"portMappings":[{"containerPort":80,"appProtocol":"ftp"}]`, cl + "Invalid value 'ftp' for portMappings.appProtocol. Valid values: [http,http2,grpc]"},
		{"container", `"portMappings":[{"containerPort":80,"name":"-x"}]`, cl + set + "The port mapping name '-x' must have 1 to 64 lower-case letters, digits, hyphens and underscores and not begin with a hyphen."},
		{"container", `"portMappings":[{"containerPort":80,"name":"x"},{"containerPort":81,"name":"x"}]`, cl + "Port mapping names must be unique within a Task Definition: 'x'."},
		{"container", `"portMappings":[{"containerPort":80,"hostPort":80},{"containerPort":81,"hostPort":80}]`, cl + "TCP host port '80' is mapped multiple times in task."},
		{"container", `"portMappings":[{"containerPort":80,"hostPort":80,"protocol":"udp"},{"containerPort":81,"hostPort":80,"protocol":"udp"}]`, cl + "UDP host port '80' is mapped multiple times in task."},
		{"container", `"portMappings":[{"containerPort":53},{"containerPort":53,"protocol":"udp"}]`, cl + set + "Container port 53 can't be exposed for more than one protocol."},
		{"container", `"portMappings":[{"containerPortRange":"90-80"}]`, cl + "Invalid 'containerPortRange' setting for container 'a'."},
		{"container", `"portMappings":[{"containerPortRange":"80-90","hostPort":1}]`, cl + set + "A port mapping with 'containerPortRange' can't have 'containerPort' or 'hostPort'."},
		{"container", `"portMappings":[{"containerPortRange":"80-90"},{"containerPortRange":"90-95"}]`, cl + set + "The port ranges '80-90' and '90-95' overlap."},
		{"definition", `"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPortRange":"80-90"}]}]`, cl + "Container port ranges are not supported when networkMode=host."},
		{"definition", `"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":80,"hostPort":81}]}]`, cl + "When networkMode=host, the host ports and container ports in port mappings must match."},
		{"vpc", `"portMappings":[{"containerPort":80,"hostPort":81}]`, cl + "When networkMode=awsvpc, the host ports and container ports in port mappings must match."},
		{"definition", `"networkMode":"none","containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":80}]}]`, cl + "Port mappings are not allowed with networkMode=none."},
		{"vpc", `"links":["b"]`, cl + "Links are not supported when networkMode=awsvpc."},
		{"definition", `"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":64,"links":["b"]}]`, cl + "Links are not supported when networkMode=host."},
		{"vpc", `"dnsServers":["1.1.1.1"]`, cl + "DNS servers are not supported on container when networkMode=awsvpc."},
		{"vpc", `"dnsSearchDomains":["x"]`, cl + "DNS search domains are not supported on container when networkMode=awsvpc."},
		{"vpc", `"extraHosts":[{"hostname":"h","ipAddress":"1.1.1.1"}]`, cl + "Extra hosts are not supported on container when networkMode=awsvpc."},
		{"vpc", `"hostname":"h"`, cl + "Hostnames are not supported on container when networkMode=awsvpc."},
		{"definition", `"networkMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":64,"systemControls":[{"namespace":"net.core.somaxconn","value":"1"}]}]`, cl + set + "System control 'net.core.somaxconn' is not supported when networkMode=host."},
		{"definition", `"ipcMode":"host","containerDefinitions":[{"name":"a","image":"i","memory":64,"systemControls":[{"namespace":"kernel.sem","value":"1"}]}]`, cl + set + "System control 'kernel.sem' is not supported when ipcMode=host."},
		{"container", `"links":["b:db"]`, cl + set + "Link 'b:db' names an unknown container."},
		{"container", `"mountPoints":[{"sourceVolume":"v","containerPath":"/v"}]`, cl + "Unknown volume 'v'."},
		{"container", `"mountPoints":[{"containerPath":"/v"}]`, cl + "Unknown volume ''."},
		{"definition", `"volumes":[{"name":"v"}],"containerDefinitions":[{"name":"a","image":"i","memory":64,"mountPoints":[{"sourceVolume":"v","containerPath":"v"}]}]`, cl + set + "The containerPath of the mount point for volume 'v' must be an absolute path."},
		{"container", `"volumesFrom":[{"sourceContainer":"b"}]`, cl + "Container.volumesFrom names an unknown container 'b'."},
		{"definition", `"volumes":[{}]`, cl + "Volume name should not be null or empty."},
		{"definition", `"volumes":[{"name":"a/b"}]`, cl + "Volume name contains invalid characters."},
		{"definition", `"volumes":[{"name":"v"},{"name":"v"}]`, cl + "Volume names must be unique within a Task Definition."},
		{"definition", `"volumes":[{"name":"v","host":{"sourcePath":"data"}}]`, cl + "The host.sourcePath of volume 'v' must be an absolute path."},
		{"definition", `"volumes":[{"name":"v","host":{"sourcePath":"/data"},"dockerVolumeConfiguration":{}}]`, cl + "Volume 'v' can have only one kind of configuration."},
		{"definition", `"volumes":[{"name":"v","dockerVolumeConfiguration":{"autoprovision":true}}]`, cl + "The autoprovision parameter of volume 'v' can be used only with scope shared."},
		{"definition", `"volumes":[{"name":"v","dockerVolumeConfiguration":{"scope":"global"}}]`, cl + "Invalid value 'global' for dockerVolumeConfiguration.scope. Valid values: [task,shared]"},
		{"two", `"dependsOn":[{"condition":"START"}]`, cl + set + "A container dependency needs containerName and condition."},
		{"two", `"dependsOn":[{"containerName":"c","condition":"START"}]`, cl + set + "Container dependency names an unknown container 'c'."},
		{"two", `"dependsOn":[{"containerName":"a","condition":"START"}]`, cl + set + "A container can't depend on itself."},
		{"two", `"dependsOn":[{"containerName":"b","condition":"SOON"}]`, cl + "Invalid value 'SOON' for dependsOn.condition. Valid values: [START,COMPLETE,SUCCESS,HEALTHY]"},
		{"two", `"dependsOn":[{"containerName":"b","condition":"SUCCESS"}]`, cl + "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"},
		{"two", `"dependsOn":[{"containerName":"b","condition":"HEALTHY"}]`, cl + set + "Container dependency 'b' with condition HEALTHY has no health check."},
		{"definition", `"containerDefinitions":[{"name":"a","image":"i","memory":64,"links":["b"]},{"name":"b","image":"i","memory":64,"dependsOn":[{"containerName":"a","condition":"START"}]}]`, cl + "Container dependency graph has a cycle: a -> b -> a."},
	})
}

func TestRegisterTaskDefinitionRefusesWhatFargateLacks(t *testing.T) {
	no := cl + "Fargate compatible task definitions do not support "
	runBad(t, []badRow{
		{"definition", `"requiresCompatibilities":["FARGATE"]`, cl + "Fargate requires that 'cpu' be defined at the task level."},
		{"definition", `"requiresCompatibilities":["FARGATE"],"cpu":"256"`, cl + "Fargate requires that 'memory' be defined at the task level."},
		{"definition", `"requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"4096"`, cl + "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation for the valid values."},
		{"definition", `"requiresCompatibilities":["FARGATE"],"cpu":".25 vCPU","memory":"1.5 GB"`, cl + "No Fargate configuration exists for given values: 256 CPU, 1536 memory. See the Amazon ECS documentation for the valid values."},
		{"definition", `"requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512"`, cl + "Fargate only supports network mode ‘awsvpc’."},
		{"definition", `"requiresCompatibilities":["EXTERNAL"],"networkMode":"awsvpc"`, cl + "External instances do not support network mode 'awsvpc'."},
		{"definition", `"requiresCompatibilities":["MANAGED_INSTANCES"]`, cl + "Managed Instances do not support network mode 'bridge'."},
		{"fargate", `"image":"111122223333.dkr.ecr.eu-west-1.amazonaws.com/x:1"`, cl + "Fargate requires task definition to have execution role ARN to support ECR images."},
		{"fargate", `"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-region":"r","awslogs-group":"g"}}`, cl + "Fargate requires task definition to have execution role ARN to support log driver awslogs."},
		{"fargate", `"logConfiguration":{"logDriver":"json-file"}`, no + "log driver json-file"},
		{"fargate", `"privileged":true`, no + "privileged"},
		{"fargate", `"resourceRequirements":[{"type":"GPU","value":"1"}]`, no + "resourceRequirements"},
		{"fargate", `"linuxParameters":{"devices":[{"hostPath":"/dev/fuse"}]}`, no + "devices"},
		{"fargate", `"linuxParameters":{"sharedMemorySize":1}`, no + "sharedMemorySize"},
		{"fargate", `"linuxParameters":{"maxSwap":1}`, no + "maxSwap"},
		{"fargate", `"linuxParameters":{"capabilities":{"add":["NET_ADMIN"]}}`, no + "linuxParameters.capabilities.add other than SYS_PTRACE"},
		{"fargate", `"stopTimeout":121`, cl + "Invalid setting for container 'a': stopTimeout must be between 2 and 120"},
		{"fargate", `"name":"a"}],"pidMode":"host","volumes":[{"name":"v"`, cl + "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'."},
		{"fargate", `"name":"a"}],"ipcMode":"none","volumes":[{"name":"v"`, cl + "Tasks using the Fargate launch type do not support ipcMode."},
		{"fargate", `"name":"a"}],"volumes":[{"name":"v","host":{"sourcePath":"/x"}`, no + "sourcePath"},
		{"fargate", `"name":"a"}],"volumes":[{"name":"v","dockerVolumeConfiguration":{}`, no + "dockerVolumeConfiguration"},
		{"fargate", `"name":"a"}],"placementConstraints":[{"type":"memberOf","expression":"attribute:a exists"`, no + "placementConstraints"},
	})
}
