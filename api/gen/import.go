package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is the part of a botocore service description that the project keeps.
type source struct {
	Metadata   map[string]any             `json:"metadata"`
	Operations map[string]sourceOperation `json:"operations"`
	Shapes     map[string]sourceShape     `json:"shapes"`
}

type sourceOperation struct {
	HTTP struct {
		Method string `json:"method"`
		URI    string `json:"requestUri"`
	} `json:"http"`
	Input  sourceMember   `json:"input"`
	Output sourceMember   `json:"output"`
	Errors []sourceMember `json:"errors"`
}

type sourceShape struct {
	Type            string         `json:"type"`
	Members         orderedMembers `json:"members"`
	Required        []string       `json:"required"`
	Member          *sourceMember  `json:"member"`
	Key             *sourceMember  `json:"key"`
	Value           *sourceMember  `json:"value"`
	Enum            []string       `json:"enum"`
	Min             *float64       `json:"min"`
	Max             *float64       `json:"max"`
	Pattern         string         `json:"pattern"`
	Flattened       bool           `json:"flattened"`
	Document        bool           `json:"document"`
	EventStream     bool           `json:"eventstream"`
	Exception       bool           `json:"exception"`
	Fault           bool           `json:"fault"`
	TimestampFormat string         `json:"timestampFormat"`
	Error           struct {
		Code   string `json:"code"`
		Status int    `json:"httpStatusCode"`
	} `json:"error"`
}

type sourceMember struct {
	name             string
	Shape            string `json:"shape"`
	LocationName     string `json:"locationName"`
	QueryName        string `json:"queryName"`
	Location         string `json:"location"`
	Flattened        bool   `json:"flattened"`
	IdempotencyToken bool   `json:"idempotencyToken"`
	ResultWrapper    string `json:"resultWrapper"`
	TimestampFormat  string `json:"timestampFormat"`
}

// orderedMembers keeps the order of the model's text.
type orderedMembers []sourceMember

func (o *orderedMembers) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		m := sourceMember{}
		if err := dec.Decode(&m); err != nil {
			return err
		}
		m.name = name.(string)
		*o = append(*o, m)
	}
	return nil
}

type sourcePages struct {
	Pagination map[string]struct {
		In     any `json:"input_token"`
		Out    any `json:"output_token"`
		Limit  any `json:"limit_key"`
		Result any `json:"result_key"`
	} `json:"pagination"`
}

// listed reads services.txt: a service and its operations on each line, no operations for all of them.
func listed(path string) (names []string, only map[string][]string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	only = map[string][]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if _, found := only[words[0]]; !found {
			names = append(names, words[0])
		}
		only[words[0]] = append(only[words[0]], words[1:]...)
	}
	return names, only, nil
}

// importModels makes models/<service>.json of dir/<service>/service-2.json.gz.
func importModels(api, dir string, services []string) error {
	names, only, err := listed(filepath.Join(api, "models", "services.txt"))
	if err != nil {
		return err
	}
	if len(services) == 0 {
		services = names
	}
	for _, name := range services {
		if !slices.Contains(names, name) {
			return fmt.Errorf("service %s is not in api/models/services.txt; add a line for it", name)
		}
		m, err := importModel(dir, name, only[name])
		if err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
		if err := m.add(filepath.Join(api, "models", "newer", name+".json")); err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
		if err := m.write(filepath.Join(api, "models", name+".json")); err != nil {
			return err
		}
	}
	return nil
}

