package main

import (
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"berth/cli"
)

func envCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "env",
		Short:   "Print the AWS variables that lead any AWS client to this Berth",
		Example: `  eval "$(berth env)" && aws ecs list-clusters`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cli.Local(o.dataDir)
			if err != nil {
				return err
			}
			if o.region != "" {
				c.Region = o.region
			}
			if asJSON || o.output == "json" {
				return cli.PrintJSON(cmd.OutOrStdout(), envVariables{c, c.Region})
			}
			return printExports(cmd.OutOrStdout(), c)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object instead of shell exports")
	return cmd
}

// envVariables adds the one that version 1 of the AWS CLI reads instead of AWS_REGION.
type envVariables struct {
	cli.Connection
	DefaultRegion string `json:"AWS_DEFAULT_REGION"`
}

func printExports(w io.Writer, c cli.Connection) error {
	for _, e := range [][2]string{
		{"AWS_ENDPOINT_URL", c.Endpoint},
		{"AWS_ACCESS_KEY_ID", c.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", c.SecretAccessKey},
		{"AWS_REGION", c.Region},
		{"AWS_DEFAULT_REGION", c.Region},
	} {
		fmt.Fprintf(w, "export %s=%s\n", e[0], quote(e[1]))
	}
	fmt.Fprintln(w, "unset AWS_SESSION_TOKEN AWS_PROFILE")
	if path, err := exec.LookPath("aws"); err == nil && ignoresEndpoint(path) {
		// Debian 12 has such a version. Without this, its calls would go to the public AWS.
		fmt.Fprintln(w, `aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }`)
	}
	return nil
}

// quote makes one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var cliVersion = regexp.MustCompile(`^aws-cli/(\d+)\.(\d+)\.`)

// ignoresEndpoint tells whether the AWS CLI at path is older than the ones that read AWS_ENDPOINT_URL.
// Source: AWS CLI change logs, 1.29.0 and 2.13.0.
func ignoresEndpoint(path string) bool {
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return false
	}
	m := cliVersion.FindStringSubmatch(string(out))
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major == 1 && minor < 29 || major == 2 && minor < 13
}
