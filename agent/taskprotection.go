package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"berth/agent/proto"
	"berth/aws"
)

// Limits of a request for a task's protection.
const (
	protectionBody = 4 << 10
	// protectionWait is how long the server may take. Source: Amazon ECS agent.
	protectionWait = 4 * time.Second
)

// protectionRequest is what a container sends. Source: ECS developer guide, task scale-in protection endpoint.
type protectionRequest struct {
	ProtectionEnabled *bool
	ExpiresInMinutes  *int32
}

// protectionAnswer is what it gets: one of protection, failure and error.
type protectionAnswer struct {
	RequestID  string             `json:"requestID,omitzero"`
	Protection *protection        `json:"protection,omitzero"`
	Failure    *protectionFailure `json:"failure,omitzero"`
	Error      *protectionError   `json:"error,omitzero"`
}

type protection struct {
	ExpirationDate    *time.Time // null when the task is not protected
	ProtectionEnabled bool
	TaskArn           string
}

type protectionFailure struct {
	Arn    string
	Detail *string
	Reason string
}

type protectionError struct {
	Arn     string `json:",omitzero"`
	Code    string
	Message string
}

func protectionErrorOf(task, code, message string) protectionAnswer {
	return protectionAnswer{Error: &protectionError{Arn: task, Code: code, Message: message}}
}

// Requests that are none for protection. The texts are ECS's, but for that of the size.
var (
	errBadProtection     = errors.New("UpdateTaskProtection: failed to decode request")
	errLargeProtection   = errors.New("UpdateTaskProtection: the request is too large")
	errWithoutProtection = errors.New("Invalid request: does not contain 'ProtectionEnabled' field")
)

func readNothing(*http.Request) (protectionRequest, error) { return protectionRequest{}, nil }

func readProtection(r *http.Request) (in protectionRequest, err error) {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, protectionBody))
	d.DisallowUnknownFields()
	if err = d.Decode(&in); err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) { // nothing follows
			err = nil
		} else if err == nil {
			err = errBadProtection
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return in, errLargeProtection
	}
	if err != nil {
		return in, errBadProtection
	}
	if in.ProtectionEnabled == nil {
		return in, errWithoutProtection
	}
	return in, nil
}

// taskProtection answers containers of a network mode what read makes of their requests.
func (e *endpoints) taskProtection(mode string, read func(*http.Request) (protectionRequest, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, status := e.who(mode, r)
		var answer protectionAnswer
		switch status {
		case http.StatusOK:
			status, answer = e.protect(r, who.task, read)
		case http.StatusTooManyRequests:
			answer = protectionErrorOf(who.task, "ThrottlingException", "Rate exceeded")
		default:
			answer = protectionErrorOf("", "ResourceNotFoundException", "Failed to find a task for the request")
		}
		writeJSON(w, status, answer)
	}
}

// protect has the server read or set the protection of a task.
func (e *endpoints) protect(r *http.Request, task string, read func(*http.Request) (protectionRequest, error)) (int, protectionAnswer) {
	in, err := read(r)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errLargeProtection) {
			status = http.StatusRequestEntityTooLarge
		}
		return status, protectionErrorOf(task, "InvalidParameterException", err.Error())
	}
	ctx, cancel := context.WithTimeout(r.Context(), protectionWait)
	defer cancel()
	var out proto.TaskProtectionAnswer
	text, err := e.ask(ctx, proto.PathTaskProtection, proto.TaskProtection{
		Task: task, ProtectionEnabled: in.ProtectionEnabled, ExpiresInMinutes: in.ExpiresInMinutes,
	})
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		e.log.Debug("a task was not told of its protection", "task", task, "err", err)
		return unanswered(task, err)
	}
	return answered(task, out)
}

// unanswered is what a task is told when the server could not be asked or did not want to answer.
func unanswered(task string, err error) (int, protectionAnswer) {
	refused, ok := errors.AsType[*errRefused](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, protectionErrorOf(task, "RequestCanceled", "Timed out calling Amazon ECS Task Protection API")
	case ok && refused.status == http.StatusForbidden:
		return http.StatusForbidden, protectionErrorOf(task, "AccessDeniedException", refused.text)
	}
	return http.StatusServiceUnavailable, protectionErrorOf(task, "ServerException", "Amazon ECS Task Protection API can't be reached now: try again")
}

func answered(task string, out proto.TaskProtectionAnswer) (int, protectionAnswer) {
	switch {
	case out.Error != nil:
		answer := protectionErrorOf(task, out.Error.Code, out.Error.Message)
		answer.RequestID = out.RequestID
		return out.Error.Status, answer
	case out.Failure != nil:
		f := out.Failure
		return http.StatusOK, protectionAnswer{Failure: &protectionFailure{Arn: aws.Value(f.Arn), Detail: f.Detail, Reason: aws.Value(f.Reason)}}
	case out.Protection == nil:
		return http.StatusInternalServerError, protectionErrorOf(task, "ServerException", "Unexpected error occurred")
	}
	p := out.Protection
	is := &protection{ProtectionEnabled: aws.Value(p.ProtectionEnabled), TaskArn: aws.Value(p.TaskArn)}
	if p.ExpirationDate != nil {
		is.ExpirationDate = new(p.ExpirationDate.UTC().Truncate(time.Millisecond))
	}
	return http.StatusOK, protectionAnswer{Protection: is}
}
