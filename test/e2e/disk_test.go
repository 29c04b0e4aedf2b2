package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"golang.org/x/sys/unix"
)

// onSmallDisk mounts a small file system below the data directory, before Berth starts.
func onSmallDisk(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
}

// fill takes a file system but for so many bytes, and returns how to give it back.
func fill(t *testing.T, dir string, leave int64) (empty func()) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(dir, "ballast-")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-leave); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskLeavesTheOthersAndTheAgentWell(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	disk := filepath.Join(b.Dir, "agent")
	onSmallDisk(t, disk, "size=128m")
	b.mounts = append(b.mounts, disk)
	b.up("--heartbeat", "200ms")

	mark := filepath.Base(b.Dir)
	good := b.run(b.define("good", `"serve",":8080","`+mark+`"`, `"portMappings":[{"containerPort":8080}]`))
	port := hostPort(b.until(good, "RUNNING"), "main")
	pids := waitProbes(t, mark, 1)
	late := b.register(`{"family":"late","containerDefinitions":[{"name":"main","image":"` + b.probeWith("large", strings.Repeat("much", 4<<20)) +
		`","memory":64,"command":["/bin/probe","sleep"]}]}`)

	// Not full enough to be seen, and too full for the image.
	empty := fill(t, disk, 8<<20)
	task := b.until(b.run(late), "STOPPED")
	if reason := aws.ToString(containerOf(task, "main").Reason); !strings.HasPrefix(reason, "CannotPullContainerError") || !strings.Contains(reason, "no space left") {
		t.Errorf("the reason is %q: %s", reason, dump(task))
	}

	// Full: the machine is shown impaired and gets no tasks.
	emptyRest := fill(t, disk, 0)
	eventually(t, "the machine is shown impaired", func() (bool, string) {
		out, _ := b.try("status", "-o", "json")
		return strings.Contains(out, "disk 100 % full"), out
	})
	out, err := b.ecs().RunTask(t.Context(), &ecs.RunTaskInput{TaskDefinition: &late})
	if err != nil || len(out.Failures) != 1 || aws.ToString(out.Failures[0].Reason) != "AGENT" {
		t.Errorf("RunTask on a full machine: %v %s", err, dump(out))
	}

	if body, err := get("http://127.0.0.1:" + port + "/"); err != nil {
		t.Errorf("the good task does not answer: %v %s", err, body)
	}
	if task := b.task(good); aws.ToString(task.LastStatus) != "RUNNING" || task.Connectivity != "CONNECTED" {
		t.Errorf("the good task: %s", dump(task))
	}
	if after := probePIDs(mark); dump(after) != dump(pids) {
		t.Errorf("the good task's processes were %v and are %v", pids, after)
	}

	emptyRest()
	empty()
	eventually(t, "the machine is shown well again", func() (bool, string) {
		out, err := b.try("status", "-o", "json")
		return err == nil, out
	})
	b.until(b.run(late), "RUNNING")
}
