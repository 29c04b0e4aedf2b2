// Package doctor examines a machine for what Berth needs and says how to put right what is missing.
//
// Collect reads facts and makes short trials that leave nothing behind; it sends no packet. Check is pure: facts in,
// findings out. Together they are Examine.
package doctor

import "context"

// Status of one finding.
type Status string

// Statuses. Warn means that Berth works with a restriction, which Detail names.
const (
	Pass Status = "pass"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is one line of the answer.
type Finding struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Detail says what was found, with numbers.
	Detail string `json:"detail"`
	// Fix is a command or an action; empty when the status is Pass.
	Fix string `json:"fix,omitempty"`
}

// Config says what to look at.
type Config struct {
	// DataDir need not exist yet.
	DataDir string
	// Listen are the host:port addresses that Berth will take. Leave those out that a running Berth holds.
	Listen []string
	// Programs are looked for by Path, or in PATH by Name.
	Programs []Program
}

// Program is one that Berth runs beside itself.
type Program struct {
	Name string
	Path string // empty: search PATH
	// Required makes a missing program a failure, else it is a warning with Use.
	Required bool
	// AnyOf names a group of which one is enough ("OCI runtime").
	AnyOf string
	// Use says what is missing without it.
	Use string
	// Min is the lowest version that works, as "1.1.5"; empty means any.
	Min string
	// Fix installs it.
	Fix string
}

// DefaultPrograms are those of a machine that runs tasks.
func DefaultPrograms() []Program {
	return []Program{
		{Name: "conmon", Required: true, Min: "2.1", Use: "every container has one as its monitor", Fix: "apt-get install -y conmon"},
		{Name: "runc", AnyOf: "OCI runtime", Min: "1.1", Use: "runs containers", Fix: "apt-get install -y runc"},
		{Name: "crun", AnyOf: "OCI runtime", Min: "1.8", Use: "runs containers where only cgroup v2 is mounted", Fix: "apt-get install -y crun"},
		{Name: "tini", Use: "linuxParameters.initProcessEnabled", Fix: "apt-get install -y tini"},
		{Name: "haproxy", Min: "2.4", Use: "load balancers", Fix: "apt-get install -y haproxy"},
	}
}

// Examine collects facts and checks them.
func Examine(ctx context.Context, cfg Config) []Finding { return Check(Collect(ctx, cfg)) }

// Worst is the gravest status of the findings.
func Worst(findings []Finding) Status {
	worst := Pass
	for _, f := range findings {
		if f.Status == Fail || worst == Pass {
			worst = f.Status
		}
		if worst == Fail {
			break
		}
	}
	return worst
}
