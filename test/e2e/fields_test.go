package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// view is what the probe's "tell" writes.
type view struct {
	UID, GID, PID       int
	Hostname, Dir, Init string
	Args, Env           []string
	Status              map[string]string
	RootWritable        bool
	Mounts              map[string]string
	Files               map[string]string
	Processes           []string
	Links               []string
}

// defaultCapabilities is what a container has unless told otherwise: Docker's default set without NET_RAW.
const defaultCapabilities = "00000000a80405fb"

// Each row is a field of a container definition and what the container must see of it.
func TestFieldsOfContainersAreActedOn(t *testing.T) {
	shared(t)
	for _, row := range []struct {
		name      string
		container string // JSON of the container beside name, image, memory, command and the volume
		task      string // JSON of the task
		holds     func(v view) bool
	}{
		{"defaults", ``, ``, func(v view) bool {
			return v.UID == 0 && v.PID == 1 && v.Status["CapEff"] == defaultCapabilities && v.Status["NoNewPrivs"] == "1" && v.Status["Seccomp"] == "2" && v.RootWritable &&
				slices.Equal(v.Links, []string{"lo", "eth0"}) && strings.HasPrefix(v.Mounts["/proc/sys"], "proc ro,") && len(v.Processes) == 1
		}},
		{"user", `"user":"1000:2000"`, ``, func(v view) bool { return v.UID == 1000 && v.GID == 2000 && v.Status["CapEff"] == "0000000000000000" }},
		{"workingDirectory", `"workingDirectory":"/data"`, ``, func(v view) bool { return v.Dir == "/data" }},
		{"hostname", `"hostname":"box"`, ``, func(v view) bool { return v.Hostname == "box" && strings.Contains(v.Files["/etc/hosts"], "box") }},
		{"environment", `"environment":[{"name":"A","value":"b c"}]`, ``, func(v view) bool { return slices.Contains(v.Env, "A=b c") }},
		{"entryPoint", `"entryPoint":["/bin/probe","tell"],"command":["/out/view","0","more"]`, ``, func(v view) bool {
			return strings.Join(v.Args, " ") == "/bin/probe tell /out/view 0 more"
		}},
		{"readonlyRootFilesystem", `"readonlyRootFilesystem":true`, ``, func(v view) bool { return !v.RootWritable }},
		{"privileged", `"privileged":true`, ``, func(v view) bool { return v.Status["Seccomp"] == "0" && v.Status["CapEff"] > defaultCapabilities }},
		{"ulimits", `"ulimits":[{"name":"msgqueue","softLimit":1234,"hardLimit":2345}]`, ``, func(v view) bool {
			_, limit, _ := strings.Cut(v.Files["/proc/self/limits"], "Max msgqueue size")
			return strings.HasPrefix(strings.Join(strings.Fields(limit), " "), "1234 2345")
		}},
		{"dnsServers, dnsSearchDomains", `"dnsServers":["192.0.2.53"],"dnsSearchDomains":["example.test"]`, ``, func(v view) bool {
			return strings.Contains(v.Files["/etc/resolv.conf"], "nameserver 192.0.2.53") && strings.Contains(v.Files["/etc/resolv.conf"], "search example.test")
		}},
		{"extraHosts", `"extraHosts":[{"hostname":"db","ipAddress":"192.0.2.7"}]`, ``, func(v view) bool {
			return slices.Contains(strings.Fields(v.Files["/etc/hosts"]), "db") && strings.Contains(v.Files["/etc/hosts"], "192.0.2.7")
		}},
		{"dockerSecurityOptions", `"dockerSecurityOptions":["no-new-privileges:false"]`, ``, func(v view) bool { return v.Status["NoNewPrivs"] == "0" }},
		{"systemControls", `"systemControls":[{"namespace":"net.core.somaxconn","value":"2048"}]`, ``, func(v view) bool {
			return strings.TrimSpace(v.Files["/proc/sys/net/core/somaxconn"]) == "2048"
		}},
		{"capabilities drop ALL", `"linuxParameters":{"capabilities":{"drop":["ALL"]}}`, ``, func(v view) bool { return v.Status["CapEff"] == "0000000000000000" }},
		{"capabilities add", `"linuxParameters":{"capabilities":{"add":["NET_ADMIN"]}}`, ``, func(v view) bool { return v.Status["CapEff"] == "00000000a80415fb" }},
		{"initProcessEnabled", `"linuxParameters":{"initProcessEnabled":true}`, ``, func(v view) bool { return v.PID != 1 && v.Init != "probe" }},
		{"tmpfs", `"linuxParameters":{"tmpfs":[{"containerPath":"/scratch","size":16,"mountOptions":["noexec"]}]}`, ``, func(v view) bool {
			m := v.Mounts["/scratch"]
			return strings.HasPrefix(m, "tmpfs") && strings.Contains(m, "size=16384k") && strings.Contains(m, "noexec")
		}},
		{"sharedMemorySize", `"linuxParameters":{"sharedMemorySize":32}`, ``, func(v view) bool { return strings.Contains(v.Mounts["/dev/shm"], "size=32768k") }},
		{"devices", `"linuxParameters":{"devices":[{"hostPath":"/dev/null","containerPath":"/dev/extra"}]}`, ``, func(v view) bool {
			return strings.Contains(v.Files["/dev/extra"], "D")
		}},
		{"networkMode none", ``, `"networkMode":"none"`, func(v view) bool { return slices.Equal(v.Links, []string{"lo"}) }},
		{"networkMode host", ``, `"networkMode":"host"`, func(v view) bool {
			host, _ := os.Hostname()
			return v.Hostname == host && len(v.Links) > 1
		}},
		{"pidMode host", ``, `"pidMode":"host"`, func(v view) bool { return v.PID != 1 && v.Init != "probe" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := common.in(t)
			if v := b.look(row.container, row.task, ""); !row.holds(v) {
				t.Errorf("the container sees %s", dump(v))
			}
		})
	}
}

