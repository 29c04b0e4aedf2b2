package aws

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Shapes are the constraints of a model by shape name. Shapes without constraints, and without any below them, are absent.
type Shapes map[string]Shape

// Shape is the constraint of one shape. Min and Max bound the length of strings (in characters), lists, maps and blobs, and
// the value of numbers.
type Shape struct {
	Min, Max *float64
	Pattern  *Pattern
	Members  []Member // of a structure: those that are required or whose shapes are constrained
	Elem     string   // shape of list elements or map values
	Key      string   // shape of map keys
}

// Member is one constrained member of a structure; Index is its place in the Go struct.
type Member struct {
	Index    int
	Name     string
	Required bool
	Shape    string
}

// Pattern is a regular expression that is compiled when first used.
type Pattern struct {
	text    string
	compile func() *regexp.Regexp
}

// NewPattern takes a pattern that the generator found to compile. It matches whole strings.
func NewPattern(text string) *Pattern {
	return &Pattern{text: text, compile: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\A(?:` + text + `)\z`) })}
}

// Violation is one broken constraint.
type Violation struct {
	Path  string // wire names: containerDefinitions.1.member.name
	Kind  ViolationKind
	Value string // printed value, "null" if absent
	Rule  string // "Member must not be null"
}

// ViolationKind tells what sort of constraint was broken.
type ViolationKind string

const (
	Missing  ViolationKind = "required"
	Length   ViolationKind = "length"
	Range    ViolationKind = "range"
	Mismatch ViolationKind = "pattern"
	Enum     ViolationKind = "enum"
)

// Invalid is the error of an input that breaks constraints of its model, in member order.
type Invalid struct{ Violations []Violation }

// Error has the words that AWS services use for it.
func (e *Invalid) Error() string {
	var b strings.Builder
	if len(e.Violations) == 1 {
		b.WriteString("1 validation error detected: ")
	} else {
		fmt.Fprintf(&b, "%d validation errors detected: ", len(e.Violations))
	}
	for i, v := range e.Violations {
		if i > 0 {
			b.WriteString("; ")
		}
		value := "'" + v.Value + "'"
		if v.Kind == Missing {
			value = "null"
		}
		fmt.Fprintf(&b, "Value %s at '%s' failed to satisfy constraint: %s", value, v.Path, v.Rule)
	}
	return b.String()
}

// maxViolations bounds the text of an answer.
const maxViolations = 10

// Validate checks in, a pointer to a struct that is shape name, and returns *Invalid or nil.
func Validate(shapes Shapes, name string, in any) error {
	c := checker{shapes: shapes}
	c.check(name, reflect.ValueOf(in).Elem(), "")
	if len(c.found) == 0 {
		return nil
	}
	return &Invalid{Violations: c.found}
}

type checker struct {
	shapes Shapes
	found  []Violation
}

func (c *checker) fail(path string, kind ViolationKind, value, rule string, args ...any) {
	if len(c.found) < maxViolations {
		c.found = append(c.found, Violation{Path: path, Kind: kind, Value: value, Rule: fmt.Sprintf(rule, args...)})
	}
}

// check looks at a present value.
func (c *checker) check(name string, v reflect.Value, path string) {
	if e, ok := v.Interface().(interface{ Values() []string }); ok {
		if values := e.Values(); !slices.Contains(values, v.String()) {
			c.fail(path, Enum, v.String(), "Member must satisfy enum value set: [%s]", strings.Join(values, ", "))
		}
		return
	}
	shape, ok := c.shapes[name]
	if !ok {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		c.members(shape, v, path)
	case reflect.String:
		c.text(shape, v.String(), path)
	case reflect.Int32, reflect.Int64:
		c.bounds(shape, float64(v.Int()), strconv.FormatInt(v.Int(), 10), path)
	case reflect.Float64:
		c.bounds(shape, v.Float(), strconv.FormatFloat(v.Float(), 'g', -1, 64), path)
	case reflect.Slice:
		c.length(shape, v.Len(), path)
		if shape.Elem == "" {
			return
		}
		for i := range v.Len() {
			c.check(shape.Elem, v.Index(i), path+"."+strconv.Itoa(i+1)+".member")
		}
	case reflect.Map:
		c.length(shape, v.Len(), path)
		for it := v.MapRange(); it.Next(); {
			c.check(shape.Key, it.Key(), path+".key")
			c.check(shape.Elem, it.Value(), path+"."+it.Key().String()+".member")
		}
	}
}

func (c *checker) members(shape Shape, v reflect.Value, path string) {
	for _, m := range shape.Members {
		at := m.Name
		if path != "" {
			at = path + "." + m.Name
		}
		field := v.Field(m.Index)
		if field.IsZero() {
			if m.Required {
				c.fail(at, Missing, "null", "Member must not be null")
			}
			continue
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		c.check(m.Shape, field, at)
	}
}

func (c *checker) text(shape Shape, s, path string) {
	n := utf8.RuneCountInString(s)
	if shape.Min != nil && float64(n) < *shape.Min {
		c.fail(path, Length, s, "Member must have length greater than or equal to %s", number(*shape.Min))
	}
	if shape.Max != nil && float64(n) > *shape.Max {
		c.fail(path, Length, s, "Member must have length less than or equal to %s", number(*shape.Max))
		return
	}
	if shape.Pattern != nil && !shape.Pattern.compile().MatchString(s) {
		c.fail(path, Mismatch, s, "Member must satisfy regular expression pattern: %s", shape.Pattern.text)
	}
}

func (c *checker) length(shape Shape, n int, path string) {
	if shape.Min != nil && float64(n) < *shape.Min {
		c.fail(path, Length, "["+strconv.Itoa(n)+" items]", "Member must have length greater than or equal to %s", number(*shape.Min))
	}
	if shape.Max != nil && float64(n) > *shape.Max {
		c.fail(path, Length, "["+strconv.Itoa(n)+" items]", "Member must have length less than or equal to %s", number(*shape.Max))
	}
}

func (c *checker) bounds(shape Shape, n float64, value, path string) {
	if shape.Min != nil && n < *shape.Min {
		c.fail(path, Range, value, "Member must have value greater than or equal to %s", number(*shape.Min))
	}
	if shape.Max != nil && n > *shape.Max {
		c.fail(path, Range, value, "Member must have value less than or equal to %s", number(*shape.Max))
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
