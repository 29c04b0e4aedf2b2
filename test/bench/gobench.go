package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// goBench runs benchmarks of one package and returns the metrics of each by its name.
func goBench(ctx context.Context, pkg, pattern, benchtime string) (names []string, metrics map[string]map[string]float64, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "xxx", "-bench", pattern, "-benchtime", benchtime, "-timeout", "20m", pkg)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, nil, fmt.Errorf("go test %s: %w: %s", pkg, err, out)
	}
	metrics = map[string]map[string]float64{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name, ok := strings.CutPrefix(line, "Benchmark")
		if !ok || len(fields) < 4 {
			continue
		}
		name, _, _ = strings.Cut(name, "\t")
		name = strings.TrimSpace(name)
		if cut := strings.LastIndex(name, "-"); cut > 0 {
			name = name[:cut] // the number of CPUs
		}
		m := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			m[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64)
		}
		names, metrics[name] = append(names, name), m
	}
	return names, metrics, nil
}

// placements prints the benchmark of ecs/placement. Its baseline is the same at 100 machines: how it grows.
func (b *bench) placements(ctx context.Context) error {
	names, all, err := goBench(ctx, "./ecs/placement", "^BenchmarkPlace$", pick(b, "1s", "100ms"))
	if err != nil {
		return err
	}
	b.report.section("Placements in memory", "One task a call; the end of an older task is part of the time once machines are half full. Aim: 100,000 a second on 10,000 machines, spread included.",
		"strategy", "machines", "placements", "over 100 machines", "aim")
	for _, name := range names {
		rest, machines, _ := strings.Cut(strings.TrimPrefix(name, "Place/"), "/instances=")
		perSecond := 1e9 / all[name]["ns/op"]
		small := 1e9 / all["Place/"+rest+"/instances=100"]["ns/op"]
		aim := ""
		if machines == "10000" {
			aim = "> 100,000/s: missed"
			if perSecond > 100_000 {
				aim = "> 100,000/s: met"
			}
		}
		b.report.row(strings.ReplaceAll(rest, "_", " "), machines, rate(perSecond), fmt.Sprintf("%.2f", perSecond/small), aim)
	}
	return nil
}

// pages prints the benchmark of ecs: the same operations without HTTP, where load of the machine disturbs less. The
// baseline is the same at 100 stored tasks.
func (b *bench) pages(ctx context.Context) error {
	names, all, err := goBench(ctx, "./ecs", "^BenchmarkPage$", pick(b, "2000x", "300x"))
	if err != nil {
		return err
	}
	b.report.section("Operations without HTTP", "The handlers alone, on the store in memory. Aim: a page costs the same however many tasks are stored.",
		"operation", "stored", "each", "over 100 stored")
	for _, name := range names {
		op, stored, _ := strings.Cut(strings.TrimPrefix(name, "Page/"), "/")
		each, small := all[name]["ns/op"], all["Page/"+op+"/100"]["ns/op"]
		b.report.row(op, stored, fmt.Sprintf("%.1f µs", each/1000), fmt.Sprintf("%.2f", each/small))
	}
	return nil
}

// commits prints the benchmark of store/etcd, which has its own baseline.
func (b *bench) commits(ctx context.Context) error {
	names, all, err := goBench(ctx, "./store/etcd", "^BenchmarkCommit$", pick(b, "3000x", "400x"))
	if err != nil {
		return err
	}
	b.report.section("Store commits", "Updates of one record of 600 bytes, fsynced, against bare puts of the same bytes into the same kind of etcd, in turns. Aim: above 0.8 for one writer, far above with more.",
		"writers, records each", "commits", "bare etcd, puts of one record", "ratio of records", "aim")
	for _, name := range names {
		m := all[name]
		aim := "> 0.8: missed"
		if m["ratio"] > 0.8 {
			aim = "> 0.8: met"
		}
		b.report.row(strings.ReplaceAll(strings.TrimPrefix(name, "Commit/writers="), "/records=", ", "), rate(m["commits/s"]), rate(m["bare-puts/s"]), fmt.Sprintf("%.2f", m["ratio"]), aim)
	}
	return nil
}
