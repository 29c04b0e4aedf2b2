package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	api "berth/api/ecs"
	"berth/aws"
	"berth/cli"
)

// followTimeout is how long a command watches a service unless it is told.
const followTimeout = 10 * time.Minute

// following are the flags of commands that watch a service.
type following struct {
	detach  bool
	timeout time.Duration
}

func (f *following) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.detach, "detach", false, "do not watch")
	cmd.Flags().DurationVar(&f.timeout, "timeout", followTimeout, "how long to watch; then exit code 3")
}

// follow watches the service until the goal is reached. Whoever interrupts it at a terminal chooses what becomes of it.
func (f *following) follow(cmd *cobra.Command, o *options, c *cli.Client, service string, goal cli.Goal) error {
	if f.detach {
		return nil
	}
	watch := cli.ServiceFollower{Client: c, Cluster: o.cluster, Out: cmd.OutOrStdout()}
	err := watch.Follow(cmd.Context(), service, f.timeout, goal)
	for {
		gone, ok := errors.AsType[*cli.ErrDetached](err)
		if !ok {
			return err
		}
		ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), os.Interrupt, syscall.SIGTERM)
		switch cli.AskDetached(ctx, os.Stdin, cmd.OutOrStdout(), service) {
		case cli.KeepWaiting:
			err = watch.Follow(ctx, service, f.timeout, goal)
		case cli.RollBack:
			if err = stopDeployment(ctx, o, c, service); err == nil {
				goal = cli.RolledBack
				if err = watch.Follow(ctx, service, f.timeout, goal); err == nil {
					err = &cli.Failure{What: "the deployment of " + service + " was rolled back", Cause: "you asked for it", Fix: "berth logs " + service}
				}
			}
		default:
			err = &cli.Failure{What: "no longer watching; the service goes on by itself", Cause: gone.Summary, Fix: "berth wait " + service + ", or berth rollback " + service}
		}
		stop()
	}
}

// stopDeployment rolls the deployment that is under way back.
func stopDeployment(ctx context.Context, o *options, c *cli.Client, service string) error {
	v, err := c.Service(ctx, o.cluster, service)
	if err != nil {
		return err
	}
	_, err = cli.Call[api.StopServiceDeploymentResponse](ctx, c, cli.ECS, "StopServiceDeployment",
		api.StopServiceDeploymentRequest{ServiceDeploymentArn: v.CurrentServiceDeployment})
	return err
}

func (o *options) update(ctx context.Context, c *cli.Client, in api.UpdateServiceRequest) error {
	in.Cluster = &o.cluster
	_, err := cli.Call[api.UpdateServiceResponse](ctx, c, cli.ECS, "UpdateService", in)
	return err
}

func scaleCommand(o *options) *cobra.Command {
	f := &following{}
	cmd := &cobra.Command{
		Use:               "scale SERVICE COUNT",
		Short:             "Set how many tasks a service has, and wait until they run",
		Example:           "  berth scale web 5",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: o.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || n < 0 {
				return &cli.Failure{What: args[1] + " is no number of tasks", Fix: cmd.CommandPath() + " --help", Exit: cli.ExitUsage}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			v, err := c.Service(cmd.Context(), o.cluster, args[0])
			if err != nil {
				return err
			}
			if err := o.update(cmd.Context(), c, api.UpdateServiceRequest{Service: v.ServiceName, DesiredCount: new(int32(n))}); err != nil {
				return err
			}
			return f.follow(cmd, o, c, aws.Value(v.ServiceName), cli.Stable)
		},
	}
	f.flags(cmd)
	return cmd
}

