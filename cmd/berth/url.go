package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"berth/cli"
)

func urlCommand(o *options) *cobra.Command {
	var all bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:               "url SERVICE | LOAD-BALANCER",
		Short:             "Print an address at which a service or a load balancer answers from here",
		Example:           "  curl $(berth url web)",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			urls, err := c.URLs(cmd.Context(), o.cluster, args[0], o.here(), wait)
			if err != nil {
				return err
			}
			if o.output == "json" {
				return cli.PrintJSON(cmd.OutOrStdout(), urls)
			}
			if !all {
				urls = urls[:1]
			}
			for _, u := range urls {
				fmt.Fprintln(cmd.OutOrStdout(), u)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long a load balancer may take until it answers")
	cmd.Flags().BoolVar(&all, "all", false, "every address, the best first")
	return cmd
}

// here is the container instance that this machine is, for the data directory; empty if it is none.
func (o *options) here() string {
	instance, _ := localInstance(o.dataDir) // who may not read it is told addresses for others
	return instance
}
