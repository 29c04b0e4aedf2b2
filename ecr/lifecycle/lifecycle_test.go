package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)

// images reads "a=v1,v2@3 b@5": digest, tags, age in days.
func images(text string) (out []Image) {
	for _, f := range strings.Fields(text) {
		var i Image
		head, age, _ := strings.Cut(f, "@")
		var tags string
		i.Digest, tags, _ = strings.Cut(head, "=")
		if tags != "" {
			i.Tags = strings.Split(tags, ",")
		}
		var days int
		_, _ = fmt.Sscan(age, &days)
		i.Pushed = now.Add(-time.Duration(days) * 24 * time.Hour)
		out = append(out, i)
	}
	return out
}

func rule(priority int, selection string) string {
	return fmt.Sprintf(`{"rulePriority":%d,"description":"d","selection":{%s},"action":{"type":"expire"}}`, priority, selection)
}

const (
	anyOver2    = `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":2`
	untagged3   = `"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":3`
	prodOver1   = `"tagStatus":"tagged","tagPrefixList":["prod"],"countType":"imageCountMoreThan","countNumber":1`
	patternPR   = `"tagStatus":"tagged","tagPatternList":["pr-*-x"],"countType":"sinceImagePushed","countUnit":"days","countNumber":1`
	twoPrefixes = `"tagStatus":"tagged","tagPrefixList":["alpha","beta"],"countType":"sinceImagePushed","countUnit":"days","countNumber":1`
)

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  []string
		images string
		want   string
	}{
		{"keeps the newest", []string{rule(1, anyOver2)}, "a@1 b@2 c@3 d@4", "c d"},
		{"nothing to expire", []string{rule(1, anyOver2)}, "a@1 b@2", ""},
		{"age of untagged", []string{rule(1, untagged3)}, "a@2 b@4 c=x@9", "b"},
		{"prefix", []string{rule(1, prodOver1)}, "a=prod1@1 b=prod2@2 c=dev@3", "b"},
		{"pattern", []string{rule(1, patternPR)}, "a=pr-1-x@2 b=pr-1-y@2 c=pr-2-x@0", "a"},
		{"all prefixes must fit", []string{rule(1, twoPrefixes)}, "a=alpha1,beta1@2 b=alpha2@2", "a"},
		{"a later rule spares what an earlier one keeps", []string{rule(1, prodOver1), rule(2, anyOver2)}, "a=prod1@9 b@1 c@2 d@3", "d"},
		{"priority, not order, decides", []string{rule(5, anyOver2), rule(2, prodOver1)}, "a=prod1@9 b@1 c@2 d@3", "d"},
	} {
		p, err := Parse(`{"rules":[` + strings.Join(c.rules, ",") + `]}`)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, e := range Evaluate(p, images(c.images), now).Expire {
			got = append(got, e.Digest)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, strings.Join(got, " "), c.want)
		}
	}
}

func TestEvaluateSaysWhenTheNextImageIsDue(t *testing.T) {
	p, err := Parse(`{"rules":[` + rule(1, untagged3) + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Evaluate(p, images("a@1 b@2"), now).Again, now.Add(24*time.Hour); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		``, `{}`, `{"rules":[]}`, `{"rules":[` + rule(1, anyOver2) + `,` + rule(1, untagged3) + `]}`,
		`{"rules":[` + rule(1, anyOver2) + `,` + rule(2, untagged3) + `]}`,
		`{"rules":[` + rule(0, anyOver2) + `]}`,
		`{"rules":[` + rule(1, `"tagStatus":"tagged","countType":"imageCountMoreThan","countNumber":2`) + `]}`,
		`{"rules":[` + rule(1, `"tagStatus":"any","countType":"x","countNumber":2`) + `]}`,
		`{"rules":[` + rule(1, `"tagStatus":"any","countType":"sinceImagePushed","countNumber":2`) + `]}`,
		`{"rules":[` + rule(1, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":0`) + `]}`,
		strings.Replace(`{"rules":[`+rule(1, anyOver2)+`]}`, "expire", "transition", 1),
		strings.Replace(`{"rules":[`+rule(1, anyOver2)+`]}`, "description", "other", 1),
	} {
		if _, err := Parse(s); err == nil {
			t.Errorf("accepted %s", s)
		}
	}
}
