package main

import (
	"os"
	"strings"
	"testing"

	"berth/acm"
	"berth/ec2"
	"berth/ecr"
	"berth/elbv2"
	"berth/logs"
)

func TestThePageIsUpToDate(t *testing.T) {
	used, err := testsOf("../..")
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	if err := print(&page, used); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../../docs/reference/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	if withoutTests(page.String()) != withoutTests(string(kept)) {
		t.Error("docs/reference/coverage.md is out of date: run make coverage")
	}
}

// withoutTests leaves out the column of tests, which changes with every test.
func withoutTests(page string) string {
	var out strings.Builder
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			line = strings.Join(cells[:4], "|") + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// What the tables of the services say is about operations that the services have.
func TestNotesAreOfOperations(t *testing.T) {
	for _, s := range services() {
		names := map[string]string{}
		for _, r := range s.rows {
			names[r.name] = r.support
		}
		for _, list := range []map[string]string{notesOf[s.api.Name], storedOnlyOf[s.api.Name]} {
			for name := range list {
				if names[name] == "" || names[name] == "refused" {
					t.Errorf("%s %s is %q", s.api.Name, name, names[name])
				}
			}
		}
	}
}

var (
	notesOf      = map[string]map[string]string{"acm": acm.Notes(), "ec2": ec2.Notes(), "ecr": ecr.Notes(), "elbv2": elbv2.Notes(), "logs": logs.Notes()}
	storedOnlyOf = map[string]map[string]string{"ec2": ec2.StoredOnly(), "ecr": ecr.StoredOnly()}
)

// An operation that is not refused has a test that calls it.
func TestWhatIsActedOnIsTested(t *testing.T) {
	used, err := testsOf("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services() {
		for _, r := range s.rows {
			if r.support != "refused" && len(used[s.api.Name+"."+r.name]) == 0 {
				t.Errorf("%s %s is %s, and no test calls it", s.api.Name, r.name, r.support)
			}
		}
	}
}
