package oci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCgroupV2WithoutAControllerIsRefused(t *testing.T) {
	root := t.TempDir()
	if _, err := newCgroupV2(root); err == nil {
		t.Error("a directory that is no cgroup was taken")
	}
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpuset cpu pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newCgroupV2(root); err == nil || !strings.Contains(err.Error(), "no controller memory, only: cpuset cpu pids") {
		t.Errorf("got %v", err)
	}
}
