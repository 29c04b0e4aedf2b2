package main

import (
	"github.com/spf13/cobra"

	"berth/agent/doctor"
	"berth/cli"
)

func doctorCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine: kernel, control groups, nftables, disk, ports, programs; each with its fix",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config := doctor.Config{DataDir: o.dataDir, Programs: doctor.DefaultPrograms()}
			if !isUp(o.dataDir) {
				config.Listen = []string{fromEnv("BERTH_LISTEN", defaultListen), fromEnv("BERTH_AGENT_LISTEN", defaultAgentListen)}
			}
			for i, p := range config.Programs {
				names := []string{p.Name}
				if p.Name == "tini" {
					names = []string{"tini-static", "tini", "catatonit"}
				}
				config.Programs[i].Path = program(names...)
				if p.Name == "haproxy" {
					config.Programs[i].Path = haproxyProgram()
				}
			}
			findings := doctor.Examine(cmd.Context(), config)
			w := cmd.OutOrStdout()
			err := cli.Print(w, o.output, findingsTable(findings, cli.IsTerminal(w)), findings)
			if err == nil && doctor.Worst(findings) == doctor.Fail {
				err = exitCode(cli.ExitFailed)
			}
			return err
		},
	}
}

// findingsTable has the fixes below the findings on a terminal, where they would not fit beside them.
func findingsTable(findings []doctor.Finding, terminal bool) cli.Table {
	t := cli.Table{Heading: []string{"CHECK", "RESULT", "DETAIL"}}
	for _, f := range findings {
		row := []string{f.Name, string(f.Status), f.Detail}
		if !terminal {
			row = append(row, f.Fix)
		}
		t.Rows = append(t.Rows, row)
		if terminal && f.Fix != "" {
			t.Rows = append(t.Rows, []string{"", "", "fix: " + f.Fix})
		}
	}
	return t
}
