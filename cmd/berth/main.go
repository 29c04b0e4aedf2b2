// Command berth is Amazon ECS that you can run anywhere. This file has the root command; each sub-command has a file
// of its own.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"berth/agent/oci"
	"berth/cli"
)

// version is set by the linker.
var version = "unknown"

func main() {
	// Unpacking an image runs this program again in a namespace of its own.
	if oci.Init() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		os.Exit(int(code))
	}
	os.Exit(cli.Report(os.Stderr, err))
}

// exitCode ends the program with that code and no further word.
type exitCode int

func (exitCode) Error() string { return "" }

// options are the flags that every command takes.
type options struct {
	dataDir, cluster, region, output string
	dataDirGiven                     bool
}

func rootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "berth",
		Short:         "Amazon ECS that you can run anywhere",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			o.dataDirGiven = cmd.Flags().Changed("data-dir") || os.Getenv("BERTH_DATA_DIR") != ""
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &cli.Failure{What: err.Error(), Fix: cmd.CommandPath() + " --help", Exit: cli.ExitUsage}
	})
	f := root.PersistentFlags()
	f.StringVar(&o.dataDir, "data-dir", fromEnv("BERTH_DATA_DIR", cli.DefaultDataDir), "the Berth of this machine that keeps its data here")
	f.StringVar(&o.cluster, "cluster", fromEnv("BERTH_CLUSTER", "default"), "cluster, by name or ARN")
	f.StringVar(&o.region, "region", os.Getenv("BERTH_REGION"), "region (default: the one in the environment or of this Berth)")
	f.StringVarP(&o.output, "output", "o", "", "json, or a table")
	for _, flag := range []struct {
		name     string
		complete func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)
	}{
		{"cluster", o.completeClusters},
		{"output", cobra.FixedCompletions([]string{"json", "table"}, cobra.ShellCompDirectiveNoFileComp)},
	} {
		_ = root.RegisterFlagCompletionFunc(flag.name, flag.complete)
	}
	root.AddCommand(
		upCommand(o), downCommand(o), serverCommand(o), agentCommand(o), tokenCommand(o), envCommand(o),
		statusCommand(o), doctorCommand(o), psCommand(o), logsCommand(o), whyCommand(o), imageCommand(o),
		backupCommand(o), restoreCommand(o), versionCommand(o), portProxyCommand(), pauseCommand(),
	)
	return root
}

func fromEnv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// client finds the Berth to talk to.
func (o *options) client() (*cli.Client, error) {
	c, err := cli.Connect(o.dataDir, o.dataDirGiven, o.region)
	if err != nil {
		return nil, err
	}
	return cli.NewClient(c), nil
}
