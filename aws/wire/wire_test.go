package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	apiec2 "berth/api/ec2"
	apiecs "berth/api/ecs"
	apielbv2 "berth/api/elbv2"
	apilogs "berth/api/logs"
	apists "berth/api/sts"
	"berth/aws"
	"berth/aws/wire"
	"berth/iam"
	stsservice "berth/sts"
)

const account, region = "111122223333", "eu-west-1"

// fakeECS remembers what it was asked.
type fakeECS struct {
	apiecs.Unimplemented
	run *apiecs.RunTaskRequest
}

func (f *fakeECS) RunTask(ctx context.Context, in *apiecs.RunTaskRequest) (*apiecs.RunTaskResponse, error) {
	f.run = in
	arn := aws.NewARN("ecs", aws.CallerFrom(ctx).Region, aws.CallerFrom(ctx).Account, "task/default/1")
	return &apiecs.RunTaskResponse{
		Tasks:    []apiecs.Task{{TaskArn: new(arn.String()), CreatedAt: aws.NewTime(time.UnixMilli(1700000000123)), Attachments: []apiecs.Attachment{}}},
		Failures: []apiecs.Failure{},
	}, nil
}

func (f *fakeECS) StopTask(context.Context, *apiecs.StopTaskRequest) (*apiecs.StopTaskResponse, error) {
	return nil, aws.Errorf("ConflictException", "taken").With("resourceIds", []string{"a", "b"})
}

func (f *fakeECS) ListTasks(context.Context, *apiecs.ListTasksRequest) (*apiecs.ListTasksResponse, error) {
	return nil, errors.New("the disk at /secret/place broke")
}

func (f *fakeECS) DescribeTasks(context.Context, *apiecs.DescribeTasksRequest) (*apiecs.DescribeTasksResponse, error) {
	panic("a bug")
}

var errFull = errors.New("full")

func (f *fakeECS) ListClusters(context.Context, *apiecs.ListClustersRequest) (*apiecs.ListClustersResponse, error) {
	return nil, fmt.Errorf("write: %w", errFull)
}

type fakeEC2 struct {
	apiec2.Unimplemented
	vpcs *apiec2.DescribeVpcsRequest
}

func (f *fakeEC2) DescribeVpcs(_ context.Context, in *apiec2.DescribeVpcsRequest) (*apiec2.DescribeVpcsResult, error) {
	f.vpcs = in
	if len(in.VpcIds) > 0 && in.VpcIds[0] == "vpc-gone" {
		return nil, aws.Errorf("InvalidVpcID.NotFound", "The vpc ID 'vpc-gone' does not exist")
	}
	return &apiec2.DescribeVpcsResult{Vpcs: []apiec2.Vpc{{
		VpcId: new("vpc-1"), CidrBlock: new("10.0.0.0/16"), IsDefault: new(true), State: apiec2.VpcStateAvailable,
		Tags: []apiec2.Tag{{Key: new("Name"), Value: new("a <b> & \"c\"")}},
	}}}, nil
}

func (f *fakeEC2) DeleteVpc(context.Context, *apiec2.DeleteVpcRequest) (*apiec2.DeleteVpcResponse, error) {
	return nil, nil
}

type fakeELB struct {
	apielbv2.Unimplemented
	group *apielbv2.CreateTargetGroupInput
}

func (f *fakeELB) CreateTargetGroup(_ context.Context, in *apielbv2.CreateTargetGroupInput) (*apielbv2.CreateTargetGroupOutput, error) {
	f.group = in
	return &apielbv2.CreateTargetGroupOutput{TargetGroups: []apielbv2.TargetGroup{{
		TargetGroupName: in.Name, Port: in.Port, LoadBalancerArns: []string{"x", "y"}, Matcher: &apielbv2.Matcher{HttpCode: new("200")},
	}}}, nil
}

func (f *fakeELB) DescribeLoadBalancers(context.Context, *apielbv2.DescribeLoadBalancersInput) (*apielbv2.DescribeLoadBalancersOutput, error) {
	return nil, aws.Errorf("LoadBalancerNotFound", "One or more load balancers not found")
}

type fakeLogs struct{ apilogs.Unimplemented }

