// Package wire is the front door: one HTTP handler for all AWS services. It tells the service and operation of a request,
// has its signature verified, decodes and checks the input, calls the handler, and writes the answer or the error in the
// service's protocol.
//
//	request -> route.go (which service, which operation) -> Authenticate -> json.go or query.go (decode) -> Validate
//	        -> Authorize -> handler -> json.go, xml.go or eventstream.go (encode)
//	        -> errors.go (the one place where errors become answers), log.go
package wire

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"berth/aws"
)

// Config of the front door. Services and Authenticate are required.
type Config struct {
	Services     []Service
	Mounts       []Mount
	Authenticate Authenticator

	// Authorize decides before the handler runs; an error is the answer. Nil allows everything.
	Authorize func(ctx context.Context, api *aws.API, op *aws.Operation, in any) error

	// Unavailable says whether an internal error means that the request may succeed later, such as a full or unreachable
	// store, and what to tell the caller. Such answers have status 503. Nil means that there are none.
	Unavailable func(err error) (text string, ok bool)

	Log        *slog.Logger // internal errors and panics; nil means slog.Default()
	RequestLog *slog.Logger // one line for each request; nil means none
	BodyLimit  int64        // bytes of a body, packed and unpacked; 0 means 10 MiB
}

// Service is one AWS service behind the front door. Handler implements the generated Handler of the API's package.
type Service struct {
	API     *aws.API
	Handler any

	// Invalid turns broken constraints of the model into an error. Nil means the form that AWS uses for the service.
	// An Invalid that returns nil leaves the input to the handler's own checks.
	Invalid func(op string, broken []aws.Violation) error
}

// Mount serves a path that is not an AWS API. A Prefix that ends in a slash matches everything below it.
type Mount struct {
	Prefix  string
	Handler http.Handler
}

// Authenticator finds out who sent r. api is the service that the request is for. read returns the body as it was sent,
// at most once, and should be called only after the cheap checks. The payload is the body without any signing frames.
// The error is an *aws.Error in the codes of api's protocol.
type Authenticator func(r *http.Request, api *aws.API, read func() ([]byte, error)) (caller aws.Caller, payload []byte, err error)

const defaultBodyLimit = 10 << 20

type frontDoor struct {
	Config
	byTarget, bySigning, byEndpoint map[string]*Service
}

// New makes the handler.
func New(c Config) http.Handler {
	f := &frontDoor{
		Config: c, byTarget: map[string]*Service{}, bySigning: map[string]*Service{}, byEndpoint: map[string]*Service{},
	}
	if f.Log == nil {
		f.Log = slog.Default()
	}
	if f.BodyLimit == 0 {
		f.BodyLimit = defaultBodyLimit
	}
	for i := range c.Services {
		s := &c.Services[i]
		f.bySigning[s.API.SigningName] = s
		f.byEndpoint[s.API.Endpoint] = s
		if s.API.Target != "" {
			f.byTarget[s.API.Target] = s
		}
	}
	return f
}

func (f *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{id: aws.NewUUID(), start: time.Now(), w: &recorder{ResponseWriter: w}, r: r}
	c.w.Header().Set("x-amzn-RequestId", c.id)
	defer f.logRequest(c)
	defer f.recover(c)
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Time{}) // of the request before on this connection
	if !isSigned(r) {
		if h := f.mount(r.URL.Path); h != nil {
			h.ServeHTTP(c.w, r.WithContext(aws.WithRequestID(r.Context(), c.id)))
			return
		}
	}
	f.serveAWS(c)
}

// call is one request on its way.
type call struct {
	id      string
	start   time.Time
	w       *recorder
	r       *http.Request
	service *Service
	op      string
	caller  aws.Caller
	code    string // of the error answered
}

func (c *call) api() *aws.API {
	if c.service == nil {
		return nil
	}
	return c.service.API
}

// bodyTime is how long the body of a request may take; answerTime is for each write of an answer.
const (
	bodyTime   = 60 * time.Second
	answerTime = 60 * time.Second
)

func (f *frontDoor) serveAWS(c *call) {
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // not supported by test recorders
	op, out, err := f.do(c)
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	if err == nil && op.Stream != 0 {
		err = f.stream(c, op, out)
	} else if err == nil {
		err = writeAnswer(c, op, out)
	}
	if err != nil {
		f.writeError(c, err)
	}
}

// do carries out the request up to its output.
func (f *frontDoor) do(c *call) (*aws.Operation, any, error) {
	var target string
	c.service, target = f.route(c.r)
	if c.service == nil {
		return nil, nil, unknownService(c.r)
	}
	api := c.service.API
	caller, payload, err := f.Authenticate(c.r, api, func() ([]byte, error) { return f.readBody(c) })
	if err != nil {
		return nil, nil, err
	}
	c.caller = caller
	if payload, err = unpack(c.r, payload, f.BodyLimit); err != nil {
		return nil, nil, err
	}
	in, op, err := f.decode(c, target, payload)
	if err != nil {
		return nil, nil, err
	}
	ctx := aws.WithRequestID(aws.WithCaller(c.r.Context(), caller), c.id)
	if err := f.validate(c.service, op, in); err != nil {
		return nil, nil, err
	}
	if f.Authorize != nil {
		if err := f.Authorize(ctx, api, op, in); err != nil {
			return nil, nil, err
		}
	}
	out, err := op.Invoke(ctx, c.service.Handler, in)
	return op, out, err
}

func (f *frontDoor) decode(c *call, target string, payload []byte) (in any, op *aws.Operation, err error) {
	api := c.service.API
	if isXML(api) {
		values, err := parseForm(c.r, payload)
		if err != nil {
			return nil, nil, err
		}
		c.op = values.Get("Action")
		if op = api.Operation(c.op); op == nil {
			return nil, nil, unknownAction(api, c.op)
		}
		in, err = decodeQuery(api, op, values)
		return in, op, err
	}
	c.op = target
	if op = api.Operation(target); op == nil || c.r.Method != http.MethodPost {
		return nil, nil, api.Unknown(target)
	}
	in, err = decodeJSON(op, payload)
	return in, op, err
}

func (f *frontDoor) validate(s *Service, op *aws.Operation, in any) error {
	v, ok := in.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := v.Validate()
	broken, ok := errors.AsType[*aws.Invalid](err)
	if !ok {
		return err
	}
	if s.Invalid != nil {
		return s.Invalid(op.Name, broken.Violations)
	}
	return invalid(s.API, op, broken)
}

func (f *frontDoor) mount(path string) http.Handler {
	var best *Mount
	for i, m := range f.Mounts {
		match := path == m.Prefix || strings.HasSuffix(m.Prefix, "/") && (strings.HasPrefix(path, m.Prefix) || path == strings.TrimSuffix(m.Prefix, "/"))
		if match && (best == nil || len(m.Prefix) > len(best.Prefix)) {
			best = &f.Mounts[i]
		}
	}
	if best == nil {
		return nil
	}
	return best.Handler
}

// recover turns a panic into a logged 500. http.ErrAbortHandler goes on, as net/http wants it.
func (f *frontDoor) recover(c *call) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // the exact value is the contract
		panic(v)
	}
	f.Log.Error("panic in a request", "request", c.id, "op", c.op, "err", v, "stack", string(debug.Stack()))
	f.writeInternal(c)
}
