package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// names are the sections, in the order in which they run.
const names = "memory,start,scale,service,balance,failure,rest,api,page,place,store"

// bench is one run.
type bench struct {
	quick  bool
	binary string
	only   []string
	tasks  int // the most tasks of a service
	report *report
	berth  *berth
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := &bench{report: &report{out: os.Stdout}}
	fs.StringVar(&b.binary, "berth", "bin/berth", "the program to measure; runc is beside it or on the PATH")
	fs.BoolVar(&b.quick, "quick", os.Getenv("BENCH_QUICK") == "1", "fewer rounds and sizes: under three minutes")
	fs.IntVar(&b.tasks, "tasks", 0, "the most tasks of a service: 50, or 500, which is the default of a full run")
	only := fs.String("only", "", "sections, comma separated: "+names)
	compare := fs.String("compare", "", "only print the rates of addresses, NAME=URL or NAME=URL=PID,..., in turns: what a line of a HAProxy file costs")
	bare := fs.Bool("bare-http", false, "be the baseline of the API section; used by this program itself")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if b.tasks == 0 {
		b.tasks = pick(b, 500, 50)
	}
	if *bare {
		return serveBare(ctx, os.Stdout)
	}
	if *compare != "" {
		return b.compare(ctx, *compare)
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	fmt.Printf("%s, %d CPUs, load before %s\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), runtime.NumCPU(), loadAverage())
	return b.sections(ctx)
}

func (b *bench) wants(section string) bool {
	return len(b.only) == 0 || slices.Contains(b.only, section)
}

// sections runs everything that was asked for. What fails in one section does not keep the others from running.
func (b *bench) sections(ctx context.Context) error {
	var errs []error
	try := func(name string, f func(context.Context) error) {
		if !b.wants(name) || ctx.Err() != nil {
			return
		}
		began := time.Now()
		if err := f(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		b.report.note("(%s took %s, load after it %s)", name, time.Since(began).Round(time.Second), loadAverage())
	}
	with := func(f func()) {
		err := b.withBerth(ctx, f)
		errs = append(errs, err)
	}
	if b.wants("memory") || b.wants("start") || b.wants("scale") || b.wants("service") {
		with(func() {
			try("memory", b.memoryAtRest)
			try("start", b.start)
			try("scale", b.scale)
			try("service", b.service)
		})
	}
	if b.wants("balance") || b.wants("failure") || b.wants("rest") {
		with(func() {
			try("balance", b.balance)
			try("failure", b.failures)
			try("rest", b.atRest)
		})
	}
	if b.wants("api") {
		with(func() { try("api", b.api) })
	}
	try("page", b.pages)
	try("place", b.placements)
	try("store", b.commits)
	return errors.Join(errs...)
}

// loadAverage is the machine's over the last 1, 5 and 15 minutes.
func loadAverage() string {
	data, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(data))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func (b *bench) withBerth(ctx context.Context, f func()) (err error) {
	if b.berth, err = startBerth(ctx, b.binary); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.berth.end()) }()
	f()
	return nil
}

// pick is the figure for a full run, or the one for a quick run.
func pick[T any](b *bench, full, quick T) T {
	if b.quick {
		return quick
	}
	return full
}