func (fakeLogs) StartLiveTail(context.Context, *apilogs.StartLiveTailRequest) (*apilogs.StartLiveTailResponse, error) {
	return &apilogs.StartLiveTailResponse{ResponseStream: func(_ context.Context, send func(string, any) error) error {
		if err := send("sessionStart", &apilogs.LiveTailSessionStart{SessionId: new("s1")}); err != nil {
			return err
		}
		return send("sessionUpdate", &apilogs.LiveTailSessionUpdate{SessionResults: []apilogs.LiveTailSessionLogEvent{{Message: new("hello")}}})
	}}, nil
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// world is a front door with fakes behind it, and the key to it.
type world struct {
	url  string
	key  iam.AccessKey
	log  *syncBuffer
	ecs  *fakeECS
	ec2  *fakeEC2
	elb  *fakeELB
	dial *http.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{key: iam.NewAccessKey(account, time.Now()), log: &syncBuffer{}, ecs: &fakeECS{}, ec2: &fakeEC2{}, elb: &fakeELB{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	verifier := &iam.Verifier{Keys: iam.Keys(w.key)}
	door := wire.New(wire.Config{
		Services: []wire.Service{
			{API: &apiecs.API, Handler: w.ecs}, {API: &apiec2.API, Handler: w.ec2}, {API: &apielbv2.API, Handler: w.elb},
			{API: &apilogs.API, Handler: fakeLogs{}}, {API: &apists.API, Handler: stsservice.New()},
		},
		Mounts:       []wire.Mount{{Prefix: "/v2/", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "registry "+r.URL.Path) })}},
		Unavailable:  func(err error) (string, bool) { return "The store is full.", errors.Is(err, errFull) },
		Authenticate: verifier.Authenticate, Log: log, RequestLog: log, BodyLimit: 1 << 20,
	})
	srv := httptest.NewServer(door)
	t.Cleanup(srv.Close)
	w.url, w.dial = srv.URL, srv.Client()
	return w
}

func (w *world) config() sdk.Config {
	return sdk.Config{
		Region: region, BaseEndpoint: &w.url, RetryMaxAttempts: 1, HTTPClient: w.dial,
		Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: w.key.ID, SecretAccessKey: w.key.Secret.Reveal()}, nil
		}),
	}
}

// wantCode checks the code and status that an SDK made of an answer.
func wantCode(t *testing.T, err error, code string, status int) smithy.APIError {
	t.Helper()
	apiErr, ok := errors.AsType[smithy.APIError](err)
	if !ok || apiErr.ErrorCode() != code {
		t.Fatalf("got %v, want code %s", err, code)
	}
	answer, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err)
	if !ok || answer.HTTPStatusCode() != status {
		t.Errorf("%s: got %v, want status %d", code, answer, status)
	}
	return apiErr
}

func TestQueryGetCallerIdentity(t *testing.T) {
	w := newWorld(t)
	out, err := sts.NewFromConfig(w.config()).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{*out.Account, *out.Arn, *out.UserId}
	if diff := cmp.Diff(got, []string{account, "arn:aws:iam::" + account + ":root", account}); diff != "" {
		t.Error(diff)
	}
	_, err = sts.NewFromConfig(w.config()).GetSessionToken(t.Context(), nil)
	wantCode(t, err, "InvalidAction", 400)
}

