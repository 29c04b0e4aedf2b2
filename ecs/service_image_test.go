package ecs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/store"
)

func sha(c string) string { return digestAlgorithm + strings.Repeat(c, 64) }

// registry answers with the digest of each image that it knows.
type registry map[string]string

func (r registry) resolve(_ store.Reader, image string) (string, bool) {
	d, ok := r[image]
	return d, ok
}

// newImageWorld has the definition web with the image, and a registry.
func newImageWorld(t *testing.T, image, more string) (*world, registry) {
	w, r := newWorld(t), registry{}
	w.Service.image = r.resolve
	w.cluster("default")
	w.machine("default", "m1", 1000, 1000)
	w.register(fmt.Sprintf(`{"family":"web","containerDefinitions":[{"name":"app","image":"%s","memory":10,"cpu":1%s}]}`, image, more))
	return w, r
}

func (w *world) create(name string, n int) {
	w.t.Helper()
	must(w.CreateService(w.ctx, input[api.CreateServiceRequest](w.t, fmt.Sprintf(`{"serviceName":"%s","taskDefinition":"web","desiredCount":%d}`, name, n))))(w.t)
}

// pull plays the machine: it says which image each task runs.
func (w *world) pull(digest string) {
	w.t.Helper()
	for _, c := range w.tasks(Task.Active) {
		st := proto.TaskStatus{Arn: string(c.ARN()), LastStatus: "RUNNING", StartedAt: w.clock,
			Containers: []proto.ContainerStatus{{Name: "app", LastStatus: "RUNNING", ImageDigest: digest}}}
		if err := w.store.Update(w.ctx, func(tx *store.Tx) error { return ApplyReport(tx, c.InstanceKey(), st, w.clock) }); err != nil {
			w.t.Fatal(err)
		}
	}
}

// assignedImages are the images that the machine is told to run, in order of the tasks.
func (w *world) assignedImages() string {
	var out []string
	for _, c := range w.tasks(Task.Active)[:1] {
		tasks, definitions := AssignmentFor(w.store.Read(), c.InstanceKey())
		for _, t := range tasks {
			out = append(out, *definitions[t.Definition].ContainerDefinitions[0].Image)
		}
	}
	return strings.Join(out, " ")
}

func (w *world) wantImages(want string) {
	w.t.Helper()
	if got := w.assignedImages(); got != want {
		w.t.Errorf("the machine runs\n %s, want\n %s", got, want)
	}
}

func (w *world) revisionImages(service string) []api.ContainerImage {
	w.t.Helper()
	revision := *w.service(service).CurrentServiceRevisions[0].Arn
	return must(w.DescribeServiceRevisions(w.ctx, &api.DescribeServiceRevisionsRequest{ServiceRevisionArns: []string{revision}}))(w.t).ServiceRevisions[0].ContainerImages
}

// Law I-24: all tasks of one deployment run one digest.
func TestATagThatMovesDuringADeploymentChangesNoneOfItsTasks(t *testing.T) {
	w, r := newImageWorld(t, "berth/app:1", "")
	r["berth/app:1"] = sha("a")
	w.create("web", 1)
	r["berth/app:1"] = sha("b")
	w.schedule("web")
	w.update(`{"service":"web","desiredCount":2}`)
	w.schedule("web")
	w.wantImages("berth/app@" + sha("a") + " berth/app@" + sha("a"))
	w.pull(sha("c")) // a machine that says otherwise changes nothing
	w.wantImages("berth/app@" + sha("a") + " berth/app@" + sha("a"))
	shown := w.describe("default", w.tasks(Task.Active)[0].ID).Containers[0]
	if *shown.Image != "berth/app:1" || *shown.ImageDigest != sha("a") {
		t.Errorf("the task shows %s %s", *shown.Image, *shown.ImageDigest)
	}
	if got := w.revisionImages("web")[0]; *got.Image != "berth/app:1" || *got.ImageDigest != sha("a") || *got.ContainerName != "app" {
		t.Errorf("the revision shows %+v", got)
	}
	if !ImageInUse(w.store.Read(), sha("a")) || ImageInUse(w.store.Read(), sha("b")) {
		t.Error("exactly the image that is pinned is in use")
	}
	w.update(`{"service":"web","forceNewDeployment":true}`)
	if got := w.revisionImages("web")[0]; *got.ImageDigest != sha("b") {
		t.Errorf("a new deployment has %s, want what the tag names now", *got.ImageDigest)
	}
}

func TestImagesOfOtherRegistriesArePinnedToWhatTheFirstTaskRuns(t *testing.T) {
	w, _ := newImageWorld(t, "registry.local:5000/app", "")
	w.create("web", 1)
	w.schedule("web")
	w.wantImages("registry.local:5000/app")
	w.pull(sha("a"))
	w.schedule("web")
	w.clock = w.clock.Add(time.Second)
	w.update(`{"service":"web","desiredCount":2}`)
	w.schedule("web")
	w.wantImages("registry.local:5000/app registry.local:5000/app@" + sha("a"))
	if got := w.revisionImages("web")[0]; *got.ImageDigest != sha("a") {
		t.Errorf("the revision shows %+v", got)
	}
}

func TestImagesThatAreNotPinned(t *testing.T) {
	for _, row := range []struct{ name, image, more, want, digest string }{
		{"opted out", "berth/app:1", `,"versionConsistency":"disabled"`, "berth/app:1", ""},
		{"unknown tag", "berth/none:1", "", "berth/none:1", ""},
		{"digest of the user", "berth/app@" + sha("d"), "", "berth/app@" + sha("d"), sha("d")},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, r := newImageWorld(t, row.image, row.more)
			r["berth/app:1"] = sha("a")
			w.create("web", 1)
			w.schedule("web")
			w.wantImages(row.want)
			if got := value(w.revisionImages("web")[0].ImageDigest); got != row.digest {
				t.Errorf("the revision has %q, want %q", got, row.digest)
			}
		})
	}
	w, r := newImageWorld(t, "berth/app:1", "")
	r["berth/app:1"] = sha("a")
	w.run(`{"taskDefinition":"web"}`)
	w.wantImages("berth/app:1")
}
