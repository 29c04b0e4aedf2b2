package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

func (e *emitter) in(op string) string {
	if in := e.m.Operations[op].In; in != "" {
		return exported(in)
	}
	return op + "Request"
}

func (e *emitter) out(op string) string {
	if out := e.m.Operations[op].Out; out != "" {
		return exported(out)
	}
	return op + "Response"
}

func (e *emitter) api() string {
	var b strings.Builder
	m := e.m
	ops := sortedKeys(m.Operations)
	b.WriteString("// Handler does the operations.\ntype Handler interface {\n")
	for _, op := range ops {
		fmt.Fprintf(&b, "%s(context.Context, *%s) (*%s, error)\n", op, e.in(op), e.out(op))
	}
	b.WriteString("}\n\n// Unimplemented answers every operation as not supported; services embed it.\ntype Unimplemented struct{}\n\n")
	for _, op := range ops {
		fmt.Fprintf(&b, "func (Unimplemented) %s(context.Context, *%s) (*%s, error) { return nil, API.Unsupported(%q) }\n", op, e.in(op), e.out(op), op)
	}
	b.WriteString("\n// API is the description of the service. It is read-only.\nvar API = aws.API{\n")
	for _, f := range []struct{ name, value string }{
		{"Name", m.Name}, {"ID", m.ID}, {"Version", m.Version}, {"Protocol", m.Protocol}, {"JSONVersion", m.JSONVersion},
		{"Target", m.Target}, {"SigningName", m.SigningName}, {"Endpoint", m.Endpoint}, {"XMLNamespace", m.XMLNamespace},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "%s: %q,\n", f.name, f.value)
		}
	}
	b.WriteString("Operations: []aws.Operation{\n")
	for _, op := range ops {
		e.operation(&b, op)
	}
	b.WriteString("},\nErrors: []aws.ErrorShape{\n")
	for _, name := range sortedKeys(m.Shapes) {
		if err := m.Shapes[name].Error; err != nil {
			fmt.Fprintf(&b, "{%q, %d},\n", e.code(name), err.Status)
		}
	}
	b.WriteString("},\n}\n")
	return b.String()
}

// code is the wire code of an error shape.
func (e *emitter) code(name string) string {
	if err := e.m.Shapes[name].Error; err != nil && err.Code != "" {
		return err.Code
	}
	return name
}

func (e *emitter) operation(b *strings.Builder, name string) {
	op := e.m.Operations[name]
	fmt.Fprintf(b, "aws.Op(%q, Handler.%s)", name, name)
	var with []string
	if op.Pages.In != "" {
		with = append(with, fmt.Sprintf("Pages: aws.PageFields{In: %q, Out: %q, Limit: %q, Result: %q}", op.Pages.In, op.Pages.Out, op.Pages.Limit, op.Pages.Result))
	}
	for _, m := range e.m.Shapes[op.In].Members {
		if m.Token {
			with = append(with, fmt.Sprintf("Idempotency: %q", m.Name))
		}
	}
	for _, f := range []struct{ name, value string }{{"Result", op.Result}, {"Method", op.Method}, {"URI", op.URI}} {
		if f.value != "" {
			with = append(with, fmt.Sprintf("%s: %q", f.name, f.value))
		}
	}
	if len(op.Errors) > 0 {
		codes := make([]string, len(op.Errors))
		for i, shape := range op.Errors {
			codes[i] = strconv.Quote(e.code(shape))
		}
		with = append(with, "Errors: []string{"+strings.Join(codes, ", ")+"}")
	}
	if len(with) > 0 {
		fmt.Fprintf(b, ".With(aws.Operation{%s})", strings.Join(with, ", "))
	}
	b.WriteString(",\n")
}

