package ecs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	api "berth/api/ecs"
)

func attr(target, name string, v ...string) api.Attribute {
	a := api.Attribute{Name: new(name), TargetId: new(target), TargetType: "container-instance"}
	if len(v) > 0 {
		a.Value = new(v[0])
	}
	return a
}

func TestAttributesArePutListedAndDeleted(t *testing.T) {
	w := newInstanceWorld(t)
	a, b := w.connect(t, "a", hello(1024, 1024)), w.connect(t, "b", hello(1024, 1024))
	out, err := w.PutAttributes(w.ctx, &api.PutAttributesRequest{Attributes: []api.Attribute{
		attr(a.ID, "stack", "prod"), attr(a.ID, "ssd"), {Name: new("stack"), Value: new("test"), TargetId: new(string(b.ARN()))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Attribute{
		{Name: new("stack"), Value: new("prod"), TargetId: new(string(a.ARN()))}, {Name: new("ssd"), TargetId: new(string(a.ARN()))},
		{Name: new("stack"), Value: new("test"), TargetId: new(string(b.ARN()))},
	}
	if diff := cmp.Diff(out.Attributes, want); diff != "" {
		t.Error(diff)
	}
	list := func(in api.ListAttributesRequest) (got []string) {
		t.Helper()
		in.TargetType = "container-instance"
		for {
			out, err := w.ListAttributes(w.ctx, &in)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range out.Attributes {
				got = append(got, fmt.Sprint((*x.TargetId)[len(*x.TargetId)-32:] == a.ID, " ", *x.Name, "=", value(x.Value)))
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return got
			}
		}
	}
	all := []string{
		"true ecs.availability-zone=z1", "true ecs.os-family=LINUX", "true ecs.os-type=linux", "true ssd=", "true stack=prod",
		"false ecs.availability-zone=z1", "false ecs.os-family=LINUX", "false ecs.os-type=linux", "false stack=test",
	}
	for _, size := range []int32{1, 4, 100} {
		if diff := cmp.Diff(list(api.ListAttributesRequest{MaxResults: new(size)}), all); diff != "" {
			t.Errorf("pages of %d: %s", size, diff)
		}
	}
	if diff := cmp.Diff(list(api.ListAttributesRequest{AttributeName: new("stack")}), []string{"true stack=prod", "false stack=test"}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(list(api.ListAttributesRequest{AttributeName: new("stack"), AttributeValue: new("test")}), []string{"false stack=test"}); diff != "" {
		t.Error(diff)
	}
	gone, err := w.DeleteAttributes(w.ctx, &api.DeleteAttributesRequest{Attributes: []api.Attribute{attr(a.ID, "stack"), attr(a.ID, "none")}})
	if err != nil || len(gone.Attributes) != 1 || *gone.Attributes[0].Value != "prod" {
		t.Errorf("got %+v, %v", gone, err)
	}
	if diff := cmp.Diff(list(api.ListAttributesRequest{AttributeName: new("stack")}), []string{"false stack=test"}); diff != "" {
		t.Error(diff)
	}
}

func TestCustomAttributesSurviveReconnection(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	if _, err := w.PutAttributes(w.ctx, &api.PutAttributesRequest{Attributes: []api.Attribute{attr(c.ID, "stack", "prod")}}); err != nil {
		t.Fatal(err)
	}
	w.connect(t, "m", hello(1024, 1024, "new"))
	d, _ := InstanceDescriptions.Get(w.store.Read(), c.Key())
	if all := d.attributes(); all["stack"] != "prod" {
		t.Errorf("got %v", all)
	}
}

func TestAttributesRefuse(t *testing.T) {
	w := newInstanceWorld(t)
	c := w.connect(t, "m", hello(1024, 1024))
	absent := strings.Repeat("a", 32)
	for _, row := range []struct {
		name          string
		in            []api.Attribute
		code, message string
	}{
		{"none", nil, "InvalidParameterException", "attributes can not be empty"},
		{"eleven", make([]api.Attribute, 11), "InvalidParameterException", "at most 10"},
		{"no name", []api.Attribute{attr(c.ID, "")}, "InvalidParameterException", "Invalid attribute name ''"},
		{"a bad name", []api.Attribute{attr(c.ID, "a:b")}, "InvalidParameterException", "Invalid attribute name 'a:b'"},
		{"a long name", []api.Attribute{attr(c.ID, strings.Repeat("x", 129))}, "InvalidParameterException", "Invalid attribute name"},
		{"a bad value", []api.Attribute{attr(c.ID, "a", "x=y")}, "InvalidParameterException", "Invalid value 'x=y'"},
		{"a value with a space at its end", []api.Attribute{attr(c.ID, "a", "x ")}, "InvalidParameterException", "Invalid value"},
		{"a long value", []api.Attribute{attr(c.ID, "a", strings.Repeat("x", 129))}, "InvalidParameterException", "Invalid value"},
		{"a built-in one", []api.Attribute{attr(c.ID, "ecs.os-type", "windows")}, "InvalidParameterException", "reserved"},
		{"a capability", []api.Attribute{attr(c.ID, "com.amazonaws.ecs.capability.x")}, "InvalidParameterException", "reserved"},
		{"no target", []api.Attribute{{Name: new("a")}}, "InvalidParameterException", "TargetId can not be blank."},
		{"an ID without type", []api.Attribute{{Name: new("a"), TargetId: new(c.ID)}}, "InvalidParameterException", "Target type can not be blank"},
		{"another type", []api.Attribute{{Name: new("a"), TargetId: new(c.ID), TargetType: "task"}}, "InvalidParameterException", "Invalid target type 'task'"},
		{"an unknown target", []api.Attribute{attr(c.ID, "a"), attr(absent, "a")}, "TargetNotFoundException", "Could not find " + absent},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := w.PutAttributes(w.ctx, &api.PutAttributesRequest{Attributes: row.in})
			wantError(t, err, row.code, row.message)
			_, err = w.DeleteAttributes(w.ctx, &api.DeleteAttributesRequest{Attributes: row.in})
			wantError(t, err, row.code, row.message)
		})
	}
	if d, _ := InstanceDescriptions.Get(w.store.Read(), c.Key()); len(d.Custom) != 0 {
		t.Errorf("a refused call left %v", d.Custom)
	}
	var ten []api.Attribute
	for i := range 10 {
		ten = append(ten, attr(c.ID, fmt.Sprint("a", i)))
	}
	if _, err := w.PutAttributes(w.ctx, &api.PutAttributesRequest{Attributes: ten}); err != nil {
		t.Fatal(err)
	}
	_, err := w.PutAttributes(w.ctx, &api.PutAttributesRequest{Attributes: []api.Attribute{attr(c.ID, "a10")}})
	wantError(t, err, "AttributeLimitExceededException", "up to 10 custom attributes")
	_, err = w.ListAttributes(w.ctx, &api.ListAttributesRequest{})
	wantError(t, err, "InvalidParameterException", "Invalid target type ''")
	_, err = w.ListAttributes(w.ctx, &api.ListAttributesRequest{TargetType: "container-instance", AttributeValue: new("x")})
	wantError(t, err, "InvalidParameterException", "Attribute name can not be blank")
}
