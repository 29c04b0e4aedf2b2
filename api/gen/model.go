package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// model is the compact form of a service: names, types and constraints, no documentation.
type model struct {
	Name         string               `json:"name"`
	ID           string               `json:"id"`
	Version      string               `json:"version"`
	Protocol     string               `json:"protocol"`
	JSONVersion  string               `json:"jsonVersion,omitzero"`
	Target       string               `json:"target,omitzero"`
	SigningName  string               `json:"signingName"`
	Endpoint     string               `json:"endpoint"`
	XMLNamespace string               `json:"xmlNamespace,omitzero"`
	Operations   map[string]operation `json:"operations"`
	Shapes       map[string]shape     `json:"shapes"`
}

type operation struct {
	In     string     `json:"in,omitzero"`
	Out    string     `json:"out,omitzero"`
	Result string     `json:"result,omitzero"` // element around a Query result
	Errors []string   `json:"errors,omitzero"`
	Pages  pageFields `json:"pages,omitzero"`
	Method string     `json:"method,omitzero"` // with URI, unless POST /
	URI    string     `json:"uri,omitzero"`
}

type pageFields struct {
	In     string `json:"in,omitzero"`
	Out    string `json:"out,omitzero"`
	Limit  string `json:"limit,omitzero"`
	Result string `json:"result,omitzero"`
}

type shape struct {
	Type        string    `json:"type"`
	Members     []member  `json:"members,omitzero"`
	Elem        *member   `json:"elem,omitzero"` // list element or map value
	Key         *member   `json:"key,omitzero"`
	Enum        []string  `json:"enum,omitzero"`
	Min         *float64  `json:"min,omitzero"`
	Max         *float64  `json:"max,omitzero"`
	Pattern     string    `json:"pattern,omitzero"`
	Flattened   bool      `json:"flattened,omitzero"`
	Document    bool      `json:"document,omitzero"`
	EventStream bool      `json:"eventStream,omitzero"`
	Error       *errShape `json:"error,omitzero"`
}

type errShape struct {
	Code   string `json:"code,omitzero"` // wire code if it is not the shape's name
	Status int    `json:"status,omitzero"`
}

type member struct {
	Name     string `json:"n,omitzero"`
	Shape    string `json:"s"`
	Required bool   `json:"req,omitzero"`
	Wire     string `json:"wire,omitzero"`  // location name
	Query    string `json:"query,omitzero"` // query name of the EC2 protocol
	Flat     bool   `json:"flat,omitzero"`
	Token    bool   `json:"token,omitzero"` // idempotency token
	Location string `json:"loc,omitzero"`
	Time     string `json:"time,omitzero"`
}

func readModel(path string) (*model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := new(model)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// write puts one operation or shape on each line, so that changes of a model can be reviewed.
func (m *model) write(path string) error {
	var b bytes.Buffer
	head := *m
	head.Operations, head.Shapes = nil, nil
	top, err := json.Marshal(head)
	if err != nil {
		return err
	}
	text := strings.Replace(string(top), `,"operations":null,"shapes":null}`, "", 1)
	b.WriteString(text + ",\n\"operations\":{\n")
	if err := writeLines(&b, m.Operations); err != nil {
		return err
	}
	b.WriteString("},\n\"shapes\":{\n")
	if err := writeLines(&b, m.Shapes); err != nil {
		return err
	}
	b.WriteString("}}\n")
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func writeLines[T any](b *bytes.Buffer, values map[string]T) error {
	for i, name := range sortedKeys(values) {
		if i > 0 {
			b.WriteString(",\n")
		}
		var line bytes.Buffer
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(values[name]); err != nil {
			return err
		}
		fmt.Fprintf(b, "%q:%s", name, bytes.TrimSpace(line.Bytes()))
	}
	b.WriteString("\n")
	return nil
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// reachable is the set of shapes that can be met from the roots.
func (m *model) reachable(roots []string) map[string]bool {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if name == "" || seen[name] {
			return
		}
		seen[name] = true
		s := m.Shapes[name]
		for _, mm := range s.Members {
			visit(mm.Shape)
		}
		if s.Elem != nil {
			visit(s.Elem.Shape)
		}
		if s.Key != nil {
			visit(s.Key.Shape)
		}
	}
	for _, r := range roots {
		visit(r)
	}
	return seen
}
