package wire

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"berth/aws"
)

// parseForm merges the parameters of the URL and of a form body.
func parseForm(r *http.Request, payload []byte) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil && r.Method == http.MethodPost {
		var body url.Values
		body, err = url.ParseQuery(string(payload))
		maps.Copy(values, body)
	}
	if err != nil {
		return nil, aws.Errorf("MalformedQueryString", "The query string can not be read.")
	}
	return values, nil
}

// node is a parameter with its dotted children: A.member.1.B=x.
type node struct {
	value string
	set   bool
	used  bool
	kids  map[string]*node
}

func (n *node) kid(name string) *node {
	if n == nil {
		return nil
	}
	return n.kids[name]
}

// elements are the children with numbers for names, in the order of the numbers.
func (n *node) elements() []*node {
	if n == nil {
		return nil
	}
	type numbered struct {
		at int
		n  *node
	}
	var found []numbered
	for name, kid := range n.kids {
		if at, err := strconv.Atoi(name); err == nil {
			found = append(found, numbered{at, kid})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.at, b.at) })
	out := make([]*node, len(found))
	for i, f := range found {
		out[i] = f.n
	}
	return out
}

const (
	maxNameDepth  = 32
	maxParameters = 20000
)

func parseTree(values url.Values) (*node, error) {
	root := &node{kids: map[string]*node{}}
	if len(values) > maxParameters {
		return nil, aws.Errorf("MalformedQueryString", "The request has more than %d parameters.", maxParameters)
	}
	for name, v := range values {
		parts := strings.Split(name, ".")
		if len(parts) > maxNameDepth {
			return nil, aws.Errorf("MalformedQueryString", "The parameter name %.64q has too many parts.", name)
		}
		at := root
		for _, p := range parts {
			next := at.kids[p]
			if next == nil {
				next = &node{}
				if at.kids == nil {
					at.kids = map[string]*node{}
				}
				at.kids[p] = next
			}
			at = next
		}
		at.value, at.set = v[0], true
	}
	return root, nil
}

// decodeQuery makes the input of op from parameters. EC2 refuses parameters that it does not know; Query services ignore them.
func decodeQuery(api *aws.API, op *aws.Operation, values url.Values) (any, error) {
	if v := values.Get("Version"); v != "" && v != api.Version && api.Protocol == aws.Query {
		return nil, aws.Errorf("InvalidAction", "Could not find operation %s for version %.32s", op.Name, v)
	}
	tree, err := parseTree(values)
	if err != nil {
		return nil, err
	}
	d := queryDecoder{ec2: api.Protocol == aws.EC2}
	in := op.Input()
	if err := d.structure(tree, reflect.ValueOf(in).Elem(), ""); err != nil {
		return nil, err
	}
	if d.ec2 {
		if name := unknownParameter(tree); name != "" {
			return nil, aws.Errorf("UnknownParameter", "The parameter %.64s is not recognized", name)
		}
	}
	return in, nil
}

// unknownParameter is the first parameter by name that no member took, apart from those of signing.
func unknownParameter(tree *node) string {
	for _, name := range slices.Sorted(maps.Keys(tree.kids)) {
		if name == "Action" || name == "Version" || strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		if at := tree.kids[name].unused(name); at != "" {
			return at
		}
	}
	return ""
}

func (n *node) unused(path string) string {
	if n.set && !n.used {
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		if at := n.kids[name].unused(path + "." + name); at != "" {
			return at
		}
	}
	return ""
}

type queryDecoder struct{ ec2 bool }

func (d queryDecoder) structure(n *node, v reflect.Value, path string) error {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("q")
		if name == "" {
			name, _, _ = strings.Cut(field.Tag.Get("json"), ",")
		}
		kid := n.kid(name)
		if kid == nil {
			continue
		}
		if err := d.value(kid, v.Field(i), field.Tag, join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// value decodes n into v, allocating what v points to.
func (d queryDecoder) value(n *node, v reflect.Value, tag reflect.StructTag, path string) error {
	n.used = true
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := d.value(n, p.Elem(), tag, path); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[aws.Time]() {
			return d.scalar(n.value, v, path)
		}
		return d.structure(n, v, path)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return d.scalar(n.value, v, path)
		}
		return d.list(n, v, tag, path)
	case reflect.Map:
		return d.mapping(n, v, tag, path)
	default:
		return d.scalar(n.value, v, path)
	}
}

func (d queryDecoder) list(n *node, v reflect.Value, tag reflect.StructTag, path string) error {
	elements := n.elements()
	if !d.ec2 && tag.Get("flat") == "" {
		item := tag.Get("item")
		if item == "" {
			item = "member"
		}
		if kid := n.kid(item); kid != nil {
			kid.used = true
			elements = kid.elements()
		}
	}
	out := reflect.MakeSlice(v.Type(), len(elements), len(elements))
	for i, e := range elements {
		if err := d.value(e, out.Index(i), "", join(path, strconv.Itoa(i+1))); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (d queryDecoder) mapping(n *node, v reflect.Value, tag reflect.StructTag, path string) error {
	entries := n
	if tag.Get("flat") == "" {
		entries = n.kid("entry")
	}
	out := reflect.MakeMap(v.Type())
	for _, e := range entries.elements() {
		key, kid := e.kid("key"), e.kid("value")
		if key == nil || kid == nil {
			return d.malformed(path, "an entry without key and value")
		}
		key.used = true
		value := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(kid, value, "", join(path, key.value)); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(key.value), value)
	}
	v.Set(out)
	return nil
}

func (d queryDecoder) malformed(path, value string) *aws.Error {
	if d.ec2 {
		return aws.Errorf("InvalidParameterValue", "Value (%.128s) for parameter %s is invalid.", value, path)
	}
	return aws.Errorf("MalformedInput", "%.128s is not a valid value for %s", value, path)
}

func (d queryDecoder) scalar(s string, v reflect.Value, path string) error {
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(strings.ToLower(s))
		v.SetBool(b)
	case reflect.Int32, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(n)
	case reflect.Float64:
		var n float64
		n, err = strconv.ParseFloat(s, 64)
		v.SetFloat(n)
	case reflect.Slice:
		var b []byte
		b, err = base64.StdEncoding.DecodeString(s)
		v.SetBytes(b)
	case reflect.Struct:
		var t *aws.Time
		if t, err = aws.ParseTime(s); err == nil {
			v.Set(reflect.ValueOf(*t))
		}
	default:
		panic("unreachable: no generated shape has a " + v.Type().String())
	}
	if err != nil {
		return d.malformed(path, s)
	}
	return nil
}
