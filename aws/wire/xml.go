package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"berth/aws"
)

// encodeXML writes the answer of op in the form of its protocol:
//
//	Query: <OpResponse><OpResult>...</OpResult><ResponseMetadata><RequestId/></ResponseMetadata></OpResponse>
//	EC2:   <OpResponse><requestId/>...</OpResponse>
func encodeXML(api *aws.API, op *aws.Operation, requestID string, out any) ([]byte, error) {
	e := &xmlEncoder{}
	e.b.WriteString(xml.Header)
	fmt.Fprintf(&e.b, "<%sResponse xmlns=%q>", op.Name, api.XMLNamespace)
	v := reflect.ValueOf(out)
	present := v.IsValid() && !v.IsNil()
	if api.Protocol == aws.EC2 {
		element(&e.b, "requestId", requestID)
		if present && v.Elem().NumField() > 0 {
			e.structure(v.Elem())
		} else {
			element(&e.b, "return", "true")
		}
	} else {
		if op.Result != "" {
			e.b.WriteString("<" + op.Result + ">")
			if present {
				e.structure(v.Elem())
			}
			e.b.WriteString("</" + op.Result + ">")
		}
		e.b.WriteString("<ResponseMetadata>")
		element(&e.b, "RequestId", requestID)
		e.b.WriteString("</ResponseMetadata>")
	}
	e.b.WriteString("</" + op.Name + "Response>")
	return e.b.Bytes(), e.err
}

type xmlEncoder struct {
	b   bytes.Buffer
	err error
}

// structure writes the members that are present.
func (e *xmlEncoder) structure(v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		field := v.Field(i)
		if field.IsZero() {
			continue
		}
		tag := t.Field(i).Tag
		name := tag.Get("x")
		if name == "" {
			name, _, _ = strings.Cut(tag.Get("json"), ",")
		}
		e.value(name, field, tag)
	}
}

func (e *xmlEncoder) value(name string, v reflect.Value, tag reflect.StructTag) {
	switch v.Kind() {
	case reflect.Pointer:
		e.value(name, v.Elem(), tag)
	case reflect.Struct:
		if t, ok := v.Interface().(aws.Time); ok {
			element(&e.b, name, t.ISO8601())
			return
		}
		e.b.WriteString("<" + name + ">")
		e.structure(v)
		e.b.WriteString("</" + name + ">")
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			element(&e.b, name, base64.StdEncoding.EncodeToString(v.Bytes()))
			return
		}
		e.list(name, v, tag)
	case reflect.Map:
		e.mapping(name, v, tag)
	default:
		e.scalar(name, v)
	}
}

func (e *xmlEncoder) list(name string, v reflect.Value, tag reflect.StructTag) {
	item := name
	if tag.Get("flat") == "" {
		if item = tag.Get("item"); item == "" {
			item = "member"
		}
		e.b.WriteString("<" + name + ">")
		defer func() { e.b.WriteString("</" + name + ">") }()
	}
	for i := range v.Len() {
		e.value(item, v.Index(i), "")
	}
}

func (e *xmlEncoder) mapping(name string, v reflect.Value, tag reflect.StructTag) {
	item := name
	if tag.Get("flat") == "" {
		item = "entry"
		e.b.WriteString("<" + name + ">")
		defer func() { e.b.WriteString("</" + name + ">") }()
	}
	keys := map[string]reflect.Value{}
	for it := v.MapRange(); it.Next(); {
		keys[it.Key().String()] = it.Value()
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		e.b.WriteString("<" + item + ">")
		element(&e.b, "key", k)
		e.value("value", keys[k], "")
		e.b.WriteString("</" + item + ">")
	}
}

func (e *xmlEncoder) scalar(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		element(&e.b, name, v.String())
	case reflect.Bool:
		element(&e.b, name, strconv.FormatBool(v.Bool()))
	case reflect.Int32, reflect.Int64:
		element(&e.b, name, strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		element(&e.b, name, strconv.FormatFloat(v.Float(), 'g', -1, 64))
	default:
		e.err = fmt.Errorf("no XML form for %s in %s", v.Type(), name)
	}
}
