package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
)

func statusCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the health of each part, the machines and the tasks; exit code 0 only if all is well",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			s, err := cli.Call[own.GetStatusResponse](cmd.Context(), c, cli.Own, "GetStatus", own.GetStatusRequest{})
			if err != nil {
				return err
			}
			if o.output == "json" {
				err = cli.PrintJSON(cmd.OutOrStdout(), s)
			} else {
				err = printStatus(cmd.OutOrStdout(), s, time.Now())
			}
			if err == nil && !s.Healthy() {
				err = exitCode(cli.ExitFailed)
			}
			return err
		},
	}
}

func printStatus(w io.Writer, s *own.GetStatusResponse, now time.Time) error {
	parts := cli.Table{Heading: []string{"PART", "HEALTH", "DETAIL"}}
	for _, p := range s.Parts {
		parts.Rows = append(parts.Rows, []string{p.Name, wellOrNot(p.Healthy), p.Detail})
	}
	if err := cli.Print(w, "", parts, nil); err != nil {
		return err
	}
	machines := cli.Table{Heading: []string{"MACHINE", "CLUSTER", "STATUS", "AGENT", "RUNNING", "PENDING", "CPU FREE", "MEMORY FREE", "NOTE"}}
	for _, m := range s.Machines {
		agent := "connected"
		if !m.Connected {
			agent = "disconnected"
			if !m.LastSeen.IsZero() {
				agent += " for " + now.Sub(m.LastSeen).Round(time.Second).String()
			}
			if left := m.LostAt.Sub(now); left > 0 {
				agent += ", lost in " + left.Round(time.Second).String()
			} else if !m.LostAt.IsZero() {
				agent += ", lost"
			}
		}
		machines.Rows = append(machines.Rows, []string{
			lastPart(m.Arn), m.Cluster, m.Status, agent, strconv.Itoa(m.Running), strconv.Itoa(m.Pending),
			fmt.Sprintf("%d/%d", m.CPUFree, m.CPUTotal), fmt.Sprintf("%d/%d MiB", m.MemoryFree, m.MemoryTotal), troubleOf(m),
		})
	}
	fmt.Fprintln(w)
	if err := cli.Print(w, "", machines, nil); err != nil {
		return err
	}
	for _, notice := range s.Notices {
		fmt.Fprintln(w, "\n"+notice)
	}
	_, err := fmt.Fprintf(w, "\ntasks: %d running, %d pending, %d stopping; account %s, region %s, version %s\n",
		s.Tasks.Running, s.Tasks.Pending, s.Tasks.Stopping, s.Account, s.Region, s.Version)
	return err
}

// troubleOf is what is wrong with a machine.
func troubleOf(m own.Machine) string {
	if m.Hindered == "" {
		return m.Impaired
	}
	return strings.TrimPrefix(m.Impaired+"; ", "; ") + "load balancers: " + m.Hindered
}

func wellOrNot(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAILED"
}
