package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Shapes of the API, as far as they are needed.
type (
	task struct {
		TaskArn, LastStatus, StoppedReason string
		CreatedAt                          float64
		Containers                         []container
	}
	container struct {
		RuntimeID, Reason string
		NetworkBindings   []struct{ HostPort int }
	}
	tasks struct {
		Tasks    []task
		Failures []struct{ Arn, Reason string }
	}
	object = map[string]any
)

// definition is the family of the task that is started: one container that waits for its signal to stop.
const definition = "waiting"

// longestWait is for tasks to start or stop, hundreds of them on a busy machine.
const longestWait = 15 * time.Minute

// makeImage builds the program for containers below dir and returns the directory of its root file system.
func makeImage(ctx context.Context, dir string) (string, error) {
	root := filepath.Join(dir, "image")
	for _, d := range []string{"bin", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(root, "bin", "probe"), "./test/e2e/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the container's program: %w: %s", err, out)
	}
	return root, nil
}

// define pushes the image and registers the definition.
func (b *berth) define(ctx context.Context, root, name string, command ...string) error {
	image, err := b.command(ctx, "image", "push", root, name, "-o", "name")
	if err != nil {
		return err
	}
	return b.call(ctx, "RegisterTaskDefinition", object{"family": definition, "containerDefinitions": []object{
		{"name": "main", "image": image, "memory": 6, "command": command,
			// A program that has not got so far as to listen to SIGTERM ignores it.
			"stopTimeout": 2},
	}}, nil)
}

func (b *berth) runTasks(ctx context.Context, count int) ([]string, error) {
	var out tasks
	if err := b.call(ctx, "RunTask", object{"taskDefinition": definition, "count": count}, &out); err != nil {
		return nil, err
	}
	if len(out.Tasks) != count {
		return nil, fmt.Errorf("RunTask: %d of %d tasks: %v", len(out.Tasks), count, out.Failures)
	}
	var arns []string
	for _, t := range out.Tasks {
		arns = append(arns, t.TaskArn)
	}
	return arns, nil
}

// describe asks for a hundred at a time, as many as DescribeTasks takes.
func (b *berth) describe(ctx context.Context, arns []string) (all []task, err error) {
	for some := range slices.Chunk(arns, 100) {
		var out tasks
		if err := b.call(ctx, "DescribeTasks", object{"tasks": some}, &out); err != nil {
			return nil, err
		}
		if len(out.Tasks) != len(some) {
			return nil, fmt.Errorf("DescribeTasks: %d of %d tasks: %v", len(out.Tasks), len(some), out.Failures)
		}
		all = append(all, out.Tasks...)
	}
	return all, nil
}

// until asks again and again, with a pause, and calls seen for each task when it is first seen in the status.
func (b *berth) until(ctx context.Context, arns []string, status string, pause time.Duration, seen func(task)) error {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	left := slices.Clone(arns)
	for len(left) > 0 {
		now, err := b.describe(ctx, left)
		if err != nil {
			return err
		}
		left = left[:0]
		for _, t := range now {
			switch {
			case t.LastStatus == status:
				seen(t)
			case t.LastStatus == "STOPPED":
				return fmt.Errorf("task %s stopped: %s %v", t.TaskArn, t.StoppedReason, t.Containers)
			default:
				left = append(left, t.TaskArn)
			}
		}
		if len(left) > 0 {
			time.Sleep(pause)
		}
	}
	return nil
}

// stopTasks stops tasks and waits until they are gone.
func (b *berth) stopTasks(ctx context.Context, arns []string) error {
	var errs []error
	for _, arn := range arns {
		errs = append(errs, b.call(ctx, "StopTask", object{"task": arn}, nil))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return b.until(ctx, arns, "STOPPED", 20*time.Millisecond, func(task) {})
}
