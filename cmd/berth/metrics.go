package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
)

func metricsCommand(o *options) *cobra.Command {
	var since, period time.Duration
	cmd := &cobra.Command{
		Use:     "metrics LOAD-BALANCER | TARGET-GROUP",
		Short:   "Show requests, answers, latency and healthy hosts of a load balancer or a target group",
		Example: "  berth metrics web\n  berth metrics --since 24h --period 1h web-group\n  berth metrics -o json web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if since < time.Second || period < time.Minute || period%time.Minute != 0 {
				return &cli.Failure{What: "--since or --period is not a time that is kept", Fix: "--since of a second or more, --period in whole minutes", Exit: cli.ExitUsage}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			in := own.GetMetricsRequest{Subject: args[0], Since: int(since / time.Second), Period: int(period / time.Second)}
			out, err := cli.Call[own.GetMetricsResponse](cmd.Context(), c, cli.Own, "GetMetrics", in)
			if err != nil {
				return err
			}
			if o.output != "json" && len(out.Points) == 0 {
				_, err = fmt.Fprintln(cmd.ErrOrStderr(), "nothing was counted; a minute is there when it is over and its machines have reported it")
				return err
			}
			return cli.Print(cmd.OutOrStdout(), o.output, cli.MetricsTable(out), out)
		},
	}
	cmd.Flags().DurationVar(&since, "since", time.Hour, "how far back, at most 15 days")
	cmd.Flags().DurationVar(&period, "period", 5*time.Minute, "the time of one row, in whole minutes")
	return cmd
}
