package logs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"berth/agent/proto"
	api "berth/api/logs"
	"berth/aws"
	"berth/aws/wire"
	"berth/logs"
	"berth/logs/events"
	"berth/store"
)

type world struct {
	*cloudwatchlogs.Client
	service *logs.Service
	store   *store.Store
	events  *events.Engine
	url     string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := store.Open(store.Config{Tables: logs.Tables()})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := events.Open(events.Config{Dir: filepath.Join(t.TempDir(), "logs"), Reserve: 1 << 20, Ballast: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	service := logs.New(logs.Deps{Store: st, Events: engine, Pages: aws.NewPages([]byte("key"))})
	server := httptest.NewServer(wire.New(wire.Config{
		Services: []wire.Service{{API: &api.API, Handler: service}},
		Authenticate: func(_ *http.Request, _ *aws.API, read func() ([]byte, error)) (aws.Caller, []byte, error) {
			body, err := read()
			return aws.RootCaller("000000000000", "us-east-1", "x"), body, err
		},
	}))
	t.Cleanup(func() {
		server.Close()
		_ = st.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{service: service, store: st, events: engine, url: server.URL}
	w.Client = cloudwatchlogs.New(cloudwatchlogs.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: "x", SecretAccessKey: "y"}, nil
		}),
	})
	return w
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) group(t testing.TB, name string, streams ...string) {
	t.Helper()
	must[*cloudwatchlogs.CreateLogGroupOutput](t)(w.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}))
	for _, s := range streams {
		must[*cloudwatchlogs.CreateLogStreamOutput](t)(w.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &name, LogStreamName: &s}))
	}
}

// put stores messages one millisecond apart, the first at the given time.
func (w *world) put(t testing.TB, group, stream string, at time.Time, messages ...string) *cloudwatchlogs.PutLogEventsOutput {
	t.Helper()
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	for i, m := range messages {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: new(at.UnixMilli() + int64(i)), Message: &m})
	}
	return must[*cloudwatchlogs.PutLogEventsOutput](t)(w.PutLogEvents(t.Context(), in))
}

func wantError(t testing.TB, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("got %v, want %s: %s", err, code, message)
	}
}

func numbered(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("m%04d", i))
	}
	return out
}

func outputs(events []types.OutputLogEvent) (out []string) {
	for _, e := range events {
		out = append(out, *e.Message)
	}
	return out
}

func TestGetLogEventsPagesBothWays(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "s")
	now := time.Now().Add(-time.Minute)
	all := numbered(0, 25)
	w.put(t, "g", "s", now, all...)
	get := func(head bool, token *string) *cloudwatchlogs.GetLogEventsOutput {
		t.Helper()
		return must[*cloudwatchlogs.GetLogEventsOutput](t)(w.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: new("g"), LogStreamName: new("s"), Limit: new(int32(10)), StartFromHead: &head, NextToken: token,
		}))
	}
	var got []string
	page := get(true, nil)
	for last := ""; last != *page.NextForwardToken; page = get(true, &last) {
		got = append(got, outputs(page.Events)...)
		last = *page.NextForwardToken
	}
	if !slices.Equal(got, all) {
		t.Errorf("forward: %v", got)
	}
	got = nil
	page = get(false, nil)
	end := *page.NextForwardToken
	for last := ""; last != *page.NextBackwardToken; page = get(false, &last) {
		got = append(outputs(page.Events), got...)
		last = *page.NextBackwardToken
	}
	if !slices.Equal(got, all) {
		t.Errorf("backward: %v", got)
	}
	if page = get(true, &end); len(page.Events) != 0 || *page.NextForwardToken != end {
		t.Errorf("at the end: %d events, same token: %v", len(page.Events), *page.NextForwardToken == end)
	}
	w.put(t, "g", "s", now.Add(time.Second), "later")
	if page = get(true, &end); !slices.Equal(outputs(page.Events), []string{"later"}) {
		t.Errorf("after more came: %v", outputs(page.Events))
	}
	back := must[*cloudwatchlogs.GetLogEventsOutput](t)(w.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: new("g"), LogStreamName: new("s"), NextToken: page.NextBackwardToken, Limit: new(int32(2)),
	}))
	if !slices.Equal(outputs(back.Events), []string{"m0023", "m0024"}) {
		t.Errorf("turning back: %v", outputs(back.Events))
	}
}