// look runs one container that tells what it sees, beside others given as JSON, and returns that.
func (b *Berth) look(container, task, others string) view {
	b.t.Helper()
	out := b.t.TempDir()
	if err := os.Chmod(filepath.Dir(out), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(out, 0o777); err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(container, `"command"`) {
		container = strings.TrimPrefix(container+`,"command":["/bin/probe","tell","/out/view"]`, ",")
	}
	if task != "" {
		task = "," + task
	}
	if others != "" {
		others = "," + others
	}
	if !strings.Contains(container, `"mountPoints"`) {
		container += `,"mountPoints":[{"sourceVolume":"out","containerPath":"/out"}]`
	}
	definition := strings.ReplaceAll(`{"family":"look","containerDefinitions":[{"name":"main","image":"IMAGE","memory":64,`+container+`}`+others+`],
		"volumes":[{"name":"out","host":{"sourcePath":"`+out+`"}},{"name":"shared"}]`+task+`}`, "IMAGE", b.image())
	stopped := b.until(b.run(b.register(definition)), "STOPPED")
	if code := containerOf(stopped, "main").ExitCode; code == nil || *code != 0 {
		b.t.Fatalf("main ended with %v: %s", aws.ToInt32(code), dump(stopped))
	}
	data, err := os.ReadFile(filepath.Join(out, "view"))
	if err != nil {
		b.t.Fatal(err)
	}
	var v view
	if err := json.Unmarshal(data, &v); err != nil {
		b.t.Fatal(err)
	}
	return v
}

func TestContainersOfOneTask(t *testing.T) {
	shared(t)
	for _, row := range []struct {
		name, container, task, others string
		holds                         func(v view) bool
	}{
		{"pidMode task shows the other's processes", `"command":["/bin/probe","tell","/out/view","3"]`, `"pidMode":"task"`,
			`{"name":"other","image":"IMAGE","memory":64,"essential":false,"command":["/bin/probe","sleep"]}`,
			func(v view) bool { return len(v.Processes) >= 3 }}, // the one that holds the namespace is the third
		{"volumesFrom shows the other's volumes", `"volumesFrom":[{"sourceContainer":"other"}],"dependsOn":[{"containerName":"other","condition":"SUCCESS"}]`, ``,
			`{"name":"other","image":"IMAGE","memory":64,"essential":false,"command":["/bin/probe","write","/shared/file","from the other"],
			"mountPoints":[{"sourceVolume":"shared","containerPath":"/shared"}]}`,
			func(v view) bool { return v.Files["/shared/file"] == "from the other" }},
		{"links name the other", `"links":["other:alias"],"dependsOn":[{"containerName":"other","condition":"START"}]`, ``,
			`{"name":"other","image":"IMAGE","memory":64,"essential":false,"command":["/bin/probe","sleep"]}`,
			func(v view) bool { return slices.Contains(strings.Fields(v.Files["/etc/hosts"]), "alias") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if v := common.in(t).look(row.container, row.task, row.others); !row.holds(v) {
				t.Errorf("the container sees %s", dump(v))
			}
		})
	}
}

// How containers end, and what is reported of it.
func TestHowContainersEnd(t *testing.T) {
	shared(t)
	const other = `{"name":"other","image":"IMAGE","memory":64,"essential":false,"mountPoints":[{"sourceVolume":"shared","containerPath":"/shared"}],`
	for _, row := range []struct {
		name, container, others string
		stop                    bool // StopTask once it runs
		codes                   map[string]int32
		reason                  string
	}{
		{"SIGTERM is answered", `"command":["/bin/probe","sleep","/shared/ready"]`, ``, true, map[string]int32{"main": 0}, "the test's"},
		{"SIGTERM ends a child of an init process", `"command":["/bin/probe","exit","0","/never","/shared/ready"],"linuxParameters":{"initProcessEnabled":true}`, ``, true,
			map[string]int32{"main": 143}, "the test's"},
		{"SIGKILL follows after stopTimeout", `"command":["/bin/probe","stubborn","/shared/ready"],"stopTimeout":2`, ``, true, map[string]int32{"main": 137}, "the test's"},
		{"an essential container's end ends the task", `"command":["/bin/probe","exit","5","/shared/ready"]`, other + `"command":["/bin/probe","sleep","/shared/ready"]}`, false,
			map[string]int32{"main": 5, "other": 0}, "Essential container in task exited"},
		{"a container that is not essential ends alone", `"command":["/bin/probe","exit","3"],"dependsOn":[{"containerName":"other","condition":"COMPLETE"}]`,
			other + `"command":["/bin/probe","exit","9"]}`, false, map[string]int32{"main": 3, "other": 9}, "Essential container in task exited"},
		{"COMPLETE waits for the end", `"command":["/bin/probe","file","/shared/file"],"dependsOn":[{"containerName":"other","condition":"COMPLETE"}]`,
			other + `"command":["/bin/probe","write","/shared/file","x"]}`, false,
			map[string]int32{"main": 0, "other": 0}, "Essential container in task exited"},
		{"SUCCESS fails with a code", `"command":["/bin/probe","exit","0"],"dependsOn":[{"containerName":"other","condition":"SUCCESS"}]`,
			other + `"command":["/bin/probe","exit","4"]}`, false, map[string]int32{"other": 4}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := common.in(t)
			others := row.others
			if others != "" {
				others = "," + others
			}
			dir := t.TempDir()
			arn := b.run(b.register(strings.ReplaceAll(`{"family":"ends","containerDefinitions":[{"name":"main","image":"IMAGE","memory":64,
				"mountPoints":[{"sourceVolume":"shared","containerPath":"/shared"}],`+row.container+`}`+others+`],
				"volumes":[{"name":"shared","host":{"sourcePath":"`+dir+`"}}]}`, "IMAGE", b.image())))
			if row.stop {
				b.until(arn, "RUNNING")
				eventually(t, "it can be stopped", func() (bool, string) {
					_, err := os.Stat(filepath.Join(dir, "ready"))
					return err == nil, fmt.Sprint(err)
				})
				b.stop(arn, "the test's")
			}
			stopped := b.until(arn, "STOPPED")
			for name, code := range row.codes {
				if got := containerOf(stopped, name).ExitCode; got == nil || *got != code {
					t.Errorf("%s ended with %v, want %d", name, aws.ToInt32(got), code)
				}
			}
			if got := aws.ToString(stopped.StoppedReason); !strings.Contains(got, row.reason) {
				t.Errorf("stopped reason %q, want %q", got, row.reason)
			}
			if t.Failed() {
				t.Log(dump(stopped))
			}
		})
	}
}
