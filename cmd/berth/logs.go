package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"berth/cli"
)

// followEvery is how often `berth logs -f` asks for new lines and new replicas.
const followEvery = time.Second

func logsCommand(o *options) *cobra.Command {
	var (
		follow bool
		since  time.Duration
	)
	cmd := &cobra.Command{
		Use:               "logs TASK|SERVICE|FAMILY",
		Short:             "Show the log lines of all replicas and containers, merged in time order",
		Example:           "  berth logs -f web\n  berth logs --since 10m 3f2a",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			var start time.Time
			if since > 0 {
				start = time.Now().Add(-since)
			}
			p := &logPrinter{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: o.output == "json", colour: cli.Colour(cmd.OutOrStdout())}
			return showLogs(cmd.Context(), c, o.cluster, args[0], start, follow, p)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more; new replicas join by themselves")
	cmd.Flags().DurationVar(&since, "since", 0, "only lines younger than this, such as 10m")
	return cmd
}

func showLogs(ctx context.Context, c *cli.Client, cluster, subject string, start time.Time, follow bool, p *logPrinter) error {
	var f cli.Follower
	for {
		tasks, err := c.FindTasks(ctx, cluster, subject)
		if err != nil {
			return stopped(ctx, err)
		}
		sources, other, err := c.LogSources(ctx, tasks)
		if err != nil {
			return stopped(ctx, err)
		}
		p.without(other)
		lines, err := c.ReadLogs(ctx, sources, f.Since(start))
		if err != nil {
			return stopped(ctx, err)
		}
		if err := p.print(f.New(lines)); err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}

// stopped hides the error that ends a call when the person pressed Ctrl-C.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// logPrinter writes log lines; each replica has a colour on a terminal.
type logPrinter struct {
	out, notes   io.Writer
	json, colour bool
	colours      map[string]int
	warned       map[string]bool
}

// palette has the ANSI colours that read well on dark and light grounds.
var palette = [...]int{36, 33, 32, 35, 34, 31}

func (p *logPrinter) print(lines []cli.LogLine) error {
	for _, l := range lines {
		if p.json {
			data, err := json.Marshal(l)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "%s\n", data)
			continue
		}
		prefix := fmt.Sprintf("%s %s/%s", l.Time.Local().Format("15:04:05.000"), short(l.Task), l.Name)
		if p.colour {
			prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", p.colourOf(l.Task), prefix)
		}
		if _, err := fmt.Fprintf(p.out, "%s  %s\n", prefix, strings.TrimRight(l.Message, "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (p *logPrinter) colourOf(task string) int {
	if p.colours == nil {
		p.colours = map[string]int{}
	}
	if _, ok := p.colours[task]; !ok {
		p.colours[task] = palette[len(p.colours)%len(palette)]
	}
	return p.colours[task]
}

// without says once which containers have no lines here.
func (p *logPrinter) without(containers []string) {
	for _, name := range containers {
		if p.warned[name] {
			continue
		}
		if p.warned == nil {
			p.warned = map[string]bool{}
		}
		p.warned[name] = true
		fmt.Fprintf(p.notes, "%s does not log through awslogs: its lines stay on its machine\n", name)
	}
}
