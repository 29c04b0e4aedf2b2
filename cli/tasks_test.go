package cli

import (
	"testing"

	api "berth/api/ecs"
)

func TestSubjectIsATaskAFamilyOrAService(t *testing.T) {
	const arn = "arn:aws:ecs:us-east-1:000000000000:"
	task := api.Task{
		TaskArn: new(arn + "task/default/3f2a00"), TaskDefinitionArn: new(arn + "task-definition/web:7"), Group: new("service:shop"),
	}
	for _, c := range []struct {
		subject string
		want    bool
	}{
		{arn + "task/default/3f2a00", true},
		{"3f2a00", true},
		{"3f2", true},
		{"task/3f2", true},
		{"f2a", false},
		{"3f2a00ff", false},
		{"web", true},
		{"we", false},
		{"shop", true},
		{"service/shop", true},
		{arn + "service/default/shop", true},
		{arn + "service/shop", true},
		{arn + "service/default/other", false},
		{arn + "cluster/shop", false},
		{"default", false},
		{"", false},
		{"task/", false},
	} {
		if got := isSubject(task, c.subject); got != c.want {
			t.Errorf("isSubject(%q) = %t, want %t", c.subject, got, c.want)
		}
	}
	alone := api.Task{TaskArn: task.TaskArn, TaskDefinitionArn: task.TaskDefinitionArn, Group: new("family:web")}
	if isSubject(alone, "shop") || isSubject(alone, arn+"service/default/shop") {
		t.Error("a task of no service has the name of one")
	}
}

func TestPartsOfARNs(t *testing.T) {
	for _, c := range []struct{ arn, id, family, revision string }{
		{"arn:aws:ecs:us-east-1:000000000000:task-definition/web:7", "web:7", "web", "web:7"},
		{"web:7", "web:7", "web", "web:7"},
		{"web", "web", "web", "web"},
		{"", "", "", ""},
	} {
		if TaskID(c.arn) != c.id || Family(c.arn) != c.family || Revision(c.arn) != c.revision {
			t.Errorf("%q: %q %q %q", c.arn, TaskID(c.arn), Family(c.arn), Revision(c.arn))
		}
	}
}
