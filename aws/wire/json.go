package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"berth/aws"
)

// decodeJSON makes the input of op. Members that the model has not are ignored, as AWS does.
func decodeJSON(op *aws.Operation, payload []byte) (any, error) {
	in := op.Input()
	if len(bytes.TrimSpace(payload)) == 0 {
		return in, nil
	}
	if first := bytes.TrimSpace(payload)[0]; first != '{' {
		return nil, aws.Errorf("SerializationException", "Unexpected token: the body must be a JSON object")
	}
	if err := json.Unmarshal(payload, in); err != nil {
		return nil, serialization(err)
	}
	return in, nil
}

func serialization(err error) *aws.Error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return aws.Errorf("SerializationException", "%s can not be converted to %s at '%s'", jsonKind(e.Value), goKind(e.Type), e.Field)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return aws.Errorf("SerializationException", "The body is not JSON: %s at byte %d", e.Error(), e.Offset)
	}
	return aws.Errorf("SerializationException", "The body can not be read: %v", err)
}

func jsonKind(value string) string {
	switch value {
	case "string":
		return "STRING_VALUE"
	case "bool":
		return "A boolean"
	case "object":
		return "Start of structure or map"
	case "array":
		return "Start of list"
	default:
		return "NUMBER_VALUE"
	}
}

func goKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a String"
	case reflect.Bool:
		return "a Boolean"
	case reflect.Int32:
		return "an Integer"
	case reflect.Int64:
		return "a Long"
	case reflect.Float64:
		return "a Double"
	case reflect.Slice:
		return "a List"
	case reflect.Map:
		return "a Map"
	default:
		return "a Structure"
	}
}

func writeAnswer(c *call, op *aws.Operation, out any) error {
	api := c.service.API
	if isXML(api) {
		body, err := encodeXML(api, op, c.id, out)
		if err != nil {
			return fmt.Errorf("encode the answer of %s: %w", op.Name, err)
		}
		writeBody(c, "text/xml;charset=UTF-8", http.StatusOK, body)
		return nil
	}
	body, err := marshal(out)
	if err != nil {
		return fmt.Errorf("encode the answer of %s: %w", op.Name, err)
	}
	writeBody(c, jsonType(api), http.StatusOK, body)
	return nil
}

func jsonType(api *aws.API) string {
	if api == nil || api.JSONVersion == "" {
		return "application/x-amz-json-1.1"
	}
	return "application/x-amz-json-" + api.JSONVersion
}

// marshal writes JSON without HTML escapes. A nil output is an empty object.
func marshal(out any) ([]byte, error) {
	if v := reflect.ValueOf(out); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return []byte("{}"), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func writeBody(c *call, contentType string, status int, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone; the log has the bytes written
}