func TestJSONInputOutputAndErrors(t *testing.T) {
	w := newWorld(t)
	client := ecs.NewFromConfig(w.config())
	out, err := client.RunTask(t.Context(), &ecs.RunTaskInput{
		TaskDefinition: sdk.String("web:1"), Count: sdk.Int32(2), LaunchType: ecstypes.LaunchTypeEc2,
		Overrides: &ecstypes.TaskOverride{ContainerOverrides: []ecstypes.ContainerOverride{{Name: sdk.String("c"), Environment: []ecstypes.KeyValuePair{{Name: sdk.String("A"), Value: sdk.String("<é>")}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *out.Tasks[0].TaskArn, "arn:aws:ecs:eu-west-1:111122223333:task/default/1"; got != want {
		t.Errorf("ARN: got %s, want %s", got, want)
	}
	if got := out.Tasks[0].CreatedAt.UnixMilli(); got != 1700000000123 {
		t.Errorf("createdAt: got %d", got)
	}
	if out.Tasks[0].Attachments == nil || out.Tasks[0].Containers != nil {
		t.Error("an empty list must stay present and an absent one absent")
	}
	in := w.ecs.run
	if *in.TaskDefinition != "web:1" || *in.Count != 2 || in.LaunchType != apiecs.LaunchTypeEC2 || *in.Overrides.ContainerOverrides[0].Environment[0].Value != "<é>" || in.ClientToken == nil {
		t.Errorf("input: got %+v", in)
	}

	_, err = client.StopTask(t.Context(), &ecs.StopTaskInput{Task: sdk.String("x")})
	wantCode(t, err, "ConflictException", 400)
	if conflict, ok := errors.AsType[*ecstypes.ConflictException](err); !ok || len(conflict.ResourceIds) != 2 {
		t.Errorf("members of the error shape: got %v", err)
	}
	_, err = client.CreateService(t.Context(), &ecs.CreateServiceInput{ServiceName: sdk.String("s")})
	wantCode(t, err, "UnsupportedFeatureException", 400)
}

func TestInternalErrorsAreLoggedOnceAndNotShown(t *testing.T) {
	w := newWorld(t)
	client := ecs.NewFromConfig(w.config())
	_, err := client.ListTasks(t.Context(), nil)
	if e := wantCode(t, err, "ServerException", 500); strings.Contains(e.ErrorMessage(), "secret") {
		t.Errorf("shown: %s", e.ErrorMessage())
	}
	if n := strings.Count(w.log.String(), "/secret/place"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, w.log)
	}
	_, err = client.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Tasks: []string{"a"}})
	wantCode(t, err, "ServerException", 500)
	if !strings.Contains(w.log.String(), "a bug") {
		t.Errorf("panic not logged:\n%s", w.log)
	}
}

func TestWhatMaySucceedLaterIs503WithItsReason(t *testing.T) {
	w := newWorld(t)
	_, err := ecs.NewFromConfig(w.config()).ListClusters(t.Context(), nil)
	if e := wantCode(t, err, "ServerException", 503); e.ErrorMessage() != "The store is full." {
		t.Errorf("message: %s", e.ErrorMessage())
	}
}

func TestEC2InputOutputAndErrors(t *testing.T) {
	w := newWorld(t)
	client := ec2.NewFromConfig(w.config())
	out, err := client.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{
		VpcIds: []string{"vpc-1", "vpc-2"}, Filters: []ec2types.Filter{{Name: sdk.String("tag:Name"), Values: []string{"a b", "c&d"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := out.Vpcs[0]
	if *v.VpcId != "vpc-1" || !*v.IsDefault || v.State != ec2types.VpcStateAvailable || *v.Tags[0].Value != "a <b> & \"c\"" {
		t.Errorf("output: got %+v", v)
	}
	want := &apiec2.DescribeVpcsRequest{VpcIds: []string{"vpc-1", "vpc-2"}, Filters: []apiec2.Filter{{Name: new("tag:Name"), Values: []string{"a b", "c&d"}}}}
	if diff := cmp.Diff(w.ec2.vpcs, want); diff != "" {
		t.Error(diff)
	}
	_, err = client.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{VpcIds: []string{"vpc-gone"}})
	wantCode(t, err, "InvalidVpcID.NotFound", 400)
	if _, err := client.DeleteVpc(t.Context(), &ec2.DeleteVpcInput{VpcId: sdk.String("vpc-1")}); err != nil {
		t.Errorf("an operation without output: %v", err)
	}
	_, err = client.CreateVpc(t.Context(), &ec2.CreateVpcInput{})
	wantCode(t, err, "UnsupportedOperation", 400)
	_, err = client.RunInstances(t.Context(), &ec2.RunInstancesInput{MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1)})
	wantCode(t, err, "InvalidAction", 400)
}

func TestQueryInputOutputAndErrors(t *testing.T) {
	w := newWorld(t)
	client := elbv2.NewFromConfig(w.config())
	out, err := client.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{Name: sdk.String("g"), Port: sdk.Int32(80), HealthCheckEnabled: sdk.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	g := out.TargetGroups[0]
	if *g.TargetGroupName != "g" || *g.Port != 80 || !cmp.Equal(g.LoadBalancerArns, []string{"x", "y"}) || *g.Matcher.HttpCode != "200" {
		t.Errorf("output: got %+v", g)
	}
	if diff := cmp.Diff(w.elb.group, &apielbv2.CreateTargetGroupInput{Name: new("g"), Port: new(int32(80)), HealthCheckEnabled: new(true)}); diff != "" {
		t.Error(diff)
	}
	_, err = client.DescribeLoadBalancers(t.Context(), nil)
	wantCode(t, err, "LoadBalancerNotFound", 400)
	_, err = client.CreateTargetGroup(t.Context(), &elbv2.CreateTargetGroupInput{Name: sdk.String("g"), Port: sdk.Int32(70000)})
	if e := wantCode(t, err, "ValidationError", 400); !strings.Contains(e.ErrorMessage(), "Value '70000' at 'Port' failed to satisfy constraint: Member must have value less than or equal to 65535") {
		t.Errorf("message: %s", e.ErrorMessage())
	}
}

func TestEventStream(t *testing.T) {
	w := newWorld(t)
	client := cloudwatchlogs.NewFromConfig(w.config())
	req, err := client.StartLiveTail(t.Context(), &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"g"}}, func(o *cloudwatchlogs.Options) {
		o.APIOptions = append(o.APIOptions, withoutHostPrefix)
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := req.GetStream()
	defer stream.Close()
	var got []string
	for e := range stream.Events() {
		switch e := e.(type) {
		case *logstypes.StartLiveTailResponseStreamMemberSessionStart:
			got = append(got, "start "+*e.Value.SessionId)
		case *logstypes.StartLiveTailResponseStreamMemberSessionUpdate:
			got = append(got, "update "+*e.Value.SessionResults[0].Message)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, []string{"start s1", "update hello"}); diff != "" {
		t.Error(diff)
	}
}

// withoutHostPrefix keeps the SDK from putting "streaming-" before the address of the test server.
func withoutHostPrefix(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("NoHostPrefix", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
	}), middleware.Before)
}