func TestGetLogEventsFollowsAStreamThatWasEmpty(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "s")
	for _, head := range []bool{true, false} {
		in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), StartFromHead: &head}
		page := must[*cloudwatchlogs.GetLogEventsOutput](t)(w.GetLogEvents(t.Context(), in))
		w.put(t, "g", "s", time.Now(), "x")
		in.NextToken = page.NextForwardToken
		if page = must[*cloudwatchlogs.GetLogEventsOutput](t)(w.GetLogEvents(t.Context(), in)); len(page.Events) == 0 {
			t.Errorf("startFromHead=%v: the first event is not found", head)
		}
	}
}

func TestGetLogEventsTimeRange(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "s")
	now := time.Now().Add(-time.Minute)
	w.put(t, "g", "s", now, "a", "b", "c", "d")
	got := must[*cloudwatchlogs.GetLogEventsOutput](t)(w.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
		LogGroupIdentifier: new("arn:aws:logs:us-east-1:000000000000:log-group:g"), LogStreamName: new("s"),
		StartTime: new(now.UnixMilli() + 1), EndTime: new(now.UnixMilli() + 3),
	}))
	if !slices.Equal(outputs(got.Events), []string{"b", "c"}) {
		t.Errorf("got %v", outputs(got.Events))
	}
}

func TestPutLogEventsRejects(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "s")
	now := time.Now()
	put := func(events ...types.InputLogEvent) (*cloudwatchlogs.PutLogEventsOutput, error) {
		return w.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: events, SequenceToken: new("ignored")})
	}
	at := func(d time.Duration) types.InputLogEvent {
		return types.InputLogEvent{Timestamp: new(now.Add(d).UnixMilli()), Message: new("m")}
	}
	hour := time.Hour
	out := must[*cloudwatchlogs.PutLogEventsOutput](t)(put(at(-20*24*hour), at(-15*24*hour), at(0), at(3*hour)))
	info := out.RejectedLogEventsInfo
	if info == nil || *info.TooOldLogEventEndIndex != 2 || *info.TooNewLogEventStartIndex != 3 || info.ExpiredLogEventEndIndex != nil {
		t.Errorf("rejected: %+v", info)
	}
	if _, err := w.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: new("g"), RetentionInDays: new(int32(1))}); err != nil {
		t.Fatal(err)
	}
	out = must[*cloudwatchlogs.PutLogEventsOutput](t)(put(at(-25*hour), at(0)))
	if info := out.RejectedLogEventsInfo; info == nil || *info.ExpiredLogEventEndIndex != 1 {
		t.Errorf("expired: %+v", info)
	}
	_, err := put(at(0), at(-time.Second))
	wantError(t, err, "InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
	_, err = put(at(-20*hour), at(1*hour), at(100*time.Minute))
	if err != nil {
		t.Error("within 24 hours:", err)
	}
	_, err = put(at(-23*hour), at(90*time.Minute))
	wantError(t, err, "InvalidParameterException", "cannot span more than 24 hours")
	big := types.InputLogEvent{Timestamp: new(now.UnixMilli()), Message: new(strings.Repeat("x", 600_000))}
	_, err = put(big, big)
	wantError(t, err, "InvalidParameterException", "Upload too large: 1200052 bytes exceeds limit of 1048576")
	huge := types.InputLogEvent{Timestamp: new(now.UnixMilli()), Message: new(strings.Repeat("x", 1<<20))}
	_, err = put(huge)
	wantError(t, err, "InvalidParameterException", "Log event too large")
	_, err = put(slices.Repeat([]types.InputLogEvent{at(0)}, 10_001)...)
	wantError(t, err, "InvalidParameterException", "length less than or equal to 10000")
}

