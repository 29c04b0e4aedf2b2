package placement

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// subject is the left side of a comparison.
type subject struct {
	ops          []operator // positive ones
	load, counts bool       // see Expression
	// compile makes the predicate of a positive operator. It is false for what the instance lacks, so that
	// the negative operators, which turn it around, are true.
	compile func(op operator, literals []token) (predicate, *badLiteral)
}

// badLiteral says which literal is wrong.
type badLiteral struct {
	literal int
	why     string
}

func (s subject) allows(op operator) bool {
	for _, o := range s.ops {
		if o == op.positive() {
			return true
		}
	}
	return false
}

func findSubject(name string) (subject, bool) {
	text := []operator{opEqual, opIn, opMatch}
	ordered := []operator{opEqual, opGreater, opGreaterEqual, opLess, opLessEqual}
	switch name {
	case "agentConnected":
		return subject{ops: text, compile: compileConnected}, true
	case "agentVersion":
		return subject{ops: ordered, compile: compileVersion}, true
	case "ec2InstanceId":
		return subject{ops: text, compile: compileText(func(on *Instance) (string, bool) {
			return on.EC2InstanceID, on.EC2InstanceID != ""
		})}, true
	case "registeredAt":
		return subject{ops: ordered, compile: compileDate}, true
	case "runningTasksCount":
		return subject{ops: ordered, load: true, counts: true, compile: compileCount}, true
	case "task:group":
		return subject{ops: text, load: true, compile: compileGroup}, true
	}
	attr, ok := strings.CutPrefix(name, attributePrefix)
	if !ok || attr == "" {
		return subject{}, false
	}
	return subject{
		ops: append(append(text, ordered...), opExists),
		compile: compileText(func(on *Instance) (string, bool) {
			v, ok := on.Attributes[attr]
			return v, ok
		}),
	}, true
}

func compileText(value func(*Instance) (string, bool)) func(operator, []token) (predicate, *badLiteral) {
	return func(op operator, literals []token) (predicate, *badLiteral) {
		if op == opExists {
			return func(on *Instance) bool { _, ok := value(on); return ok }, nil
		}
		test, bad := textTest(op, literals)
		if bad != nil {
			return nil, bad
		}
		return func(on *Instance) bool {
			v, ok := value(on)
			return ok && test(v)
		}, nil
	}
}

func textTest(op operator, literals []token) (func(string) bool, *badLiteral) {
	want := literals[0].text
	switch op {
	case opEqual:
		return func(v string) bool { return v == want }, nil
	case opIn:
		set := make(map[string]bool, len(literals))
		for _, l := range literals {
			set[l.text] = true
		}
		return func(v string) bool { return set[v] }, nil
	case opMatch:
		re, err := compilePattern(want)
		if err != nil {
			return nil, &badLiteral{why: err.Error()}
		}
		return re.MatchString, nil
	}
	return func(v string) bool { return holds(op, compareText(v, want)) }, nil
}

// compareText compares as numbers if both are, else as text.
func compareText(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a, b)
}

// holds tells whether an order satisfies the operator.
func holds(op operator, order int) bool {
	switch op {
	case opEqual:
		return order == 0
	case opGreater:
		return order > 0
	case opGreaterEqual:
		return order >= 0
	case opLess:
		return order < 0
	}
	return order <= 0
}

func compileConnected(op operator, literals []token) (predicate, *badLiteral) {
	if op != opMatch {
		for i, l := range literals {
			if l.text != "true" && l.text != "false" {
				return nil, &badLiteral{i, "agentConnected is true or false"}
			}
		}
	}
	test, bad := textTest(op, literals)
	if bad != nil {
		return nil, bad
	}
	return func(on *Instance) bool { return test(strconv.FormatBool(on.Connected)) }, nil
}

func compileVersion(op operator, literals []token) (predicate, *badLiteral) {
	want, ok := parseVersion(literals[0].text)
	if !ok {
		return nil, &badLiteral{why: literals[0].String() + " is no version"}
	}
	return func(on *Instance) bool {
		has, ok := parseVersion(on.AgentVersion)
		return ok && holds(op, compareVersions(has, want))
	}, nil
}

// parseVersion reads dotted numbers. What follows a "-" or "+" is not compared.
func parseVersion(s string) ([]uint64, bool) {
	s = strings.TrimPrefix(s, "v")
	if cut := strings.IndexAny(s, "-+"); cut >= 0 {
		s = s[:cut]
	}
	var parts []uint64
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil, false
		}
		parts = append(parts, n)
	}
	return parts, true
}

func compareVersions(a, b []uint64) int {
	part := func(v []uint64, i int) uint64 {
		if i < len(v) {
			return v[i]
		}
		return 0
	}
	for i := range max(len(a), len(b)) {
		if order := cmp.Compare(part(a, i), part(b, i)); order != 0 {
			return order
		}
	}
	return 0
}

// dateForms are the forms of registeredAt; without a zone it is UTC.
var dateForms = [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02"}

func compileDate(op operator, literals []token) (predicate, *badLiteral) {
	for _, form := range dateForms {
		want, err := time.Parse(form, literals[0].text)
		if err != nil {
			continue
		}
		return func(on *Instance) bool {
			// Expressions name whole seconds; so does the comparison.
			return !on.RegisteredAt.IsZero() && holds(op, on.RegisteredAt.Truncate(time.Second).Compare(want))
		}, nil
	}
	return nil, &badLiteral{why: literals[0].String() + " is no date such as 2018-06-18T22:28:28+00:00"}
}

func compileCount(op operator, literals []token) (predicate, *badLiteral) {
	want, err := strconv.Atoi(literals[0].text)
	if err != nil {
		return nil, &badLiteral{why: literals[0].String() + " is no whole number"}
	}
	return func(on *Instance) bool { return holds(op, cmp.Compare(on.Running, want)) }, nil
}

// compileGroup is true if any task of the instance has such a group.
func compileGroup(op operator, literals []token) (predicate, *badLiteral) {
	if op != opMatch {
		return func(on *Instance) bool {
			for _, l := range literals {
				if on.Groups[l.text] > 0 {
					return true
				}
			}
			return false
		}, nil
	}
	test, bad := textTest(op, literals)
	if bad != nil {
		return nil, bad
	}
	return func(on *Instance) bool {
		for group, n := range on.Groups {
			if n > 0 && test(group) {
				return true
			}
		}
		return false
	}, nil
}

// compilePattern compiles a Java regular expression that means the same to RE2, for full matches.
// RE2 itself refuses look-around, possessive quantifiers and most back-references.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if why := javaOnly(pattern); why != "" {
		return nil, &patternError{pattern, why}
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, &patternError{pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}

type patternError struct{ pattern, why string }

func (e *patternError) Error() string {
	return `the pattern "` + e.pattern + `" is not supported: ` + e.why
}

// javaOnly names what Java and RE2 read differently: RE2 would accept it with another meaning.
func javaOnly(pattern string) string {
	class := 0 // position after the "[" of the class that we are in, or 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			if i++; pattern[i] >= '0' && pattern[i] <= '9' {
				return "back-references and octal escapes"
			}
		case c == '[' && class == 0:
			class = i + 1
			if class < len(pattern) && pattern[class] == '^' {
				i++
				class++
			}
		case c == '[':
			return "a class inside a class"
		case c == ']' && class > 0:
			if i == class {
				return "a class that begins with ]"
			}
			class = 0
		case c == '&' && class > 0 && strings.HasPrefix(pattern[i:], "&&"):
			return "intersections of classes"
		}
	}
	return ""
}
