package main

import (
	"fmt"

	"github.com/spf13/cobra"

	own "berth/api/berth"
	"berth/cli"
)

func whyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "why [TASK | TASK-DEFINITION | CLUSTER]",
		Short: "Explain, machine by machine, why a task is or is not placed",
		Example: "  berth why 3f2a           the task whose ID begins so, and its steps\n" +
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
			t := cli.Table{Heading: []string{"MACHINE", "FITS", "REASON", "DETAIL"}}
			for _, m := range why.Machines {
				t.Rows = append(t.Rows, []string{m.Machine, yesOrNo(m.Fits), m.Reason, m.Detail})
			}
			if err := cli.Print(w, "", t, nil); err != nil || len(why.Steps) == 0 {
				return err
			}
			fmt.Fprintln(w)
			steps := cli.Table{Heading: []string{"STEP", "STATE", "SINCE", "ERROR"}}
			for _, s := range why.Steps {
				steps.Rows = append(steps.Rows, []string{s.Name, s.State, clock(s.Since), s.Error})
			}
			return cli.Print(w, "", steps, nil)
		},
	}
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
