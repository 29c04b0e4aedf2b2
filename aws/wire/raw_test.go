package wire_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	apiecs "berth/api/ecs"
	apilogs "berth/api/logs"
	apists "berth/api/sts"
	"berth/aws/wire"
	"berth/iam"
	stsservice "berth/sts"
)

// raw sends a request that no SDK would make, signed unless service is "".
func (w *world) raw(t *testing.T, service, method, path, body string, headers map[string]string) (status int, code, text string, answer http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	if service != "" {
		sum := sha256.Sum256([]byte(body))
		err := v4.NewSigner().SignHTTP(t.Context(), sdk.Credentials{AccessKeyID: w.key.ID, SecretAccessKey: w.key.Secret.Reveal()}, r, hex.EncodeToString(sum[:]), service, region, time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	resp, err := w.dial.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	text = string(all)
	shape := struct {
		Type string `json:"__type"`
	}{}
	if json.Unmarshal(all, &shape) == nil {
		code = shape.Type
	} else if _, after, found := strings.Cut(text, "<Code>"); found {
		code, _, _ = strings.Cut(after, "</Code>")
	}
	return resp.StatusCode, code, text, resp.Header
}

func ecsTarget(op string) map[string]string {
	return map[string]string{"X-Amz-Target": "AmazonEC2ContainerServiceV20141113." + op, "Content-Type": "application/x-amz-json-1.1"}
}

var form = map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, service, method, path, body string
		headers                           map[string]string
		status                            int
		code, text                        string
	}{
		{"unknown target", "ecs", "POST", "/", "{}", ecsTarget("Fly"), 400, "UnknownOperationException", ""},
		{"unknown service in target", "ecs", "POST", "/", "{}", map[string]string{"X-Amz-Target": "Other.RunTask"}, 400, "UnknownOperationException", ""},
		{"target without dot", "ecs", "POST", "/", "{}", map[string]string{"X-Amz-Target": "RunTask"}, 400, "", ""},
		{"no target", "ecs", "POST", "/", "{}", nil, 400, "UnknownOperationException", ""},
		{"GET with target", "ecs", "GET", "/", "", ecsTarget("RunTask"), 400, "UnknownOperationException", ""},
		{"service that is not there", "kinesis", "POST", "/", "{}", nil, 400, "UnknownOperationException", "kinesis"},
		{"unsigned JSON", "", "POST", "/", "{}", ecsTarget("RunTask"), 400, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"unsigned form", "", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", form, 403, "MissingAuthenticationToken", ""},
		{"unsigned anything", "", "GET", "/wp-login.php", "", nil, 404, "UnknownOperationException", ""},
		{"target of one service, scope of another", "logs", "POST", "/", "{}", ecsTarget("RunTask"), 400, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecs'."},

		{"string for number", "ecs", "POST", "/", `{"count":"2"}`, ecsTarget("RunTask"), 400, "SerializationException", "STRING_VALUE can not be converted to an Integer at 'count'"},
		{"number for string", "ecs", "POST", "/", `{"taskDefinition":2}`, ecsTarget("RunTask"), 400, "SerializationException", "NUMBER_VALUE can not be converted to a String at 'taskDefinition'"},
		{"fraction for integer", "ecs", "POST", "/", `{"count":1.5}`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"too large an integer", "ecs", "POST", "/", `{"count":99999999999}`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"list for structure", "ecs", "POST", "/", `{"overrides":[]}`, ecsTarget("RunTask"), 400, "SerializationException", "Start of list can not be converted to a Structure"},
		{"structure for list", "ecs", "POST", "/", `{"tags":{}}`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"string for boolean", "ecs", "POST", "/", `{"enableECSManagedTags":"true"}`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"structure for enum", "ecs", "POST", "/", `{"launchType":{}}`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"broken JSON", "ecs", "POST", "/", `{"count":`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"two JSON values", "ecs", "POST", "/", `{}{}`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"list as body", "ecs", "POST", "/", `[]`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"null as body", "ecs", "POST", "/", `null`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"XML as body", "ecs", "POST", "/", `<a/>`, ecsTarget("RunTask"), 400, "SerializationException", ""},
		{"deep JSON", "ecs", "POST", "/", `{"x":` + strings.Repeat("[", 20000), ecsTarget("RunTask"), 400, "SerializationException", ""},

		{"required member absent", "ecs", "POST", "/", `{}`, ecsTarget("RunTask"), 400, "InvalidParameterException", "Task Definition cannot be empty."},
		{"required member null", "ecs", "POST", "/", `{"taskDefinition":null}`, ecsTarget("RunTask"), 400, "InvalidParameterException", ""},
		{"unknown enum value", "ecs", "POST", "/", `{"taskDefinition":"a","launchType":"MOON"}`, ecsTarget("RunTask"), 400, "InvalidParameterException", "MOON"},

		{"body too large", "ecs", "POST", "/", strings.Repeat(" ", 1<<20+1), ecsTarget("RunTask"), 413, "RequestEntityTooLargeException", ""},
		{"gzip that is not", "ecs", "POST", "/", "{}", with(ecsTarget("RunTask"), "Content-Encoding", "gzip"), 400, "SerializationException", ""},
		{"gzip bomb", "ecs", "POST", "/", zip(strings.Repeat(" ", 64<<20)), with(ecsTarget("RunTask"), "Content-Encoding", "gzip"), 413, "RequestEntityTooLargeException", ""},
		{"unknown encoding", "ecs", "POST", "/", "{}", with(ecsTarget("RunTask"), "Content-Encoding", "br"), 415, "UnsupportedMediaType", ""},

		{"no action", "sts", "POST", "/", "Version=2011-06-15", form, 400, "MissingAction", ""},
		{"unknown action", "sts", "POST", "/", "Action=Fly&Version=2011-06-15", form, 400, "InvalidAction", ""},
		{"other version", "sts", "POST", "/", "Action=GetCallerIdentity&Version=1999-01-01", form, 400, "InvalidAction", ""},
		{"broken form", "sts", "POST", "/", "Action=%zz", form, 400, "MalformedQueryString", ""},
		{"word for number", "elasticloadbalancing", "POST", "/", "Action=CreateTargetGroup&Version=2015-12-01&Name=a&Port=x", form, 400, "MalformedInput", ""},
		{"word for boolean", "ec2", "POST", "/", "Action=DescribeVpcs&DryRun=maybe", form, 400, "InvalidParameterValue", "DryRun"},
		{"unknown EC2 parameter", "ec2", "POST", "/", "Action=DescribeVpcs&Nonsense.1=x", form, 400, "UnknownParameter", "Nonsense.1"},
		{"unknown EC2 member", "ec2", "POST", "/", "Action=DescribeVpcs&Filter.1.Nam=x", form, 400, "UnknownParameter", "Filter.1.Nam"},
		{"missing EC2 parameter", "ec2", "POST", "/", "Action=DeleteVpc", form, 400, "MissingParameter", "VpcId"},
		{"deep parameter", "ec2", "POST", "/", "Action=DescribeVpcs&" + strings.Repeat("a.", 100) + "a=1", form, 400, "MalformedQueryString", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, code, text, header := w.raw(t, c.service, c.method, c.path, c.body, c.headers)
			if status != c.status || c.code != "" && code != c.code || !strings.Contains(text, c.text) {
				t.Errorf("got %d %s %s\nwant %d %s %s", status, code, text, c.status, c.code, c.text)
			}
			if header.Get("x-amzn-RequestId") == "" {
				t.Error("no request ID")
			}
		})
	}
}

func with(headers map[string]string, name, value string) map[string]string {
	headers[name] = value
	return headers
}

func zip(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func TestGoodRequests(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, service, method, path, body string
		headers                           map[string]string
		text                              string
	}{
		{"gzip body", "ecs", "POST", "/", zip(`{"taskDefinition":"zipped"}`), with(ecsTarget("RunTask"), "Content-Encoding", "gzip"), "taskArn"},
		{"unknown members are ignored", "ecs", "POST", "/", `{"taskDefinition":"a","later":{"x":[1]}}`, ecsTarget("RunTask"), "taskArn"},
		{"Query by GET", "sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "", nil, "<Account>" + account},
		{"EC2 parameters in the URL", "ec2", "POST", "/?Action=DescribeVpcs", "VpcId.1=vpc-9", form, "<vpcId>vpc-1</vpcId>"},
		{"numbers with gaps", "ec2", "POST", "/", "Action=DescribeVpcs&VpcId.7=b&VpcId.3=a&Version=2016-11-15", form, "<vpcSet><item>"},
		{"mounted path", "", "GET", "/v2/x/y", "", nil, "registry /v2/x/y"},
		{"mounted path without slash", "", "GET", "/v2", "", nil, "registry /v2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, text, _ := w.raw(t, c.service, c.method, c.path, c.body, c.headers)
			if status != 200 || !strings.Contains(text, c.text) {
				t.Errorf("got %d %s, want %s", status, text, c.text)
			}
		})
	}
}

func TestRequestLogHasNoSecrets(t *testing.T) {
	w := newWorld(t)
	w.raw(t, "ecs", "POST", "/", `{"taskDefinition":"hush-hush"}`, ecsTarget("RunTask"))
	w.raw(t, "", "GET", "/v2/x?token=hush-hush", "", map[string]string{"Authorization": "Basic hush-hush"})
	log := w.log.String()
	if !strings.Contains(log, "op=ecs:RunTask account=111122223333 region=eu-west-1") || !strings.Contains(log, "status=200") {
		t.Errorf("log lacks facts:\n%s", log)
	}
	for _, secret := range []string{"hush-hush", w.key.Secret.Reveal(), "Signature"} {
		if strings.Contains(log, secret) {
			t.Errorf("log shows %q:\n%s", secret, log)
		}
	}
}

func TestBadRequestsLeaveNothingBehind(t *testing.T) {
	key := iam.NewAccessKey(account, time.Now())
	verifier := &iam.Verifier{Keys: iam.Keys(key)}
	door := wire.New(wire.Config{Services: []wire.Service{{API: &apiecs.API, Handler: &fakeECS{}}, {API: &apists.API, Handler: stsservice.New()}}, Authenticate: verifier.Authenticate})
	send := func(i int) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("{", i%4096)))
		r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.Op"+strconv.Itoa(i))
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=K"+strconv.Itoa(i)+"/x/y/ecs/aws4_request, SignedHeaders=host, Signature=0")
		r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Fatalf("request %d: status %d", i, w.Code)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	send(0)
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range 10000 {
		send(i)
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 || runtime.NumGoroutine() > goroutines {
		t.Errorf("10,000 bad requests left %d bytes and %d goroutines", grown, runtime.NumGoroutine()-goroutines)
	}
}

