package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	api "berth/api/ecs"
	"berth/aws"
	"berth/cli"
)

// processWait is how long Berth's own processes may take to end.
const processWait = 30 * time.Second

func downCommand(o *options) *cobra.Command {
	var (
		wait      time.Duration
		keepTasks bool
	)
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop this machine's tasks and Berth, and leave nothing behind but the data",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return &cli.Failure{What: "berth down needs root", Cause: "it ends containers and removes namespaces and mounts", Fix: "sudo berth down", Exit: cli.ExitDenied}
			}
			dataDir, err := filepath.Abs(o.dataDir)
			if err != nil {
				return err
			}
			o.dataDir = dataDir
			if _, err := os.Stat(dataDir); errors.Is(err, os.ErrNotExist) {
				fmt.Fprintln(cmd.ErrOrStderr(), "Nothing to end:", dataDir, "does not exist.")
				return nil
			}
			if keepTasks {
				return endKeepingTasks(cmd.Context(), dataDir, cmd.ErrOrStderr())
			}
			return down(cmd.Context(), o, wait, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long tasks may take to stop before they are killed")
	cmd.Flags().BoolVar(&keepTasks, "keep-tasks", false, "end only Berth: containers and published ports go on, and berth up adopts them")
	return cmd
}

func endKeepingTasks(ctx context.Context, dataDir string, w io.Writer) error {
	if !isUp(dataDir) {
		fmt.Fprintln(w, "Nothing to end: no Berth runs with", dataDir+".")
		return nil
	}
	if err := cli.Progress(ctx, w, "ending Berth", func(ctx context.Context) error { return endUp(ctx, dataDir) }); err != nil {
		return err
	}
	fmt.Fprintln(w, "Berth has ended. Its tasks go on; berth up adopts them.")
	return nil
}

func down(ctx context.Context, o *options, wait time.Duration, w io.Writer) error {
	was := isUp(o.dataDir)
	if was {
		err := cli.Progress(ctx, w, "stopping tasks", func(ctx context.Context) error { return stopTasks(ctx, o, wait) })
		if err != nil {
			fmt.Fprintln(w, "tasks could not be stopped through the API and are ended now:", err)
		}
		if err := cli.Progress(ctx, w, "ending Berth", func(ctx context.Context) error { return endUp(ctx, o.dataDir) }); err != nil {
			return err
		}
	}
	if err := cli.Progress(ctx, w, "cleaning up", func(ctx context.Context) error { return cleanUp(ctx, o.dataDir) }); err != nil {
		if f, ok := errors.AsType[*cli.Failure](err); ok {
			return f
		}
		return &cli.Failure{What: "something was left behind", Cause: err.Error(), Fix: "berth down --data-dir " + o.dataDir}
	}
	if !was {
		fmt.Fprintln(w, "No Berth ran with", o.dataDir+". What its tasks left was cleaned up; the data is kept.")
		return nil
	}
	fmt.Fprintln(w, "Berth has ended. The data is kept in", o.dataDir+".")
	return nil
}

// stopTasks asks for every task of this machine to be stopped and waits until they are.
func stopTasks(ctx context.Context, o *options, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := cli.Local(o.dataDir)
	if err != nil {
		return err
	}
	c := cli.NewClient(conn)
	instance, err := localInstance(o.dataDir)
	if err != nil || instance == "" {
		return err
	}
	if err := drain(ctx, c, o.dataDir, instance); err != nil {
		return err
	}
	cluster := clusterOf(instance)
	asked := map[string]bool{}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		tasks, err := tasksOn(ctx, c, cluster, instance)
		if err != nil {
			return err
		}
		if len(tasks) == 0 {
			return nil
		}
		for _, arn := range tasks {
			if asked[arn] {
				continue
			}
			asked[arn] = true
			in := api.StopTaskRequest{Cluster: &cluster, Task: &arn, Reason: new("berth down")}
			if _, err := cli.Call[api.StopTaskResponse](ctx, c, cli.ECS, "StopTask", in); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d tasks still stop after %s", len(tasks), wait)
		case <-tick.C:
		}
	}
}

// tasksOn lists what is not yet STOPPED on an instance.
func tasksOn(ctx context.Context, c *cli.Client, cluster, instance string) ([]string, error) {
	var left []string
	for _, desired := range []api.DesiredStatus{api.DesiredStatusRunning, api.DesiredStatusStopped} {
		tasks, err := c.Tasks(ctx, cluster, desired, "", "")
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if aws.Value(t.ContainerInstanceArn) == instance && aws.Value(t.LastStatus) != "STOPPED" {
				left = append(left, aws.Value(t.TaskArn))
			}
		}
	}
	return left, nil
}

// endUp ends the `up` process, which ends its children.
func endUp(ctx context.Context, dataDir string) error {
	pid, err := strconv.Atoi(upPID(dataDir))
	if err != nil {
		return fmt.Errorf("read %s: %w", upLockPath(dataDir), err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end process %d: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, processWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for isUp(dataDir) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d did not end within %s: %w", pid, processWait, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
