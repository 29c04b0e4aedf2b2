package ecs

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	api "berth/api/ecs"
)

func TestEveryOperationIsCovered(t *testing.T) {
	w := newWorld(t)
	lines := OperationCoverage()
	for _, op := range api.API.Operations {
		i := slices.IndexFunc(lines, func(c Coverage) bool { return c.Name == op.Name })
		if i < 0 {
			t.Errorf("%s has no line", op.Name)
			continue
		}
		answer := w.call(op.Name, `{}`)
		if refused := strings.HasPrefix(answer, "UnsupportedFeatureException"); refused != (lines[i].Support == Refused) {
			t.Errorf("%s is %s and answers %q", op.Name, lines[i].Support, answer)
		}
	}
	if len(lines) != len(api.API.Operations) {
		t.Errorf("%d lines for %d operations", len(lines), len(api.API.Operations))
	}
}

func TestEveryFieldIsCovered(t *testing.T) {
	for _, table := range []struct {
		input any
		lines []Coverage
	}{
		{api.RegisterTaskDefinitionRequest{}, RegisterTaskDefinitionCoverage()},
		{api.RunTaskRequest{}, RunTaskCoverage()},
		{api.CreateServiceRequest{}, CreateServiceCoverage()},
	} {
		paths := fieldPaths(reflect.TypeOf(table.input), "")
		for _, c := range table.lines {
			if !slices.Contains(paths, c.Name) {
				t.Errorf("%s is no field", c.Name)
			}
			if c.Support != ActedOn && c.Note == "" {
				t.Errorf("%s is %s without a reason", c.Name, c.Support)
			}
		}
		for i, p := range paths {
			if i+1 < len(paths) && (strings.HasPrefix(paths[i+1], p+".") || strings.HasPrefix(paths[i+1], p+"[].")) {
				continue // a structure: its members have lines
			}
			if !slices.ContainsFunc(table.lines, func(c Coverage) bool {
				return p == c.Name || strings.HasPrefix(p, c.Name+".") || strings.HasPrefix(p, c.Name+"[].")
			}) {
				t.Errorf("%s has no line", p)
			}
		}
	}
}

// No line speaks for a whole container definition, a volume or the overrides: each member has its own.
func TestNoLineSpeaksForTooMuch(t *testing.T) {
	for _, c := range slices.Concat(RegisterTaskDefinitionCoverage(), RunTaskCoverage()) {
		if slices.Contains([]string{"containerDefinitions", "volumes", "overrides", "overrides.containerOverrides"}, c.Name) ||
			strings.HasSuffix(c.Name, ".linuxParameters") || strings.HasSuffix(c.Name, ".portMappings") || strings.HasSuffix(c.Name, ".logConfiguration") {
			t.Errorf("%s", c.Name)
		}
	}
}

// fieldPaths are the paths of all members of a shape, those of lists with [] after them.
func fieldPaths(typ reflect.Type, prefix string) (paths []string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		path, inner := prefix+name, f.Type
		paths = append(paths, path)
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice {
			inner, path = inner.Elem(), path+"[]"
		}
		if inner.Kind() == reflect.Struct {
			paths = append(paths, fieldPaths(inner, path+".")...)
		}
	}
	return paths
}
