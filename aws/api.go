package aws

import (
	"context"
	"reflect"
	"slices"
	"strings"
)

// Protocol is how requests and answers of a service look on the wire.
type Protocol string

const (
	JSON     Protocol = "json"
	Query    Protocol = "query"
	EC2      Protocol = "ec2"
	RESTJSON Protocol = "rest-json"
	RESTXML  Protocol = "rest-xml"
	CBOR     Protocol = "smithy-rpc-v2-cbor"
)

// API describes one service: generated code fills it in, the front door serves it. It is read-only.
type API struct {
	Name         string // as the AWS CLI names it: ecs
	ID           string // as AWS names it: ECS
	Version      string // 2014-11-13
	Protocol     Protocol
	JSONVersion  string // 1.0 or 1.1
	Target       string // prefix of X-Amz-Target
	SigningName  string // service in the credential scope
	Endpoint     string // first label of the host name
	XMLNamespace string
	Operations   []Operation // sorted by name
	Errors       []ErrorShape
}

// ErrorShape is one error of a model. Code is what the wire shows.
type ErrorShape struct {
	Code   string
	Status int
}

// Operation is one operation. Invoke calls the method of a Handler with an input made by Input.
type Operation struct {
	Name        string
	Input       func() any
	Invoke      func(ctx context.Context, handler, in any) (any, error)
	Errors      []string // codes the model names
	Pages       PageFields
	Idempotency string // member that carries the idempotency token
	Result      string // element around a Query result
	Method, URI string // empty means POST /
	Stream      int    // 1 + the field of the output that is its event stream, 0 for none
}

// PageFields are the wire names of the members of a paged operation.
type PageFields struct{ In, Out, Limit, Result string }

// Op makes the entry of an operation from a method expression such as Handler.RunTask.
func Op[H, I, O any](name string, call func(H, context.Context, *I) (*O, error)) Operation {
	return Operation{
		Name:   name,
		Input:  func() any { return new(I) },
		Stream: streamField(reflect.TypeFor[O]()),
		Invoke: func(ctx context.Context, handler, in any) (any, error) {
			return call(handler.(H), ctx, in.(*I))
		},
	}
}

// Operation finds an operation by name, or returns nil.
func (a *API) Operation(name string) *Operation {
	i, found := slices.BinarySearchFunc(a.Operations, name, func(o Operation, n string) int { return strings.Compare(o.Name, n) })
	if !found {
		return nil
	}
	return &a.Operations[i]
}

// Status is the HTTP status of an error code: what the model says, else 400.
func (a *API) Status(code string) int {
	for _, e := range a.Errors {
		if e.Code == code && e.Status != 0 {
			return e.Status
		}
	}
	return 400
}

// Has says whether the model knows the error code.
func (a *API) Has(code string) bool {
	return slices.ContainsFunc(a.Errors, func(e ErrorShape) bool { return e.Code == code })
}

// Unsupported is the answer of an operation that the model has and Berth has not. It is never a 5xx, which clients
// would retry for minutes.
func (a *API) Unsupported(operation string) *Error {
	code := a.unknownCode()
	if a.Has("UnsupportedFeatureException") {
		code = "UnsupportedFeatureException"
	}
	return Errorf(code, "The operation %s of %s is not supported by this Berth.", operation, a.ID)
}

// Unknown is the answer for an operation that is not in the model.
func (a *API) Unknown(operation string) *Error {
	if a.Protocol == Query || a.Protocol == EC2 {
		return Errorf("InvalidAction", "The action %s is not valid for this web service.", operation)
	}
	return Errorf("UnknownOperationException", "Unknown operation %s.", operation)
}

func (a *API) unknownCode() string {
	switch a.Protocol {
	case EC2:
		return "UnsupportedOperation"
	case Query:
		return "InvalidAction"
	default:
		return "UnknownOperationException"
	}
}

// EventStream is the member of an output that goes on sending events until it returns or ctx ends. send writes one
// event: its name and a shape that becomes its JSON payload.
type EventStream func(ctx context.Context, send func(event string, payload any) error) error

// With returns o with the other facts of more.
func (o Operation) With(more Operation) Operation {
	more.Name, more.Input, more.Invoke, more.Stream = o.Name, o.Input, o.Invoke, o.Stream
	return more
}

func streamField(t reflect.Type) int {
	for i := range t.NumField() {
		if t.Field(i).Type == reflect.TypeFor[EventStream]() {
			return i + 1
		}
	}
	return 0
}
