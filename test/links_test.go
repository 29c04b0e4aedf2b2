package test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unnamed   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// pages are the Markdown files of the repository by path from its root, without blocks of code.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "*/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			name = filepath.ToSlash(strings.TrimPrefix(name, ".."+string(filepath.Separator)))
			text, err := os.ReadFile(filepath.Join("..", name))
			if err != nil {
				t.Fatal(err)
			}
			all[name] = codeBlock.ReplaceAllString(string(text), "")
		}
	}
	return all
}

// anchors are the names by which the headings of a page are linked.
func anchors(page string) (out []string) {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		out = append(out, strings.ReplaceAll(unnamed.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return out
}

func TestLinksOfTheDocumentationLeadSomewhere(t *testing.T) {
	all := pages(t)
	linked := map[string]bool{}
	for name, page := range all {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			target, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %s is no link: %v", name, m[1], err)
				continue
			}
			if target.IsAbs() {
				continue
			}
			file := name
			if target.Path != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(name), target.Path))
			}
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
				continue
			}
			if name == "docs/README.md" {
				linked[file] = true
			}
			if target.Fragment != "" && !slices.Contains(anchors(all[file]), target.Fragment) {
				t.Errorf("%s links to %s, and there is no such heading", name, m[1])
			}
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "docs/") && name != "docs/README.md" && !linked[name] {
			t.Errorf("docs/README.md does not link to %s", name)
		}
	}
}
