// Package test holds the tests of the whole house. This file checks its plan: who imports whom, the purity of the
// decision packages, and the size of files and functions.
package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "berth"

// mayImport is the import table: a package (or, with a trailing /..., everything below it) and what of this module
// it may import. Longest match wins. Arrows point downwards only.
var mayImport = map[string][]string{
	"cmd/berth":          {"server", "agent", "agent/oci", "agent/vpc/...", "agent/ingress/...", "agent/doctor", "cli", "supervise", "store/etcd", "ecr/imagefile", "api/...", "aws", "agent/proto/..."},
	"server":             {"ecs", "elbv2", "ec2", "acm", "servicediscovery", "cloudwatch/...", "ecr", "logs", "logs/events", "iam", "sts", "dispatch", "reconcile", "store", "store/etcd", "aws", "aws/wire", "api/...", "agent/proto/..."},
	"cli":                {"api/...", "aws"},
	"supervise":          {},
	"api/gen":            {},
	"api/...":            {"aws"},
	"aws":                {},
	"aws/wire":           {"aws", "api/..."},
	"store":              {},
	"store/etcd":         {"store"},
	"store/storetest":    {"store"},
	"reconcile":          {"store"},
	"dispatch":           {"store", "aws", "ecs", "elbv2", "elbv2/haproxy", "servicediscovery", "cloudwatch/...", "agent/proto/...", "api/..."},
	"ecs":                {"aws", "store", "reconcile", "api/ecs", "ecs/placement", "ecs/rollout", "agent/proto", "elbv2", "servicediscovery", "ec2", "iam", "events"},
	"elbv2":              {"aws", "store", "reconcile", "api/elbv2", "elbv2/haproxy", "ec2", "acm", "agent/proto"},
	"elbv2/haproxy":      {},
	"ec2":                {"aws", "store", "reconcile", "api/ec2"},
	"acm":                {"aws", "store", "reconcile", "api/acm"},
	"servicediscovery":   {"aws", "store", "reconcile", "api/servicediscovery", "agent/proto"},
	"cloudwatch/samples": {"agent/proto"},
	"ecs/placement":      {},
	"ecs/rollout":        {},
	"logs":               {"aws", "store", "reconcile", "api/logs", "logs/events", "logs/pattern", "agent/proto", "cloudwatch"},
	"logs/events":        {},
	"logs/pattern":       {},
	"ecr":                {"aws", "store", "reconcile", "api/ecr", "ecr/lifecycle"},
	"ecr/lifecycle":      {},
	"ecr/imagefile":      {},
	"iam":                {"aws", "store", "api/iam"},
	"sts":                {"aws", "iam", "api/sts"},
	"agent":              {"agent/proto/...", "api/ecs", "aws"},
	"agent/proto/...":    {"api/ecs", "aws", "agent/proto", "elbv2/haproxy"},
	"agent/ingress/...":  {"agent", "agent/proto", "agent/vpc/thread", "elbv2/haproxy", "aws", "agent/ingress/..."},
	"agent/oci":          {"agent", "api/ecs", "aws"},
	"agent/vpc/...":      {"agent", "agent/proto", "agent/vpc/..."},
	"agent/doctor":       {"agent/vpc/thread"},
	"examples/...":       {},
	"test/...":           {"..."},
}

// pure packages decide: no clock, no I/O, no global randomness, nothing but the standard library.
var pure = []string{"ecs/placement", "ecs/rollout", "elbv2/haproxy", "logs/pattern", "ecr/lifecycle"}

// impure are standard packages that a pure package must not import, and selectors that it must not use.
var (
	impureImports   = []string{"os", "net", "net/http", "os/exec", "log", "log/slog", "syscall", "io/fs", "context"}
	impureSelectors = []string{"time.Now", "time.Since", "time.Until", "time.After", "time.NewTimer", "time.Sleep", "rand.Int", "rand.IntN", "rand.N", "rand.Float64", "rand.Shuffle", "rand.Perm", "rand.Uint64"}
)

// Hard limits of the style guide, in lines.
const (
	fileLimit     = 600
	functionLimit = 90
)

type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Standard   bool
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	prefix, deep := strings.CutSuffix(pattern, "/...")
	return path == prefix || deep && strings.HasPrefix(path, prefix+"/")
}

// allowed finds the row of the import table for a package.
func allowed(path string) (row string, may []string, ok bool) {
	for pattern, list := range mayImport {
		if matches(pattern, path) && len(pattern) > len(row) {
			row, may, ok = pattern, list, true
		}
	}
	return row, may, ok
}

func TestImportsPointDownwards(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module+"/")
		_, may, ok := allowed(path)
		if !ok {
			t.Errorf("%s has no row in the import table", path)
			continue
		}
		for _, imp := range p.Imports {
			dep, own := strings.CutPrefix(imp, module+"/")
			if own && !slices.ContainsFunc(may, func(m string) bool { return matches(m, dep) }) {
				t.Errorf("%s imports %s; its row allows %v", path, dep, may)
			}
		}
	}
}

func TestDecisionPackagesArePure(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, strings.TrimPrefix(p.ImportPath, module+"/")) {
			continue
		}
		for _, imp := range p.Imports {
			if strings.Contains(imp, ".") || slices.Contains(impureImports, imp) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil && slices.Contains(impureSelectors, x.Name+"."+sel.Sel.Name) {
					t.Errorf("%s uses %s.%s", file, x.Name, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func TestNothingUnderAForbiddenLicenceIsLinked(t *testing.T) {
	// Modules known to be under GPL, AGPL, SSPL or BUSL.
	forbidden := []string{"github.com/hashicorp/nomad", "github.com/hashicorp/consul", "github.com/hashicorp/vault", "github.com/minio/minio", "github.com/grafana/loki"}
	data, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range forbidden {
		if strings.Contains(string(data), m+" ") {
			t.Errorf("go.mod requires %s", m)
		}
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			if strings.HasSuffix(name, ".gen.go") {
				continue
			}
			checkSize(t, filepath.Join(p.Dir, name))
		}
	}
}

func checkSize(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		lines++
	}
	if lines > fileLimit {
		t.Errorf("%s has %d lines, at most %d", path, lines, fileLimit)
	}
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, data, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > functionLimit {
			t.Errorf("%s: %s has %d lines, at most %d", path, f.Name.Name, n, functionLimit)
		}
		switch f.Name.Name {
		case "init":
			t.Errorf("%s has an init function", path)
		}
	}
}
