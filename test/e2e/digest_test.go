package e2e

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// Law I-24, with real pulls: a tag that moves changes no task of a deployment, and a new deployment takes what it names then.
func TestTheTasksOfADeploymentRunOneDigest(t *testing.T) {
	b := shared(t)
	image := b.probeWith("pinned", "one")
	definition := b.register(fmt.Sprintf(`{"family":"pinned","containerDefinitions":[{"name":"main","image":%q,"memory":8,"command":["/bin/probe","sleep"],
		"healthCheck":{"command":["CMD","/bin/probe","exit","0"],"interval":5,"timeout":5}}]}`, image))
	b.createService(&ecs.CreateServiceInput{ServiceName: new("pinned"), TaskDefinition: &definition, DesiredCount: new(int32(1))})
	b.completed("pinned", definition)
	digests := func(n int) (digest string) {
		t.Helper()
		eventually(t, fmt.Sprint("tasks run: ", n), func() (bool, string) {
			v := b.service("pinned")
			return int(v.RunningCount) == n && len(v.Deployments) == 1 && len(b.serviceTasks("pinned")) == n, dump(v)
		})
		for _, arn := range b.serviceTasks("pinned") {
			c := containerOf(b.task(arn), "main")
			if digest == "" {
				digest = *c.ImageDigest
			}
			if *c.ImageDigest != digest || *c.Image != image {
				t.Errorf("task %s shows %s %s, want %s %s", arn, *c.Image, *c.ImageDigest, image, digest)
			}
		}
		return digest
	}
	first := digests(1)
	b.probeWith("pinned", "two")
	if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("pinned"), DesiredCount: new(int32(2))}); err != nil {
		t.Fatal(err)
	}
	if got := digests(2); got != first {
		t.Errorf("after the tag moved tasks run %s, want %s", got, first)
	}
	if _, err := b.ecs().UpdateService(t.Context(), &ecs.UpdateServiceInput{Service: new("pinned"), ForceNewDeployment: true}); err != nil {
		t.Fatal(err)
	}
	b.completed("pinned", definition)
	if got := digests(2); got == first {
		t.Error("a new deployment runs what the tag named before")
	}
}
