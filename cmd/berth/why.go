package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
)

func whyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "why [TASK | SERVICE | DEPLOYMENT | LOAD-BALANCER | TARGET | TASK-DEFINITION | CLUSTER]",
		Short: "Explain why a task is not placed, a service not steady, a load balancer silent, a target not healthy",
		Example: "  berth why web            what keeps the service from being steady\n" +
			"  berth why web-lb         who serves the load balancer's listeners, and what is in the way\n" +
			"  berth why web-group      how each target of the group answered its last health check\n" +
			"  berth why 3f2a           the task whose ID begins so, and its steps\n" +
			"  berth why web:7          where one more task of that definition would fit\n" +
			"  berth why default        what each machine of the cluster has left",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			in := own.ExplainRequest{Cluster: o.cluster}
			if len(args) > 0 {
				in.Subject = args[0]
			}
			why, err := cli.Call[own.ExplainResponse](cmd.Context(), c, cli.Own, "Explain", in)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if o.output == "json" {
				return cli.PrintJSON(w, why)
			}
			fmt.Fprintln(w, why.Summary)
			for _, reason := range why.Reasons {
				if !strings.HasSuffix(why.Summary, reason) {
					fmt.Fprintln(w, "  "+reason)
				}
			}
			for _, t := range whyTables(why) {
				if len(t.Rows) == 0 {
					continue
				}
				fmt.Fprintln(w)
				if err := cli.Print(w, "", t, nil); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// whyTables are what addresses, machines, targets and steps say.
func whyTables(why *own.ExplainResponse) []cli.Table {
	machines := cli.Table{Heading: []string{"MACHINE", "FITS", "REASON", "DETAIL"}}
	for _, m := range why.Machines {
		machines.Rows = append(machines.Rows, []string{m.Machine, yesOrNo(m.Fits), m.Reason, m.Detail})
	}
	addresses := cli.Table{Heading: []string{"LISTENER", "MACHINE", "SERVED", "ADDRESS THERE", "ADDRESS FOR OTHERS"}}
	for _, a := range why.Addresses {
		addresses.Rows = append(addresses.Rows, []string{fmt.Sprintf("%s:%d", a.Protocol, a.Port), lastPart(a.Machine), yesOrNo(a.Served), a.Local, a.Public})
	}
	targets := cli.Table{Heading: []string{"TARGET", "STATE", "TASK", "LAST PROBE"}}
	for _, t := range why.Targets {
		said := cmp.Or(strings.Join(t.Probes, "; "), t.Description, t.Summary)
		targets.Rows = append(targets.Rows, []string{cmp.Or(t.Target, "-"), t.State, cmp.Or(t.Task, "-"), said})
	}
	steps := cli.Table{Heading: []string{"STEP", "STATE", "SINCE", "ERROR"}}
	for _, s := range why.Steps {
		steps.Rows = append(steps.Rows, []string{s.Name, s.State, clock(s.Since), s.Error})
	}
	return []cli.Table{addresses, machines, targets, steps}
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
