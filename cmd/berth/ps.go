package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	api "berth/api/ecs"
	"berth/aws"
	"berth/cli"
)

func psCommand(o *options) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List tasks with their state, ports and machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			tasks, err := c.Tasks(cmd.Context(), o.cluster, api.DesiredStatusRunning, "", "")
			if err != nil {
				return err
			}
			stopped, err := c.Tasks(cmd.Context(), o.cluster, api.DesiredStatusStopped, "", "")
			if err != nil {
				return err
			}
			for _, t := range stopped {
				if all || aws.Value(t.LastStatus) != "STOPPED" {
					tasks = append(tasks, t)
				}
			}
			t := cli.Table{Heading: []string{"TASK", "DEFINITION", "STATUS", "HEALTH", "AGE", "PORTS", "MACHINE", "NOTE"}}
			for _, task := range tasks {
				t.Rows = append(t.Rows, taskRow(task, time.Now()))
			}
			return cli.Print(cmd.OutOrStdout(), o.output, t, tasks)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "stopped tasks too")
	return cmd
}

func taskRow(t api.Task, now time.Time) []string {
	status := aws.Value(t.LastStatus)
	if desired := aws.Value(t.DesiredStatus); desired == "STOPPED" && status != desired {
		status += " (stopping)"
	}
	health := strings.ToLower(string(t.HealthStatus))
	if t.HealthStatus == api.HealthStatusUnknown {
		health = "-"
	}
	return []string{
		short(cli.TaskID(aws.Value(t.TaskArn))), cli.Revision(aws.Value(t.TaskDefinitionArn)), status, health,
		age(t, now), ports(t), short(lastPart(aws.Value(t.ContainerInstanceArn))), note(t),
	}
}

func age(t api.Task, now time.Time) string {
	if t.CreatedAt == nil {
		return ""
	}
	d := now.Sub(t.CreatedAt.Time)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// ports lists the published ports once, although each stands for IPv4 and IPv6.
func ports(t api.Task) string {
	var list []string
	seen := map[string]bool{}
	for _, c := range t.Containers {
		for _, b := range c.NetworkBindings {
			text := fmt.Sprintf("%d->%d/%s", aws.Value(b.HostPort), aws.Value(b.ContainerPort), b.Protocol)
			if b.HostPortRange != nil {
				text = fmt.Sprintf("%s->%s/%s", *b.HostPortRange, aws.Value(b.ContainerPortRange), b.Protocol)
			}
			if !seen[text] {
				seen[text] = true
				list = append(list, text)
			}
		}
	}
	return strings.Join(list, ",")
}

// note says why a task stopped, or what ails it.
func note(t api.Task) string {
	text := aws.Value(t.StoppedReason)
	for _, c := range t.Containers {
		switch {
		case c.Reason != nil:
			text += fmt.Sprintf("; %s: %s", aws.Value(c.Name), *c.Reason)
		case c.ExitCode != nil && *c.ExitCode != 0:
			text += fmt.Sprintf("; %s: exit code %d", aws.Value(c.Name), *c.ExitCode)
		}
	}
	return strings.TrimPrefix(text, "; ")
}

// short is enough of an ID to tell it from others: twelve digits are the time of its making, which tasks of one call share.
func short(id string) string { return id[:min(len(id), 18)] }

func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("15:04:05.000")
}
