package main

import (
	"os"
	"strings"
	"testing"
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
	if page.String() != string(kept) {
		t.Error("docs/reference/coverage.md is out of date: run make coverage")
	}
}

// An operation of ECS, logs or ECR that is acted on has a test that calls it.
func TestWhatIsActedOnIsTested(t *testing.T) {
	used, err := testsOf("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services() {
		for _, r := range s.rows {
			if r.support == "acted on" && len(used[s.api.Name+"."+r.name]) == 0 {
				t.Errorf("%s %s is acted on, and no test calls it", s.api.Name, r.name)
			}
		}
	}
}
