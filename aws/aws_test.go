package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseARN(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // nil: refused
	}{
		{"arn:aws:ecs:us-east-1:123456789012:task/web/0af3", []string{"aws", "ecs", "us-east-1", "123456789012", "task/web/0af3"}},
		{"arn:aws:iam::123456789012:root", []string{"aws", "iam", "", "123456789012", "root"}},
		{"arn:aws:iam::aws:policy/AdministratorAccess", []string{"aws", "iam", "", "aws", "policy/AdministratorAccess"}},
		{"arn:aws:s3:::bucket/a:b", []string{"aws", "s3", "", "", "bucket/a:b"}},
		{"arn:aws:logs:r:123456789012:log-group:g:*", []string{"aws", "logs", "r", "123456789012", "log-group:g:*"}},
		{"", nil},
		{"arn", nil},
		{"arn:aws:ecs:us-east-1:123456789012", nil},
		{"arn:aws:ecs:us-east-1:123456789012:", nil},
		{"arn:aws::us-east-1:123456789012:x", nil},
		{"arn::ecs:us-east-1:123456789012:x", nil},
		{"arn:aws:ecs:us-east-1:12345678901:x", nil},
		{"arn:aws:ecs:us-east-1:12345678901x:x", nil},
		{"ARN:aws:ecs:us-east-1:123456789012:x", nil},
	} {
		a, err := ParseARN(c.in)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%q: error %v", c.in, err)
			continue
		}
		if err == nil {
			if diff := cmp.Diff([]string{a.Partition(), a.Service(), a.Region(), a.Account(), a.Resource()}, c.want); diff != "" {
				t.Errorf("%q: %s", c.in, diff)
			}
		}
	}
}

func FuzzARN(f *testing.F) {
	f.Add("arn:aws:ecs:us-east-1:123456789012:task/web/0af3")
	f.Add("arn:aws:iam::aws:policy/a:b")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseARN(s)
		parts := []string{a.Partition(), a.Service(), a.Region(), a.Account(), a.Resource()}
		if err == nil && "arn:"+strings.Join(parts, ":") != s {
			t.Errorf("%q falls into %q", s, parts)
		}
		_ = ARN(s).Resource()
	})
}