func waitCommand(o *options) *cobra.Command {
	f, until := &following{}, ""
	cmd := &cobra.Command{
		Use:               "wait SERVICE",
		Short:             "Wait until a service is stable or its deployment has ended",
		Example:           "  berth wait web --until deployed --timeout 5m",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			goal := map[string]cli.Goal{"stable": cli.Stable, "deployed": cli.Deployed}[until]
			if goal == nil {
				return &cli.Failure{What: "--until " + until, Cause: "it can be stable or deployed", Exit: cli.ExitUsage}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			return f.follow(cmd, o, c, args[0], goal)
		},
	}
	cmd.Flags().StringVar(&until, "until", "stable", "stable: one deployment, all tasks running; deployed: the deployment has succeeded")
	cmd.Flags().DurationVar(&f.timeout, "timeout", followTimeout, "how long to wait; then exit code 3")
	return cmd
}

func deployCommand(o *options) *cobra.Command {
	f := &following{}
	var image, container, file string
	cmd := &cobra.Command{
		Use:   "deploy SERVICE (--image NAME:TAG | --task-definition FILE)",
		Short: "Deploy a new image or task definition to a service and watch it",
		Long: "Derives a new revision from the running one, with another image, and deploys it. Exit code 0: deployed; 1: failed or rolled back; " +
			"3: timed out, the deployment goes on.",
		Example:           "  berth deploy web --image web:2\n  berth deploy web --task-definition web.json --detach",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (image == "") == (file == "") {
				return &cli.Failure{What: "give either --image or --task-definition", Fix: cmd.CommandPath() + " --help", Exit: cli.ExitUsage}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			v, err := c.Service(cmd.Context(), o.cluster, args[0])
			if err != nil {
				return err
			}
			var revision string
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return &cli.Failure{What: "cannot read the task definition", Cause: err.Error(), Exit: cli.ExitUsage}
				}
				revision, err = c.Register(cmd.Context(), text)
				if err != nil {
					return err
				}
			} else if err := c.CheckImage(cmd.Context(), image); err != nil {
				return err
			} else if revision, err = c.Derive(cmd.Context(), v, container, image); err != nil {
				return err
			}
			if err := o.update(cmd.Context(), c, api.UpdateServiceRequest{Service: v.ServiceName, TaskDefinition: &revision}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s -> %s\n", cli.Revision(aws.Value(v.TaskDefinition)), cli.Revision(revision))
			return f.follow(cmd, o, c, aws.Value(v.ServiceName), cli.Deployed)
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&image, "image", "", "the new image")
	cmd.Flags().StringVar(&container, "container", "", "the container that gets it (default: the only essential one)")
	cmd.Flags().StringVar(&file, "task-definition", "", "a task definition in JSON, as for aws ecs register-task-definition")
	return cmd
}

func rollbackCommand(o *options) *cobra.Command {
	f := &following{}
	cmd := &cobra.Command{
		Use:               "rollback SERVICE",
		Short:             "Take back the deployment that is under way, or deploy what was deployed before",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			v, err := c.Service(cmd.Context(), o.cluster, args[0])
			if err != nil {
				return err
			}
			if len(v.Deployments) > 0 && v.Deployments[0].RolloutState == api.DeploymentRolloutStateInProgress {
				if err := stopDeployment(cmd.Context(), o, c, args[0]); err != nil {
					return err
				}
				return f.follow(cmd, o, c, aws.Value(v.ServiceName), cli.RolledBack)
			}
			before, err := c.Before(cmd.Context(), o.cluster, v)
			if err != nil {
				return err
			}
			if err := o.update(cmd.Context(), c, api.UpdateServiceRequest{Service: v.ServiceName, TaskDefinition: &before}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s -> %s\n", cli.Revision(aws.Value(v.TaskDefinition)), cli.Revision(before))
			return f.follow(cmd, o, c, aws.Value(v.ServiceName), cli.Deployed)
		},
	}
	f.flags(cmd)
	return cmd
}

func (o *options) completeServices(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	o.ask(cmd, func(ctx context.Context, c *cli.Client) error {
		out, err := cli.Call[api.ListServicesResponse](ctx, c, cli.ECS, "ListServices", api.ListServicesRequest{Cluster: &o.cluster, MaxResults: new(int32(100))})
		if err == nil {
			for _, arn := range out.ServiceArns {
				names = append(names, lastPart(arn))
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
