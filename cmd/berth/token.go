package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
)

// maxTokenTTL is the server's limit.
const maxTokenTTL = 24 * time.Hour

func tokenCommand(o *options) *cobra.Command {
	var (
		ttl  time.Duration
		uses int
	)
	create := &cobra.Command{
		Use:   "create",
		Short: "Print the command that makes a new machine join",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < time.Second || ttl > maxTokenTTL {
				return &cli.Failure{What: "a token works for 1s to 24h, not for " + ttl.String(), Fix: "--ttl 15m", Exit: cli.ExitUsage}
			}
			if uses < 1 {
				return &cli.Failure{What: fmt.Sprintf("a token is for 1 machine or more, not for %d", uses), Fix: "--uses 1", Exit: cli.ExitUsage}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			in := own.CreateJoinTokenRequest{Cluster: o.cluster, TTLSeconds: int(ttl.Seconds()), Uses: uses}
			token, err := cli.Call[own.CreateJoinTokenResponse](cmd.Context(), c, cli.Own, "CreateJoinToken", in)
			if err != nil {
				return err
			}
			if o.output == "json" {
				return cli.PrintJSON(cmd.OutOrStdout(), token)
			}
			w := cmd.ErrOrStderr()
			if isLoopback(token.Server) {
				fmt.Fprintf(w, "Other machines do not reach %s: start Berth with --agent-listen 0.0.0.0:4567 --advertise HOST:4567.\n", token.Server)
			}
			fmt.Fprintf(w, "As root on the new machine, before %s:\n", token.Expires.Local().Format(time.TimeOnly))
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "berth agent --server https://%s --token %s\n", token.Server, token.Token)
			return err
		},
	}
	create.Flags().DurationVar(&ttl, "ttl", 15*time.Minute, "how long the token works, at most 24h")
	create.Flags().IntVar(&uses, "uses", 1, "how many machines may join with it")
	return group("token", "Tokens with which machines join", create)
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
