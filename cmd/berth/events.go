package main

import (
	"time"

	"github.com/spf13/cobra"

	"berth/cli"
)

// eventLife is how long events are kept.
const eventLife = 30 * 24 * time.Hour

func eventsCommand(o *options) *cobra.Command {
	var (
		follow bool
		since  time.Duration
	)
	cmd := &cobra.Command{
		Use:               "events [SERVICE]",
		Short:             "Show what happened to a service, or to all services of the cluster, in the last 30 days",
		Example:           "  berth events -f web\n  berth events --since 1h",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			p := cli.EventPrinter{Client: c, Cluster: o.cluster, Out: cmd.OutOrStdout(), JSON: o.output == "json"}
			if len(args) > 0 {
				p.Service = args[0]
			}
			return p.Print(cmd.Context(), time.Now().Add(-since), follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more")
	cmd.Flags().DurationVar(&since, "since", eventLife, "only events younger than this, such as 10m")
	return cmd
}
