package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
)

func tokenCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens with which machines join"}
	var (
		ttl  time.Duration
		uses int
	)
	create := &cobra.Command{
		Use:   "create",
		Short: "Print the command that makes a new machine join",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			fmt.Fprintf(cmd.ErrOrStderr(), "On the new machine, before %s:\n", token.Expires.Local().Format(time.TimeOnly))
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "berth agent --server https://%s --token %s\n", token.Server, token.Token)
			return err
		},
	}
	create.Flags().DurationVar(&ttl, "ttl", 15*time.Minute, "how long the token works, at most 24h")
	create.Flags().IntVar(&uses, "uses", 1, "how many machines may join with it")
	cmd.AddCommand(create)
	return cmd
}