func TestServeEndsGracefully(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
		if r.Context().Err() != nil {
			t.Error("the request's context ended before its grace")
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- wire.Serve(ctx, wire.NewServer(h, slog.Default()), ln, time.Minute) }()
	go func() {
		resp, err := http.Get("http://" + ln.Addr().String()) //nolint:noctx // ends with the server
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	<-started
	cancel()
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestSilentClientsAreCutOff(t *testing.T) {
	srv := wire.NewServer(http.NotFoundHandler(), nil)
	if srv.ReadHeaderTimeout <= 0 || srv.ReadHeaderTimeout > 10*time.Second || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes > 64<<10 {
		t.Errorf("limits: %v %v %d", srv.ReadHeaderTimeout, srv.IdleTimeout, srv.MaxHeaderBytes)
	}
}

func TestEventStreamsEndWithTheServer(t *testing.T) {
	started := make(chan struct{})
	door := wire.New(wire.Config{
		Services:     []wire.Service{{API: &apilogs.API, Handler: endless{started: started}}},
		Authenticate: iam.DevAuthenticator,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- wire.Serve(ctx, wire.NewServer(door, nil), ln, time.Minute) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+ln.Addr().String(), strings.NewReader(`{"logGroupIdentifiers":["g"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "Logs_20140328.StartLiveTail")
	r.Header.Set("X-Amz-Date", "20260101T000000Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/logs/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-started
	cancel()
	if all, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(all, []byte("initial-response")) {
		t.Errorf("stream: %q, %v", all, err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// endless is a live tail without events.
type endless struct {
	apilogs.Unimplemented
	started chan struct{}
}

func (e endless) StartLiveTail(context.Context, *apilogs.StartLiveTailRequest) (*apilogs.StartLiveTailResponse, error) {
	return &apilogs.StartLiveTailResponse{ResponseStream: func(ctx context.Context, _ func(string, any) error) error {
		close(e.started)
		<-ctx.Done()
		return ctx.Err()
	}}, nil
}