func TestErrorsOfGroupsAndStreams(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "s")
	ctx := t.Context()
	_, err := w.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("g")})
	wantError(t, err, "ResourceAlreadyExistsException", "The specified log group already exists")
	_, err = w.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: new("s")})
	wantError(t, err, "ResourceAlreadyExistsException", "The specified log stream already exists")
	_, err = w.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: new("none"), LogStreamName: new("s")})
	wantError(t, err, "ResourceNotFoundException", "The specified log group does not exist.")
	_, err = w.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("none")})
	wantError(t, err, "ResourceNotFoundException", "The specified log stream does not exist.")
	_, err = w.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("bad name")})
	wantError(t, err, "InvalidParameterException", "failed to satisfy constraint")
	_, err = w.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("k"), KmsKeyId: new("key")})
	wantError(t, err, "InvalidParameterException", "kmsKeyId")
	_, err = w.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: new("g"), RetentionInDays: new(int32(2))})
	wantError(t, err, "InvalidParameterException", "Member must satisfy enum value set: [1, 3, 5, 7,")
	_, err = w.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: new("g"), OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: new("x")})
	wantError(t, err, "InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
	_, err = w.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{NextToken: new("forged")})
	wantError(t, err, "InvalidParameterException", "The specified nextToken is invalid.")
	_, err = w.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), NextToken: new("f/x")})
	wantError(t, err, "InvalidParameterException", "The specified nextToken is invalid.")
	_, err = w.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: new("{ $.a")})
	wantError(t, err, "InvalidParameterException", "Invalid filter pattern")
	_, err = w.StartQuery(ctx, &cloudwatchlogs.StartQueryInput{LogGroupName: new("g"), QueryString: new("fields @message"), StartTime: new(int64(1)), EndTime: new(int64(2))})
	wantError(t, err, "UnknownOperationException", "StartQuery")
}

