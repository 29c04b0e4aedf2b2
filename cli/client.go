package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// callTimeout bounds one call; the longest operation that the command line uses answers within a few seconds.
const callTimeout = 60 * time.Second

// Client calls one Berth.
type Client struct {
	Connection
	HTTP *http.Client
}

// NewClient returns a client for the connection.
func NewClient(c Connection) *Client {
	return &Client{Connection: c, HTTP: &http.Client{Timeout: callTimeout}}
}

// Services by their signing name, with the prefix of X-Amz-Target.
const (
	ECS  = "ecs"
	Logs = "logs"
	ECR  = "ecr"
	Own  = "berth"
)

func targetPrefix(service string) string {
	switch service {
	case ECS:
		return "AmazonEC2ContainerServiceV20141113."
	case Logs:
		return "Logs_20140328."
	case ECR:
		return "AmazonEC2ContainerRegistry_V20150921."
	case Own:
		return "Berth_20261101."
	}
	panic("unreachable: no JSON 1.1 service " + service)
}

// Call calls one AWS JSON 1.1 operation. An error of the service comes back as a *Failure with its code.
func Call[Out any](ctx context.Context, c *Client, service, operation string, in any) (*Out, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", operation, err)
	}
	header := http.Header{
		"Content-Type": {"application/x-amz-json-1.1"},
		"X-Amz-Target": {targetPrefix(service) + operation},
	}
	answer, err := c.send(ctx, service, header, body)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	out := new(Out)
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return nil, fmt.Errorf("decode the answer to %s: %w", operation, err)
	}
	return out, nil
}

// Fetch returns the body behind a path that needs no signature.
func (c *Client) Fetch(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Endpoint+path, nil)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", c.Endpoint, err)
	}
	return c.do(req)
}

func (c *Client) send(ctx context.Context, service string, header http.Header, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", c.Endpoint, err)
	}
	req.Header = header
	sum := sha256.Sum256(body)
	cred := awssdk.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	if err := v4.NewSigner().SignHTTP(ctx, cred, req, hex.EncodeToString(sum[:]), service, c.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the call: %w", err)
	}
	return c.do(req)
}

func (c *Client) do(req *http.Request) (io.ReadCloser, error) {
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, failureOf(resp)
	}
	return resp.Body, nil
}

func (c *Client) unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	f := &Failure{What: "Berth does not answer at " + c.Endpoint, Cause: err.Error(), Fix: "berth doctor", Exit: ExitCode(err)}
	switch {
	case c.DataDir == "":
		f.Cause += "; the address is from AWS_ENDPOINT_URL"
		f.Fix = `eval "$(berth env)"`
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Fix = "berth up --detach --data-dir " + c.DataDir
	}
	return f
}

// failureOf reads AWS's JSON form of an error.
func failureOf(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	if json.Unmarshal(data, &e) != nil || e.Type == "" {
		return &Failure{What: "the call failed", Cause: fmt.Sprintf("HTTP %d: %s", resp.StatusCode, strings.TrimSpace(string(data)))}
	}
	code := e.Type[strings.LastIndexByte(e.Type, '#')+1:]
	f := &Failure{What: firstOf(e.Message, e.Upper, code), Code: code, Cause: refusal(resp), Fix: fixOf(code)}
	switch {
	case strings.Contains(code, "NotFound"):
		f.Exit = ExitNotFound
	case isDenied(code):
		f.Exit = ExitDenied
	}
	return f
}

// refusal says which operation was refused, and where.
func refusal(resp *http.Response) string {
	target := resp.Request.Header.Get("X-Amz-Target")
	return fmt.Sprintf("%s at %s answered HTTP %d", target[strings.LastIndexByte(target, '.')+1:], resp.Request.URL.Host, resp.StatusCode)
}

func isDenied(code string) bool {
	return strings.Contains(code, "AccessDenied") || strings.Contains(code, "Signature") || strings.Contains(code, "UnrecognizedClient")
}

// fixOf is a command that shows what there is, or mends what is wrong.
func fixOf(code string) string {
	switch {
	case isDenied(code):
		return `eval "$(berth env)"`
	case code == "ClusterNotFoundException":
		return "aws ecs list-clusters"
	case code == "ServiceNotFoundException":
		return "aws ecs list-services"
	case strings.HasPrefix(code, "Repository"):
		return "aws ecr describe-repositories"
	case code == "ResourceNotFoundException":
		return "berth ps --all"
	case strings.Contains(code, "Parameter"), code == "ClientException", strings.HasSuffix(code, "ValidationException"):
		return "berth help"
	}
	return "berth status"
}