func TestTimeOnTheWire(t *testing.T) {
	for _, c := range []struct {
		ms   int64
		want string
	}{
		{1700000000123, "1700000000.123"}, {1700000000120, "1700000000.12"}, {1700000000000, "1700000000"}, {0, "0"}, {5, "0.005"}, {-500, "-0.5"}, {-1500, "-1.5"},
	} {
		got, err := json.Marshal(NewTime(time.UnixMilli(c.ms)))
		if err != nil || string(got) != c.want {
			t.Errorf("%d: got %s, %v, want %s", c.ms, got, err, c.want)
		}
		back := Time{}
		if err := json.Unmarshal(got, &back); err != nil || back.UnixMilli() != c.ms {
			t.Errorf("%s: read as %v, %v", got, back, err)
		}
	}
	for _, in := range []string{`1700000000.123`, `"2023-11-14T22:13:20.123Z"`, `"2023-11-14T23:13:20.123+01:00"`, `"1700000000.123"`, `1.700000000123e9`} {
		got := Time{}
		if err := json.Unmarshal([]byte(in), &got); err != nil || got.UnixMilli() != 1700000000123 {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{`"tomorrow"`, `true`, `1e300`, `"NaN"`, `{}`} {
		if err := json.Unmarshal([]byte(in), &Time{}); err == nil {
			t.Errorf("%s was accepted", in)
		}
	}
}

func TestPageTokens(t *testing.T) {
	p, other := NewPages([]byte("key")), NewPages([]byte("another"))
	token := p.Seal("ListTasks/1", "task-42")
	if strings.Contains(token, "task") || token != p.Seal("ListTasks/1", "task-42") {
		t.Errorf("token %q must be opaque and the same each time", token)
	}
	if got, err := NewPages([]byte("key")).Open("ListTasks/1", token); err != nil || got != "task-42" {
		t.Errorf("after a restart: got %q, %v", got, err)
	}
	if empty := p.Seal("s", ""); empty == "" {
		t.Error("the token of an empty cursor is empty")
	}
	for name, open := range map[string]func() (string, error){
		"another scope": func() (string, error) { return p.Open("ListTasks/2", token) },
		"another key":   func() (string, error) { return other.Open("ListTasks/1", token) },
		"empty":         func() (string, error) { return p.Open("ListTasks/1", "") },
		"short":         func() (string, error) { return p.Open("ListTasks/1", "AAAA") },
		"not base64":    func() (string, error) { return p.Open("ListTasks/1", token+"=") },
		"cut":           func() (string, error) { return p.Open("ListTasks/1", token[:len(token)-4]) },
	} {
		if got, err := open(); !errors.Is(err, ErrPageToken) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for i := range token {
		changed := []byte(token)
		changed[i] ^= 1
		if got, err := p.Open("ListTasks/1", string(changed)); err == nil {
			t.Fatalf("byte %d changed: opened as %q", i, got)
		}
	}
}

func TestSecretsStayHidden(t *testing.T) {
	s := Secret("hush")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %s %q %x %#v %d", s, s, s, s, s, s), log.String()} {
		if strings.Contains(text, "hush") || strings.Contains(text, "68757368") {
			t.Errorf("shown in %q", text)
		}
	}
	if s.Reveal() != "hush" {
		t.Error("lost")
	}
}

func TestIDs(t *testing.T) {
	if a, b := NewHexID(), NewHexID(); len(a) != 32 || a == b {
		t.Errorf("got %s %s", a, b)
	}
	if u := NewUUID(); len(u) != 36 || u[14] != '4' || strings.Count(u, "-") != 4 {
		t.Errorf("got %s", u)
	}
}

func TestErrorWithMoreMembersIsACopy(t *testing.T) {
	a := Errorf("X", "100")
	b := a.With("n", 1)
	if a.Fields != nil || b.Fields["n"] != 1 || b.Message != "100" {
		t.Errorf("got %+v %+v", a, b)
	}
}

type inner struct{ Name *string }

type color string

func (color) Values() []string { return []string{"RED"} }

type outer struct {
	ID    *string
	Count *int32
	Tags  map[string]string
	List  []inner
	Color color
	Ratio *float64
	Pick  []color
}

func TestValidate(t *testing.T) {
	shapes := Shapes{
		"Outer": {Members: []Member{
			{Index: 0, Name: "id", Required: true, Shape: "ID"}, {Index: 1, Name: "count", Shape: "Count"}, {Index: 2, Name: "tags", Shape: "Tags"},
			{Index: 3, Name: "list", Shape: "List"}, {Index: 4, Name: "color", Shape: "Color"}, {Index: 5, Name: "ratio", Shape: "Ratio"}, {Index: 6, Name: "pick", Shape: "Pick"},
		}},
		"ID":    {Min: new(2.0), Max: new(4.0), Pattern: NewPattern("[a-zé]+")},
		"Count": {Min: new(1.0), Max: new(10.0)},
		"Ratio": {Max: new(0.5)},
		"Tags":  {Max: new(1.0), Key: "ID"},
		"List":  {Min: new(1.0), Elem: "Inner"},
		"Inner": {Members: []Member{{Index: 0, Name: "name", Required: true}}},
		"Pick":  {Elem: "Color"},
	}
	ok := new("abc")
	for _, c := range []struct {
		name string
		in   outer
		want string
	}{
		{"good", outer{ID: ok, Count: new(int32(10)), Tags: map[string]string{"ab": ""}, List: []inner{{Name: new("")}}, Color: "RED"}, ""},
		{"length is in characters", outer{ID: new("éééé")}, ""},
		{"required", outer{}, "1 validation error detected: Value null at 'id' failed to satisfy constraint: Member must not be null"},
		{"empty is not null", outer{ID: new("")}, "2 validation errors detected: Value '' at 'id' failed to satisfy constraint: Member must have length greater than or equal to 2; Value '' at 'id' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zé]+"},
		{"too long", outer{ID: new("abcde")}, "Value 'abcde' at 'id' failed to satisfy constraint: Member must have length less than or equal to 4"},
		{"pattern is of the whole", outer{ID: new("ab1")}, "Member must satisfy regular expression pattern: [a-zé]+"},
		{"range", outer{ID: ok, Count: new(int32(0))}, "Value '0' at 'count' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"fraction", outer{ID: ok, Ratio: new(0.75)}, "Value '0.75' at 'ratio' failed to satisfy constraint: Member must have value less than or equal to 0.5"},
		{"map length and key", outer{ID: ok, Tags: map[string]string{"a": "", "b": ""}}, "Value '[2 items]' at 'tags' failed"},
		{"an empty list is too short", outer{ID: ok, List: []inner{}}, "Value '[0 items]' at 'list' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"in a list", outer{ID: ok, List: []inner{{Name: ok}, {}}}, "Value null at 'list.2.member.name' failed"},
		{"enum", outer{ID: ok, Color: "BLUE"}, "Value 'BLUE' at 'color' failed to satisfy constraint: Member must satisfy enum value set: [RED]"},
		{"enum in a list", outer{ID: ok, Pick: []color{"RED", ""}}, "Value '' at 'pick.2.member' failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Validate(shapes, "Outer", &c.in)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestUnsupportedIsNeverAServerError(t *testing.T) {
	for _, a := range []API{
		{Protocol: JSON, Errors: []ErrorShape{{"UnsupportedFeatureException", 0}}}, {Protocol: JSON}, {Protocol: Query}, {Protocol: EC2},
	} {
		for _, e := range []*Error{a.Unsupported("X"), a.Unknown("X")} {
			if status := a.Status(e.Code); status != 400 {
				t.Errorf("%s: %s has status %d", a.Protocol, e.Code, status)
			}
		}
	}
}