// shapes writes the constraints of what requests reach, and the Validate methods.
func (e *emitter) shapes() string {
	var b strings.Builder
	constrained := e.constrained()
	b.WriteString("var shapes = aws.Shapes{\n")
	for _, name := range sortedKeys(e.m.Shapes) {
		if constrained[name] && len(e.m.Shapes[name].Enum) == 0 {
			fmt.Fprintf(&b, "%q: {%s},\n", name, e.shapeFields(name, constrained))
		}
	}
	b.WriteString("}\n\n")
	done := map[string]bool{}
	for _, op := range sortedKeys(e.m.Operations) {
		in := e.in(op)
		if done[in] {
			continue
		}
		done[in] = true
		fmt.Fprintf(&b, "func (in *%s) Validate() error { return aws.Validate(shapes, %q, in) }\n", in, e.m.Operations[op].In)
	}
	return b.String()
}

// constrained is the set of input shapes that have constraints, or reach some.
func (e *emitter) constrained() map[string]bool {
	set := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for name := range e.inputs {
			if !set[name] && e.hasConstraint(name, set) {
				set[name], changed = true, true
			}
		}
	}
	return set
}

func (e *emitter) hasConstraint(name string, set map[string]bool) bool {
	s := e.m.Shapes[name]
	if s.Type == "blob" || s.Type == "timestamp" || s.Document || s.EventStream {
		return false
	}
	if len(s.Enum) > 0 || s.minimum() != nil || s.Max != nil || goPattern(s.Pattern) != "" {
		return true
	}
	if s.Elem != nil && set[s.Elem.Shape] || s.Key != nil && set[s.Key.Shape] {
		return true
	}
	for _, m := range s.Members {
		if m.Required || set[m.Shape] {
			return true
		}
	}
	return false
}

// minimum is Min where it excludes something.
func (s shape) minimum() *float64 {
	number := s.Type == "integer" || s.Type == "long" || s.Type == "double" || s.Type == "float"
	if s.Min != nil && *s.Min <= 0 && !number {
		return nil
	}
	return s.Min
}

func (e *emitter) shapeFields(name string, set map[string]bool) string {
	s := e.m.Shapes[name]
	var f []string
	if v := s.minimum(); v != nil {
		f = append(f, "Min: new(float64("+strconv.FormatFloat(*v, 'g', -1, 64)+"))")
	}
	if s.Max != nil {
		f = append(f, "Max: new(float64("+strconv.FormatFloat(*s.Max, 'g', -1, 64)+"))")
	}
	if p := goPattern(s.Pattern); p != "" {
		f = append(f, "Pattern: aws.NewPattern("+strconv.Quote(p)+")")
	}
	if s.Elem != nil && set[s.Elem.Shape] {
		f = append(f, fmt.Sprintf("Elem: %q", s.Elem.Shape))
	}
	if s.Key != nil && set[s.Key.Shape] {
		f = append(f, fmt.Sprintf("Key: %q", s.Key.Shape))
	}
	var members []string
	for i, m := range s.Members {
		if !m.Required && !set[m.Shape] {
			continue
		}
		text := fmt.Sprintf("{Index: %d, Name: %q", i, m.Name)
		if m.Required {
			text += ", Required: true"
		}
		if set[m.Shape] {
			text += fmt.Sprintf(", Shape: %q", m.Shape)
		}
		members = append(members, text+"}")
	}
	if len(members) > 0 {
		f = append(f, "Members: []aws.Member{"+strings.Join(members, ", ")+"}")
	}
	return strings.Join(f, ", ")
}

// goPattern turns a model's pattern into one that Go compiles, or "" if it says nothing or cannot be turned. Repetitions
// over 1,000, which Go refuses, lose their upper bound; the shape's max has it.
func goPattern(p string) string {
	switch p {
	case "", ".*", "^.*$", `[\s\S]*`, `^[\s\S]*$`, `.+`, `(?s).*`, `(?s).+`:
		return ""
	}
	large := regexp.MustCompile(`\{(\d+),(\d{4,})\}`)
	p = large.ReplaceAllString(p, "{$1,}")
	p = javaEscape(p)
	if _, err := regexp.Compile(p); err != nil {
		return ""
	}
	return p
}

// javaEscape rewrites \uXXXX and \p{IsX} of Java's expressions.
func javaEscape(p string) string {
	p = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`).ReplaceAllString(p, `\x{$1}`)
	return strings.NewReplacer(`\p{IsAlphabetic}`, `\p{L}`, `\p{Alnum}`, `[:alnum:]`).Replace(p)
}