func TestFilterLogEventsInterleavesPagesAndMatches(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "web/1", "web/2", "db/1")
	now := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	w.put(t, "g", "web/1", now, "a ERROR", "c")
	w.put(t, "g", "web/2", now, "b", "d ERROR")
	w.put(t, "g", "db/1", now.Add(10*time.Millisecond), `{"level":"ERROR"}`)
	filter := func(in cloudwatchlogs.FilterLogEventsInput) (out []string) {
		t.Helper()
		in.LogGroupName = new("g")
		ids := map[string]bool{}
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(w, &in)
		for pages.HasMorePages() {
			page := must[*cloudwatchlogs.FilterLogEventsOutput](t)(pages.NextPage(t.Context()))
			for _, e := range page.Events {
				if ids[*e.EventId] || len(*e.EventId) != 56 {
					t.Errorf("event ID %s", *e.EventId)
				}
				ids[*e.EventId] = true
				out = append(out, *e.Message)
			}
		}
		return out
	}
	for _, c := range []struct {
		name string
		in   cloudwatchlogs.FilterLogEventsInput
		want []string
	}{
		{"all", cloudwatchlogs.FilterLogEventsInput{}, []string{"a ERROR", "b", "c", "d ERROR", `{"level":"ERROR"}`}},
		{"pages", cloudwatchlogs.FilterLogEventsInput{Limit: new(int32(1))}, []string{"a ERROR", "b", "c", "d ERROR", `{"level":"ERROR"}`}},
		{"term", cloudwatchlogs.FilterLogEventsInput{FilterPattern: new("ERROR"), Limit: new(int32(2))}, []string{"a ERROR", "d ERROR", `{"level":"ERROR"}`}},
		{"json", cloudwatchlogs.FilterLogEventsInput{FilterPattern: new(`{ $.level = "ERR*" }`)}, []string{`{"level":"ERROR"}`}},
		{"prefix", cloudwatchlogs.FilterLogEventsInput{LogStreamNamePrefix: new("web/")}, []string{"a ERROR", "b", "c", "d ERROR"}},
		{"names", cloudwatchlogs.FilterLogEventsInput{LogStreamNames: []string{"web/2"}}, []string{"b", "d ERROR"}},
		{"times include the end", cloudwatchlogs.FilterLogEventsInput{StartTime: new(now.UnixMilli() + 1), EndTime: new(now.UnixMilli() + 10)}, []string{"c", "d ERROR", `{"level":"ERROR"}`}},
	} {
		if got := filter(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDescribeLogStreamsOrders(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "a", "b", "c", "d")
	now := time.Now().Add(-time.Minute)
	for i, s := range []string{"c", "a", "b"} {
		w.put(t, "g", s, now.Add(time.Duration(i)*time.Second), "x")
	}
	list := func(in cloudwatchlogs.DescribeLogStreamsInput) (out string) {
		t.Helper()
		in.LogGroupName, in.Limit = new("g"), new(int32(3))
		pages := cloudwatchlogs.NewDescribeLogStreamsPaginator(w, &in)
		for pages.HasMorePages() {
			for _, l := range must[*cloudwatchlogs.DescribeLogStreamsOutput](t)(pages.NextPage(t.Context())).LogStreams {
				out += *l.LogStreamName
			}
		}
		return out
	}
	for _, c := range []struct {
		order types.OrderBy
		down  bool
		want  string
	}{{"", false, "abcd"}, {types.OrderByLogStreamName, true, "dcba"}, {types.OrderByLastEventTime, false, "dcab"}, {types.OrderByLastEventTime, true, "bacd"}} {
		if got := list(cloudwatchlogs.DescribeLogStreamsInput{OrderBy: c.order, Descending: &c.down}); got != c.want {
			t.Errorf("%s descending=%v: got %s, want %s", c.order, c.down, got, c.want)
		}
	}
}

func TestDescribeLogGroupsFiltersAndCounts(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"/ecs/web", "/ecs/db", "/aws/x", "other"} {
		w.group(t, name, "s")
	}
	w.put(t, "/ecs/web", "s", time.Now(), "hello")
	list := func(in cloudwatchlogs.DescribeLogGroupsInput) (names []string, bytes int64) {
		t.Helper()
		in.Limit = new(int32(1))
		pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(w, &in)
		for pages.HasMorePages() {
			for _, g := range must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(pages.NextPage(t.Context())).LogGroups {
				names = append(names, *g.LogGroupName)
				bytes += *g.StoredBytes
			}
		}
		return names, bytes
	}
	if names, bytes := list(cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: new("/ecs/")}); !slices.Equal(names, []string{"/ecs/db", "/ecs/web"}) || bytes != 5+26 {
		t.Errorf("prefix: %v, %d bytes", names, bytes)
	}
	if names, _ := list(cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePattern: new("e")}); !slices.Equal(names, []string{"/ecs/db", "/ecs/web", "other"}) {
		t.Errorf("pattern: %v", names)
	}
}

func TestTagsInBothForms(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	must[*cloudwatchlogs.CreateLogGroupOutput](t)(w.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("g"), Tags: map[string]string{"a": "1"}}))
	arn := new("arn:aws:logs:us-east-1:000000000000:log-group:g")
	must[*cloudwatchlogs.TagResourceOutput](t)(w.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"b": "2"}}))
	must[*cloudwatchlogs.TagLogGroupOutput](t)(w.TagLogGroup(ctx, &cloudwatchlogs.TagLogGroupInput{LogGroupName: new("g"), Tags: map[string]string{"c": "3"}}))
	must[*cloudwatchlogs.UntagResourceOutput](t)(w.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a"}}))
	got := must[*cloudwatchlogs.ListTagsForResourceOutput](t)(w.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn}))
	if len(got.Tags) != 2 || got.Tags["b"] != "2" || got.Tags["c"] != "3" {
		t.Errorf("tags: %v", got.Tags)
	}
}

