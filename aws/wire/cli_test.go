package wire_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The stock AWS CLI, where it is installed, gets through the front door.
func TestAWSCLI(t *testing.T) {
	cli, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the AWS CLI is not installed")
	}
	w := newWorld(t)
	for _, c := range []struct{ name, args, want string }{
		{"query", "sts get-caller-identity", `"Arn": "arn:aws:iam::111122223333:root"`},
		{"json", "ecs run-task --task-definition web:1", `"createdAt": 1700000000.123`},
		{"json error", "ecs stop-task --task x", "(ConflictException) when calling the StopTask operation: taken"},
		{"json unsupported", "ecs create-service --service-name s", "(UnsupportedFeatureException) when calling the CreateService operation"},
		{"ec2", "ec2 describe-vpcs --vpc-ids vpc-1 --filters Name=tag:Name,Values=a,b", `"VpcId": "vpc-1"`},
		{"ec2 error", "ec2 describe-vpcs --vpc-ids vpc-gone", "(InvalidVpcID.NotFound) when calling the DescribeVpcs operation: The vpc ID 'vpc-gone' does not exist"},
		{"ec2 unknown", "ec2 describe-instances", "(InvalidAction)"},
		{"query error", "elbv2 describe-load-balancers", "(LoadBalancerNotFound)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), cli, append([]string{"--endpoint-url", w.url, "--region", region}, strings.Fields(c.args)...)...)
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+w.key.ID, "AWS_SECRET_ACCESS_KEY="+w.key.Secret.Reveal(), "AWS_MAX_ATTEMPTS=1",
				"AWS_CLI_TIMESTAMP_FORMAT=wire", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=")
			out, _ := cmd.CombinedOutput() // errors of the service make it fail, as they should
			if !strings.Contains(string(out), c.want) {
				t.Errorf("got %s\nwant %s", out, c.want)
			}
		})
	}
}

const botoScript = `
import os, botocore.session, botocore.exceptions as x, urllib.request
s = botocore.session.Session()
c = lambda name: s.create_client(name, region_name="eu-west-1")
print(c("sts").get_caller_identity()["Arn"])
print(c("ecs").run_task(taskDefinition="web:1", startedBy="\u00e9 \u20ac")["tasks"][0]["createdAt"].timestamp())
for call in (lambda: c("ecs").stop_task(task="x"), lambda: c("ec2").describe_vpcs(VpcIds=["vpc-gone"]), lambda: c("elbv2").describe_load_balancers(),
             lambda: c("ec2").describe_instances(), lambda: c("ecs").create_service(serviceName="a"), lambda: c("s3").list_buckets()):
    try:
        call()
    except x.ClientError as e:
        print(e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"])
print(c("ec2").describe_vpcs(Filters=[{"Name": "n", "Values": ["a b", "c/d+e"]}])["Vpcs"][0]["Tags"][0]["Value"])
print(c("elbv2").create_target_group(Name="g", Port=80)["TargetGroups"][0]["LoadBalancerArns"])
url = s.create_client("sts", region_name="eu-west-1").generate_presigned_url("get_caller_identity", HttpMethod="GET")
print("presigned", urllib.request.urlopen(url).status)
`

// boto3 finds every service at AWS_ENDPOINT_URL.
func TestBotocoreWithOneEndpointForAll(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.CommandContext(t.Context(), python, "-c", "import botocore").Run() != nil {
		t.Skip("botocore is not installed")
	}
	w := newWorld(t)
	cmd := exec.CommandContext(t.Context(), python, "-c", botoScript)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+w.url, "AWS_ACCESS_KEY_ID="+w.key.ID, "AWS_SECRET_ACCESS_KEY="+w.key.Secret.Reveal(),
		"AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	out, err := cmd.CombinedOutput()
	want := `arn:aws:iam::111122223333:root
1700000000.123
400 ConflictException
400 InvalidVpcID.NotFound
400 LoadBalancerNotFound
400 InvalidAction
400 UnsupportedFeatureException
400 UnknownOperationException
a <b> & "c"
['x', 'y']
presigned 200
`
	if err != nil || string(out) != want {
		t.Errorf("got %s\n%v\nwant %s", out, err, want)
	}
}
