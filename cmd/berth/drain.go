package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	api "berth/api/ecs"
	"berth/aws"
	"berth/cli"
)

// drainedPath is a file that `berth down` leaves when it has set this machine to DRAINING, so that services start
// nothing on it any more; `berth up` sets it to ACTIVE again. It has the ARN of the container instance.
func drainedPath(dataDir string) string { return filepath.Join(dataDir, "run", "drained") }

// drain sets this machine to DRAINING. One that was set so by a person stays so.
func drain(ctx context.Context, c *cli.Client, dataDir, instance string) error {
	cluster := clusterOf(instance)
	out, err := cli.Call[api.DescribeContainerInstancesResponse](ctx, c, cli.ECS, "DescribeContainerInstances",
		api.DescribeContainerInstancesRequest{Cluster: &cluster, ContainerInstances: []string{instance}})
	if err != nil {
		return err
	}
	if len(out.ContainerInstances) == 0 || aws.Value(out.ContainerInstances[0].Status) != string(api.ContainerInstanceStatusActive) {
		return nil
	}
	if err := os.WriteFile(drainedPath(dataDir), []byte(instance), 0o600); err != nil {
		return fmt.Errorf("remember that the machine is drained: %w", err)
	}
	return setInstance(ctx, c, instance, api.ContainerInstanceStatusDraining)
}

// undrain takes back what drain did.
func undrain(ctx context.Context, o *options) error {
	instance, err := os.ReadFile(drainedPath(o.dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read whether the machine was drained: %w", err)
	}
	conn, err := cli.Local(o.dataDir)
	if err != nil {
		return err
	}
	if err := setInstance(ctx, cli.NewClient(conn), string(instance), api.ContainerInstanceStatusActive); err != nil {
		return err
	}
	return os.Remove(drainedPath(o.dataDir))
}

func setInstance(ctx context.Context, c *cli.Client, instance string, status api.ContainerInstanceStatus) error {
	cluster := clusterOf(instance)
	_, err := cli.Call[api.UpdateContainerInstancesStateResponse](ctx, c, cli.ECS, "UpdateContainerInstancesState",
		api.UpdateContainerInstancesStateRequest{Cluster: &cluster, ContainerInstances: []string{instance}, Status: status})
	return err
}
