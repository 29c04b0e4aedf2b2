package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFailureOfReadsWhatAServiceAnswers(t *testing.T) {
	const refused = "RunTask at 127.0.0.1:4566 answered HTTP 502"
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:4566/", nil)
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.RunTask")
	for _, c := range []struct {
		name, body string
		want       Failure
	}{
		{"a code and a message", `{"__type":"InvalidParameterException","message":"no"}`, Failure{What: "no", Code: "InvalidParameterException", Cause: refused, Fix: "berth help"}},
		{"a code with a name space", `{"__type":"com.amazonaws.ecs#ClientException","Message":"bad"}`, Failure{What: "bad", Code: "ClientException", Cause: refused, Fix: "berth help"}},
		{"a code alone", `{"__type":"ServerException"}`, Failure{What: "ServerException", Code: "ServerException", Cause: refused, Fix: "berth status"}},
		{"no such thing", `{"__type":"ClusterNotFoundException","message":"none"}`, Failure{What: "none", Code: "ClusterNotFoundException", Cause: refused, Fix: "aws ecs list-clusters", Exit: ExitNotFound}},
		{"wrong credentials", `{"__type":"UnrecognizedClientException","message":"who"}`,
			Failure{What: "who", Code: "UnrecognizedClientException", Cause: refused, Fix: `eval "$(berth env)"`, Exit: ExitDenied}},
		{"wrong signature", `{"__type":"InvalidSignatureException","message":"sig"}`,
			Failure{What: "sig", Code: "InvalidSignatureException", Cause: refused, Fix: `eval "$(berth env)"`, Exit: ExitDenied}},
		{"not JSON", "<html>\n", Failure{What: "the call failed", Cause: "HTTP 502: <html>"}},
		{"JSON of something else", `{"a":1}`, Failure{What: "the call failed", Cause: `HTTP 502: {"a":1}`}},
		{"nothing", "", Failure{What: "the call failed", Cause: "HTTP 502: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := failureOf(&http.Response{StatusCode: 502, Request: req, Body: io.NopCloser(strings.NewReader(c.body))})
			if diff := cmp.Diff(&c.want, err); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnreachableSaysWhereTheAddressIsFrom(t *testing.T) {
	for _, c := range []struct {
		name, dataDir string
		err           error
		cause, fix    string
	}{
		{"of a data directory", "/d", syscall.ECONNREFUSED, "connection refused", "berth up --detach --data-dir /d"},
		{"of a data directory, and something answers badly", "/d", io.ErrUnexpectedEOF, "unexpected EOF", "berth doctor"},
		{"of the environment", "", syscall.ECONNREFUSED, "AWS_ENDPOINT_URL", `eval "$(berth env)"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := NewClient(Connection{Endpoint: "http://127.0.0.1:1", DataDir: c.dataDir})
			f, ok := errors.AsType[*Failure](client.unreachable(c.err))
			if !ok || !strings.Contains(f.Cause, c.cause) || f.Fix != c.fix {
				t.Errorf("got %+v", f)
			}
		})
	}
	if err := NewClient(Connection{}).unreachable(context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Ctrl-C became %v", err)
	}
}

func TestReportHasFourPartsAndTheExitCode(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
		code int
	}{
		{"all parts", &Failure{What: "w", Cause: "one\ntwo", Fix: "f", Code: "C", Exit: ExitNotFound}, "error: w\ncause: one\n       two\nfix:   f\ncode:  C\n", ExitNotFound},
		{"one part", &Failure{What: "w"}, "error: w\n", ExitFailed},
		{"any other error", io.EOF, "error: EOF\n", ExitFailed},
		{"a wait that ended", fmt.Errorf("wait: %w", context.DeadlineExceeded), "error: wait: context deadline exceeded\n", ExitTimedOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := Report(&out, c.err); code != c.code || out.String() != c.want {
				t.Errorf("exit code %d and %q", code, out.String())
			}
		})
	}
}

func TestTableInAPipeIsLinesOfTabs(t *testing.T) {
	var out bytes.Buffer
	table := Table{Heading: []string{"A", "B"}, Rows: [][]string{{"1", "2"}, {"3", ""}}}
	if err := Print(&out, "", table, nil); err != nil || out.String() != "1\t2\n3\t\n" {
		t.Errorf("%v: %q", err, out.String())
	}
	out.Reset()
	if err := Print(&out, "json", table, []string{"<a>"}); err != nil || out.String() != "[\n  \"<a>\"\n]\n" {
		t.Errorf("%v: %q", err, out.String())
	}
}
