package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	api "berth/api/ecs"
	"berth/aws"
	"berth/cli"
)

// completeWait bounds how long a shell waits for live names.
const completeWait = 2 * time.Second

func (o *options) completeTasks(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	o.ask(cmd, func(ctx context.Context, c *cli.Client) error {
		tasks, err := c.Tasks(ctx, o.cluster, api.DesiredStatusRunning, "", "")
		for _, t := range tasks {
			names = append(names, short(cli.TaskID(aws.Value(t.TaskArn)))+"\t"+cli.Revision(aws.Value(t.TaskDefinitionArn)))
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (o *options) completeClusters(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	o.ask(cmd, func(ctx context.Context, c *cli.Client) error {
		out, err := cli.Call[api.ListClustersResponse](ctx, c, cli.ECS, "ListClusters", api.ListClustersRequest{})
		if err == nil {
			for _, arn := range out.ClusterArns {
				names = append(names, lastPart(arn))
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// ask calls Berth for a completion; when that fails there is simply nothing to offer.
func (o *options) ask(cmd *cobra.Command, question func(context.Context, *cli.Client) error) {
	c, err := o.client()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	_ = question(ctx, c)
}
