// Command berth is Amazon ECS that you can run anywhere. This file has the root command; each sub-command has a file
// of its own.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
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
	o := &options{}
	cmd, err := rootCommand(o).ExecuteContextC(ctx)
	stop()
	if err == nil {
		return
	}
	err = usage(cmd, err, o.begun)
	if code, ok := errors.AsType[exitCode](err); ok {
		os.Exit(int(code))
	}
	os.Exit(cli.Report(os.Stderr, err))
}

// usage makes of what cobra says about a command line an error with a fix. begun tells that a command ran.
func usage(cmd *cobra.Command, err error, begun bool) error {
	if _, told := errors.AsType[*cli.Failure](err); told || begun {
		return err
	}
	out := &cli.Failure{What: err.Error(), Fix: cmd.CommandPath() + " --help", Exit: cli.ExitUsage}
	form, _, _ := strings.Cut(cmd.UseLine(), " [flags]")
	if count := miscounted.FindStringSubmatch(out.What); count != nil {
		out.What, out.Cause = "the number of arguments is wrong", "it is "+form+", and "+count[1]+" were given"
		if _, arguments, _ := strings.Cut(form, cmd.CommandPath()+" "); count[1] == "0" && arguments != "" {
			out.What = "missing: " + strings.ReplaceAll(arguments, " | ", " or ")
		}
	}
	if number := negative.FindString(out.What); number != "" {
		out.What, out.Cause = number+" cannot be given here", "it is "+form+", and no number may be negative"
	}
	return out
}

// What cobra and pflag say of too few or many arguments, and of a negative number, which they take for a flag.
var (
	miscounted = regexp.MustCompile(`^accepts .* arg\(s\), received (\d+)$`)
	negative   = regexp.MustCompile(`-\d+$`)
)

// exitCode ends the program with that code and no further word.
type exitCode int

func (exitCode) Error() string { return "" }

// options are the flags that every command takes.
type options struct {
	dataDir, cluster, region, output string
	dataDirGiven                     bool
	begun                            bool // the command line was right, and a command runs
}

// outputs is the annotation of a command that has other outputs than json and table.
const outputs = "outputs"

func rootCommand(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:           "berth",
		Short:         "Amazon ECS that you can run anywhere",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			o.dataDirGiven = cmd.Flags().Changed("data-dir") || os.Getenv("BERTH_DATA_DIR") != ""
			o.begun = true
			return checkOutput(cmd, o.output)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&o.dataDir, "data-dir", fromEnv("BERTH_DATA_DIR", cli.DefaultDataDir), "folder in which the Berth of this machine keeps everything; when given, AWS_ENDPOINT_URL is not asked")
	f.StringVar(&o.cluster, "cluster", fromEnv("BERTH_CLUSTER", "default"), "cluster, by name or ARN")
	f.StringVar(&o.region, "region", os.Getenv("BERTH_REGION"), "region (default: the one in the environment or of this Berth)")
	f.StringVarP(&o.output, "output", "o", "", "json or table")
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
		statusCommand(o), doctorCommand(o), psCommand(o), logsCommand(o), deployCommand(o), rollbackCommand(o), scaleCommand(o), waitCommand(o), eventsCommand(o), urlCommand(o), metricsCommand(o), whyCommand(o), imageCommand(o),
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

func checkOutput(cmd *cobra.Command, output string) error {
	known := []string{"table", "json"}
	if more := cmd.Annotations[outputs]; more != "" {
		known = append(known, more)
	}
	if output == "" || slices.Contains(known, output) {
		return nil
	}
	return &cli.Failure{What: "unknown output " + output, Fix: "-o " + strings.Join(known, ", -o "), Exit: cli.ExitUsage}
}

// group is a command that only has sub-commands.
func group(use, about string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: about, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// client finds the Berth to talk to.
func (o *options) client() (*cli.Client, error) {
	c, err := cli.Connect(o.dataDir, o.dataDirGiven, o.region)
	if err != nil {
		return nil, err
	}
	return cli.NewClient(c), nil
}
