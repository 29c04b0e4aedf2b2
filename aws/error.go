package aws

import "fmt"

// Error is a failure that the caller of an API sees. Code is a code of the service's model or of the protocol.
// Status 0 means what the model says for Code, and 400 where it says nothing. Fields are further members of the
// error shape by wire name, such as resourceIds of ConflictException.
type Error struct {
	Code    string
	Message string
	Status  int
	Fields  map[string]any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an error with the model's status for code.
func Errorf(code, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Code: code, Message: format}
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With returns a copy of e with one more member in the error shape.
func (e *Error) With(name string, value any) *Error {
	out := *e
	out.Fields = make(map[string]any, len(e.Fields)+1)
	for k, v := range e.Fields {
		out.Fields[k] = v
	}
	out.Fields[name] = value
	return &out
}