func TestAgentsMakeTheStreamButNotTheGroup(t *testing.T) {
	w := newWorld(t)
	agents := w.service.Agents()
	old := time.Now().Add(-30 * 24 * time.Hour).UnixMilli()
	batch := proto.LogBatch{Group: "g", Stream: "app/web/1", Events: []proto.LogEvent{{Timestamp: old + 1, Message: "b"}, {Timestamp: old, Message: "a"}, {Timestamp: old, Message: ""}}}
	err := agents.PutLogEvents(t.Context(), "000000000000", "us-east-1", batch)
	if e, ok := errors.AsType[*aws.Error](err); !ok || e.Code != "ResourceNotFoundException" {
		t.Fatalf("without a group: %v", err)
	}
	batch.Create = true
	for range 2 {
		if err := agents.PutLogEvents(t.Context(), "000000000000", "us-east-1", batch); err != nil {
			t.Fatal(err)
		}
	}
	got := must[*cloudwatchlogs.GetLogEventsOutput](t)(w.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("app/web/1")}))
	if !slices.Equal(outputs(got.Events), []string{"a", "a", "b", "b"}) {
		t.Errorf("got %v", outputs(got.Events))
	}
	if err := agents.PutLogEvents(t.Context(), "111111111111", "us-east-1", proto.LogBatch{Group: "g", Stream: "s"}); err == nil {
		t.Error("another account found the group")
	}
}

func TestStartLiveTailSendsWhatComesIn(t *testing.T) {
	w := newWorld(t)
	w.group(t, "g", "s")
	out := must[*cloudwatchlogs.StartLiveTailOutput](t)(w.StartLiveTail(t.Context(), &cloudwatchlogs.StartLiveTailInput{
		LogGroupIdentifiers: []string{"arn:aws:logs:us-east-1:000000000000:log-group:g"}, LogEventFilterPattern: new("-noise"),
	}, func(o *cloudwatchlogs.Options) {
		// The SDK sets "stream-" before the host's name, which then does not resolve.
		o.BaseEndpoint = new(strings.Replace(w.url, "127.0.0.1", "localhost", 1))
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(w.url, "http://"))
		}}}
	}))
	stream := out.GetStream()
	defer stream.Close()
	for event := range stream.Events() {
		switch e := event.(type) {
		case *types.StartLiveTailResponseStreamMemberSessionStart:
			w.put(t, "g", "s", time.Now(), "noise", "signal")
		case *types.StartLiveTailResponseStreamMemberSessionUpdate:
			if len(e.Value.SessionResults) == 0 {
				continue
			}
			if got := *e.Value.SessionResults[0].Message; got != "signal" {
				t.Errorf("got %q", got)
			}
			return
		}
	}
	t.Fatal("stream ended:", stream.Err())
}

func TestStockCLITailsAGroup(t *testing.T) {
	cli := "/usr/bin/aws"
	if _, err := os.Stat(cli); err != nil {
		t.Skip("no AWS CLI")
	}
	w := newWorld(t)
	w.group(t, "/ecs/web", "s")
	w.put(t, "/ecs/web", "s", time.Now().Add(-time.Minute), "hello from the task", "ERROR second")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), cli, append([]string{"--endpoint-url", w.url, "--region", "us-east-1"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if got := run("logs", "tail", "/ecs/web", "--format", "short"); !strings.Contains(got, "hello from the task") || !strings.Contains(got, "ERROR second") {
		t.Errorf("tail: %s", got)
	}
	if got := run("logs", "tail", "/ecs/web", "--filter-pattern", "ERROR"); strings.Contains(got, "hello") || !strings.Contains(got, "ERROR second") {
		t.Errorf("tail with a pattern: %s", got)
	}
	if got := run("logs", "describe-log-groups", "--query", "logGroups[].storedBytes", "--output", "text"); strings.TrimSpace(got) != "83" {
		t.Errorf("describe: %s", got)
	}
}
