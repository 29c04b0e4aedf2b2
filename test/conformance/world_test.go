package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	product "berth/aws"
	"berth/server"
)

const region = "us-east-1"

// endpoint is where the tests ask. Written by TestMain, before any test.
var endpoint struct {
	url string
	dev bool // takes any credentials: every test gets an account of its own
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	endpoint.url, endpoint.dev = os.Getenv("BERTH_ENDPOINT"), os.Getenv("BERTH_DEV_CREDENTIALS") == "1"
	if endpoint.url != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "berth-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	url, stop, err := start(server.Config{DataDir: dir, DevCredentials: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the control plane:", err)
		return 1
	}
	endpoint.url, endpoint.dev = url, true
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "end the control plane:", err)
		return 1
	}
	return code
}

// start runs a control plane on free ports and returns its URL, and how to end it.
func start(c server.Config) (url string, stop func() error, err error) {
	c.Listen, c.AgentListen, c.Account, c.Region, c.Version = "127.0.0.1:0", "127.0.0.1:0", server.DefaultAccount, region, "test"
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	go func() { ended <- server.Run(ctx, c, log) }()
	stop = func() error { cancel(); return <-ended }
	file := filepath.Join(c.DataDir, "run", "server.json")
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case err := <-ended:
			cancel()
			return "", nil, errors.Join(errors.New("the server ended"), err)
		case <-tick.C:
		}
		var at struct{ Listen string }
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &at) == nil {
			tick.Stop()
			return "http://" + at.Listen, stop, nil
		}
	}
}

// world is one test's view of the endpoint.
type world struct {
	t           *testing.T
	url         string
	account     string
	credentials aws.Credentials

	ecs  *ecs.Client
	logs *cloudwatchlogs.Client
	ecr  *ecr.Client
	sts  *sts.Client
	acm  *acm.Client
}

// newWorld makes clients, in an account of the test's own where the endpoint allows it.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, url: endpoint.url, account: server.DefaultAccount}
	w.credentials = aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	if endpoint.dev {
		w.account = fmt.Sprintf("%012d", 1+rand.Int64N(999_999_999_998))
		w.credentials = aws.Credentials{AccessKeyID: w.account, SecretAccessKey: "any"}
	}
	return w.connect()
}

func (w *world) connect() *world {
	c := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.credentials, nil })
	w.ecs = ecs.New(ecs.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	w.logs = cloudwatchlogs.New(cloudwatchlogs.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	w.ecr = ecr.New(ecr.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	w.sts = sts.New(sts.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	w.acm = acm.New(acm.Options{BaseEndpoint: &w.url, Region: region, Credentials: c, RetryMaxAttempts: 1})
	return w
}

// ownAccount is newWorld for tests that look at everything in an account.
func ownAccount(t *testing.T) *world {
	t.Helper()
	if !endpoint.dev {
		t.Skip("the endpoint does not take development credentials")
	}
	return newWorld(t)
}

// targets begin the X-Amz-Target header of the JSON services.
func target(service string) string {
	return map[string]string{
		"ecs": "AmazonEC2ContainerServiceV20141113.", "logs": "Logs_20140328.", "ecr": "AmazonEC2ContainerRegistry_V20150921.",
		"servicediscovery": "Route53AutoNaming_v20170314.",
		"acm":              "CertificateManager.",
	}[service]
}

// post sends a body as it is to an operation of a JSON service, signed, and returns status and answer.
func (w *world) post(service, operation, body string) (int, http.Header, []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target(service)+operation)
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(w.t.Context(), w.credentials, r, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, answer
}

// refusal is "Code: message" of the answer to a bad request; "" if there was no error.
func (w *world) refusal(service, operation, body string) string {
	w.t.Helper()
	status, header, answer := w.post(service, operation, body)
	if status == http.StatusOK {
		return ""
	}
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(answer, &e); err != nil {
		w.t.Errorf("%s %s: answer %d %q", service, operation, status, answer)
	}
	if status != http.StatusBadRequest || header.Get("Content-Type") != "application/x-amz-json-1.1" || header.Get("X-Amzn-Requestid") == "" {
		w.t.Errorf("%s %s: status %d, header %v", service, operation, status, header)
	}
	return e.Type + ": " + e.Message
}

// bad is one bad input.
type bad struct{ operation, body, want string }

// refuses sends every row and compares code and message.
func (w *world) refuses(service string, rows []bad) {
	w.t.Helper()
	for _, r := range rows {
		if got := w.refusal(service, r.operation, r.body); got != r.want {
			w.t.Errorf("%s %s\n got %s\nwant %s", r.operation, short(r.body), got, r.want)
		}
	}
}

func short(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}

func long(n int) string { return strings.Repeat("x", n) }

// name is unique to this run.
func name(stem string) string { return fmt.Sprintf("%s-%08x", stem, rand.Uint32()) }

// must fails the test on an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantError compares code and message of an error that the SDK made.
func wantError(t *testing.T, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || e.ErrorMessage() != message {
		t.Errorf("got %v, want %s: %s", err, code, message)
	}
}

// recent says whether a time is now, give or take the tests' own duration.
func recent(t *time.Time) bool {
	return t != nil && time.Since(*t).Abs() < 10*time.Minute && t.Nanosecond()%int(time.Millisecond) == 0
}

// refusesWhatIsNotBuilt calls every operation that a service has no method of its own for. Some are refused for what
// the model requires before they are refused as such.
func (w *world) refusesWhatIsNotBuilt(service string, handler any, api *product.API) {
	w.t.Helper()
	for _, op := range api.Operations {
		m, ok := reflect.TypeOf(handler).MethodByName(op.Name)
		file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer())
		built := ok && file != "<autogenerated>"
		got := w.refusal(service, op.Name, "{}")
		refused := got == "UnknownOperationException: The operation "+op.Name+" of "+api.ID+" is not supported by this Berth."
		required := strings.Contains(got, "failed to satisfy constraint")
		if built && refused || !built && !refused && !required {
			w.t.Errorf("%s: built %v, answers %s", op.Name, built, got)
		}
	}
}
