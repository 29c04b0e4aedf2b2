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