// add takes in what is newer than the imported model, if there is such a file: shapes, and members of its structures. What the model has
// by now is the model's.
func (m *model) add(path string) error {
	newer, err := readModel(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for name, s := range newer.Shapes {
		have, ok := m.Shapes[name]
		if !ok {
			m.Shapes[name] = s
			continue
		}
		for _, mm := range s.Members {
			if !slices.ContainsFunc(have.Members, func(h member) bool { return h.Name == mm.Name }) {
				have.Members = append(have.Members, mm)
			}
		}
		m.Shapes[name] = have
	}
	return nil
}

func importModel(dir, name string, only []string) (*model, error) {
	src := source{}
	if err := readSource(filepath.Join(dir, name, "service-2.json"), &src); err != nil {
		return nil, err
	}
	pages := sourcePages{}
	if err := readSource(filepath.Join(dir, name, "paginators-1.json"), &pages); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	m := newModel(name, src.Metadata)
	var roots []string
	for opName, op := range src.Operations {
		if len(only) > 0 && !slices.Contains(only, opName) {
			continue
		}
		out := operation{In: op.Input.Shape, Out: op.Output.Shape, Result: op.Output.ResultWrapper}
		for _, e := range op.Errors {
			out.Errors = append(out.Errors, e.Shape)
		}
		if op.HTTP.Method != "POST" || op.HTTP.URI != "/" {
			out.Method, out.URI = op.HTTP.Method, op.HTTP.URI
		}
		if p, ok := pages.Pagination[opName]; ok {
			out.Pages = pageFields{In: single(p.In), Out: single(p.Out), Limit: single(p.Limit), Result: single(p.Result)}
		}
		m.Operations[opName] = out
		roots = append(append(roots, out.In, out.Out), out.Errors...)
	}
	for _, opName := range only {
		if _, found := m.Operations[opName]; !found {
			return nil, fmt.Errorf("the model has no operation %s", opName)
		}
	}
	for shapeName, s := range src.Shapes {
		m.Shapes[shapeName] = s.compact()
	}
	keep := m.reachable(roots)
	for shapeName := range src.Shapes {
		if !keep[shapeName] {
			delete(m.Shapes, shapeName)
		}
	}
	m.setTimeFormats(src)
	return m, nil
}

// setTimeFormats copies the format of a timestamp shape to the members that use it.
func (m *model) setTimeFormats(src source) {
	for _, s := range m.Shapes {
		for i, mm := range s.Members {
			if f := src.Shapes[mm.Shape].TimestampFormat; f != "" && mm.Time == "" {
				s.Members[i].Time = f
			}
		}
	}
}

func newModel(name string, meta map[string]any) *model {
	get := func(key string) string { s, _ := meta[key].(string); return s }
	m := &model{
		Name: name, ID: get("serviceId"), Version: get("apiVersion"), Protocol: get("protocol"), JSONVersion: get("jsonVersion"),
		Target: get("targetPrefix"), SigningName: get("signingName"), Endpoint: get("endpointPrefix"), XMLNamespace: get("xmlNamespace"),
		Operations: map[string]operation{}, Shapes: map[string]shape{},
	}
	if m.SigningName == "" {
		m.SigningName = m.Endpoint
	}
	return m
}

func single(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		return single(v[0])
	}
	return ""
}

func (s sourceShape) compact() shape {
	out := shape{
		Type: s.Type, Enum: s.Enum, Min: s.Min, Max: s.Max, Pattern: s.Pattern,
		Flattened: s.Flattened, Document: s.Document, EventStream: s.EventStream,
	}
	for _, m := range s.Members {
		mm := m.compact()
		mm.Required = slices.Contains(s.Required, m.name)
		out.Members = append(out.Members, mm)
	}
	if s.Member != nil {
		out.Elem = new(s.Member.compact())
	}
	if s.Value != nil {
		out.Elem = new(s.Value.compact())
	}
	if s.Key != nil {
		out.Key = new(s.Key.compact())
	}
	if s.Exception {
		out.Error = &errShape{Code: s.Error.Code, Status: s.Error.Status}
		if s.Fault && s.Error.Status == 0 {
			out.Error.Status = 500
		}
	}
	return out
}

func (m sourceMember) compact() member {
	out := member{
		Name: m.name, Shape: m.Shape, Wire: m.LocationName, Query: m.QueryName,
		Flat: m.Flattened, Token: m.IdempotencyToken, Location: m.Location, Time: m.TimestampFormat,
	}
	if out.Wire == out.Name {
		out.Wire = ""
	}
	return out
}

// readSource reads path or path.gz.
func readSource(path string, into any) error {
	data, err := os.ReadFile(path)
	if err == nil {
		return json.Unmarshal(data, into)
	}
	f, gzErr := os.Open(path + ".gz")
	if gzErr != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	return json.NewDecoder(z).Decode(into)
}
