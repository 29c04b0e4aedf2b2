package conformance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	api "berth/api/logs"
	product "berth/logs"
)

// group makes a log group with streams.
func (w *world) group(name string, streams ...string) {
	w.t.Helper()
	must(w.logs.CreateLogGroup(w.t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}))(w.t)
	for _, s := range streams {
		must(w.logs.CreateLogStream(w.t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &name, LogStreamName: &s}))(w.t)
	}
}

// put stores messages a millisecond apart.
func (w *world) put(group, stream string, at time.Time, messages ...string) {
	w.t.Helper()
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	for i, m := range messages {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: new(at.UnixMilli() + int64(i)), Message: &m})
	}
	if out := must(w.logs.PutLogEvents(w.t.Context(), in))(w.t); out.NextSequenceToken == nil || out.RejectedLogEventsInfo != nil {
		w.t.Errorf("put: %+v", out)
	}
}

func TestLogsGroups(t *testing.T) {
	w := ownAccount(t)
	ctx := t.Context()
	arn := "arn:aws:logs:" + region + ":" + w.account + ":log-group:"
	var names []string
	t.Run("CreateLogGroup", func(t *testing.T) {
		for i := range 5 {
			names = append(names, fmt.Sprintf("/app/%d", i))
			w.group(names[i])
		}
		must(w.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: new("other"), Tags: map[string]string{"k": "v"}, LogGroupClass: types.LogGroupClassInfrequentAccess}))(t)
	})
	t.Run("DescribeLogGroups", func(t *testing.T) {
		var got []string
		for pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(w.logs, &cloudwatchlogs.DescribeLogGroupsInput{Limit: new(int32(2))}); pages.HasMorePages(); {
			for _, g := range must(pages.NextPage(ctx))(t).LogGroups {
				got = append(got, *g.LogGroupName)
			}
		}
		if diff := cmp.Diff(got, append(slices.Clone(names), "other")); diff != "" {
			t.Error(diff)
		}
		out := must(w.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: new("/app/3")}))(t)
		g := out.LogGroups[0]
		if *g.Arn != arn+"/app/3:*" || *g.LogGroupArn != arn+"/app/3" || *g.StoredBytes != 0 || *g.MetricFilterCount != 0 || g.RetentionInDays != nil || g.LogGroupClass != types.LogGroupClassStandard {
			t.Errorf("got %+v", g)
		}
		if made := time.UnixMilli(*g.CreationTime); !recent(&made) {
			t.Errorf("created %v", made)
		}
		if out = must(w.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: new("zz")}))(t); out.LogGroups == nil || len(out.LogGroups) != 0 {
			t.Errorf("empty: %+v", out)
		}
	})
	t.Run("ListLogGroups", func(t *testing.T) {
		var got []string
		in := &cloudwatchlogs.ListLogGroupsInput{LogGroupNamePattern: new("^/app"), Limit: new(int32(2))}
		for {
			out := must(w.logs.ListLogGroups(ctx, in))(t)
			for _, g := range out.LogGroups {
				got = append(got, strings.TrimPrefix(*g.LogGroupArn, arn))
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if diff := cmp.Diff(got, names); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("PutRetentionPolicy, DeleteRetentionPolicy", func(t *testing.T) {
		retention := func() *int32 {
			return must(w.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: new("other")}))(t).LogGroups[0].RetentionInDays
		}
		must(w.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: new("other"), RetentionInDays: new(int32(7))}))(t)
		if got := retention(); got == nil || *got != 7 {
			t.Errorf("got %v", got)
		}
		must(w.logs.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: new("other")}))(t)
		if got := retention(); got != nil {
			t.Errorf("got %d", *got)
		}
	})
	t.Run("PutLogGroupDeletionProtection, DeleteLogGroup", func(t *testing.T) {
		must(w.logs.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: new(arn + "/app/0"), DeletionProtectionEnabled: new(true)}))(t)
		_, err := w.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: new("/app/0")})
		wantError(t, err, "ValidationException", "The log group /app/0 has deletion protection enabled.")
		must(w.logs.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: new("/app/0"), DeletionProtectionEnabled: new(false)}))(t)
		must(w.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: new("/app/0")}))(t)
		_, err = w.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: new("/app/0")})
		wantError(t, err, "ResourceNotFoundException", "The specified log group does not exist.")
	})
	t.Run("TagResource, UntagResource, ListTagsForResource", func(t *testing.T) {
		at := new(arn + "other")
		must(w.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: at, Tags: map[string]string{"a": "1", "b": "2"}}))(t)
		must(w.logs.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: at, TagKeys: []string{"a", "never"}}))(t)
		out := must(w.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: at}))(t)
		if diff := cmp.Diff(out.Tags, map[string]string{"k": "v", "b": "2"}); diff != "" {
			t.Error(diff)
		}
		out = must(w.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: new(arn + "/app/1")}))(t)
		if out.Tags == nil {
			t.Error("no tags are left out")
		}
	})
	t.Run("TagLogGroup, UntagLogGroup, ListTagsLogGroup", func(t *testing.T) {
		group := names[1]
		must(w.logs.TagLogGroup(ctx, &cloudwatchlogs.TagLogGroupInput{LogGroupName: &group, Tags: map[string]string{"a": "1", "b": "2"}}))(t)
		must(w.logs.UntagLogGroup(ctx, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: &group, Tags: []string{"a"}}))(t)
		out := must(w.logs.ListTagsLogGroup(ctx, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: &group}))(t)
		if diff := cmp.Diff(out.Tags, map[string]string{"b": "2"}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLogsStreams(t *testing.T) {
	w := newWorld(t)
	ctx, group := t.Context(), name("g")
	w.group(group, "c", "a", "b")
	now := time.Now().Add(-time.Minute)
	w.put(group, "b", now, "one")
	w.put(group, "a", now.Add(time.Second), "two", "three")
	list := func(in cloudwatchlogs.DescribeLogStreamsInput) (got []string) {
		t.Helper()
		in.LogGroupName, in.Limit = &group, new(int32(2))
		for pages := cloudwatchlogs.NewDescribeLogStreamsPaginator(w.logs, &in); pages.HasMorePages(); {
			for _, s := range must(pages.NextPage(ctx))(t).LogStreams {
				got = append(got, *s.LogStreamName)
			}
		}
		return got
	}
	t.Run("CreateLogStream, DescribeLogStreams", func(t *testing.T) {
		for _, c := range []struct {
			in   cloudwatchlogs.DescribeLogStreamsInput
			want []string
		}{
			{cloudwatchlogs.DescribeLogStreamsInput{}, []string{"a", "b", "c"}},
			{cloudwatchlogs.DescribeLogStreamsInput{Descending: new(true)}, []string{"c", "b", "a"}},
			{cloudwatchlogs.DescribeLogStreamsInput{OrderBy: types.OrderByLastEventTime, Descending: new(true)}, []string{"a", "b", "c"}},
			{cloudwatchlogs.DescribeLogStreamsInput{LogStreamNamePrefix: new("b")}, []string{"b"}},
		} {
			if diff := cmp.Diff(list(c.in), c.want); diff != "" {
				t.Errorf("%+v: %s", c.in, diff)
			}
		}
		s := must(w.logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: &group}))(t).LogStreams[0]
		if *s.FirstEventTimestamp != now.Add(time.Second).UnixMilli() || *s.LastEventTimestamp != *s.FirstEventTimestamp+1 || s.LastIngestionTime == nil ||
			*s.Arn != "arn:aws:logs:"+region+":"+w.account+":log-group:"+group+":log-stream:a" {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("DeleteLogStream", func(t *testing.T) {
		must(w.logs.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: &group, LogStreamName: new("a")}))(t)
		if diff := cmp.Diff(list(cloudwatchlogs.DescribeLogStreamsInput{}), []string{"b", "c"}); diff != "" {
			t.Error(diff)
		}
		w.logsStreamIsNew(t, group, "a")
	})
}

// logsStreamIsNew makes a stream again and finds nothing of the old one in it.
func (w *world) logsStreamIsNew(t *testing.T, group, stream string) {
	t.Helper()
	must(w.logs.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream}))(t)
	out := must(w.logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: new(true)}))(t)
	if out.Events == nil || len(out.Events) != 0 || out.NextForwardToken == nil || out.NextBackwardToken == nil {
		t.Errorf("got %+v", out)
	}
}

func TestLogsEvents(t *testing.T) {
	w := newWorld(t)
	ctx, group := t.Context(), name("g")
	w.group(group, "s", "t")
	now := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	w.put(group, "s", now, "a 1", "b 2", "a 3", "b 4", "a 5")
	w.put(group, "t", now, "a t")
	t.Run("PutLogEvents, GetLogEvents", func(t *testing.T) {
		for _, head := range []bool{true, false} {
			var got []string
			in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: new("s"), StartFromHead: &head, Limit: new(int32(2))}
			for {
				out := must(w.logs.GetLogEvents(ctx, in))(t)
				next := out.NextForwardToken
				if !head {
					next = out.NextBackwardToken
				}
				if in.NextToken != nil && *next == *in.NextToken {
					break // the end: the token stays the same
				}
				in.NextToken = next
				var page []string
				for _, e := range out.Events {
					page = append(page, *e.Message)
				}
				if got = append(got, page...); !head {
					got = append(page, got[:len(got)-len(page)]...)
				}
			}
			if diff := cmp.Diff(got, []string{"a 1", "b 2", "a 3", "b 4", "a 5"}); diff != "" {
				t.Errorf("from head %v: %s", head, diff)
			}
		}
	})
	t.Run("FilterLogEvents", func(t *testing.T) {
		var got []string
		in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, FilterPattern: new("a"), StartTime: new(now.UnixMilli()), Limit: new(int32(1))}
		for pages := cloudwatchlogs.NewFilterLogEventsPaginator(w.logs, in); pages.HasMorePages(); {
			for _, e := range must(pages.NextPage(ctx))(t).Events {
				got = append(got, *e.LogStreamName+" "+*e.Message)
				if e.EventId == nil || e.IngestionTime == nil || *e.Timestamp < now.UnixMilli() {
					t.Errorf("event %+v", e)
				}
			}
		}
		sameSet(t, got, []string{"s a 1", "t a t", "s a 3", "s a 5"})
	})
	t.Run("TestMetricFilter", func(t *testing.T) {
		out := must(w.logs.TestMetricFilter(ctx, &cloudwatchlogs.TestMetricFilterInput{FilterPattern: new(`{ $.n > 1 }`), LogEventMessages: []string{`{"n":1}`, `{"n":2}`}}))(t)
		if len(out.Matches) != 1 || out.Matches[0].EventNumber != 2 || *out.Matches[0].EventMessage != `{"n":2}` {
			t.Errorf("got %+v", out.Matches)
		}
	})
	t.Run("StartLiveTail", func(t *testing.T) {
		arn := "arn:aws:logs:" + region + ":" + w.account + ":log-group:" + group
		out := must(w.logs.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{arn}}, w.byName))(t)
		stream := out.GetStream()
		defer stream.Close()
		for e := range stream.Events() {
			switch e := e.(type) {
			case *types.StartLiveTailResponseStreamMemberSessionStart:
				w.put(group, "t", time.Now(), "live")
			case *types.StartLiveTailResponseStreamMemberSessionUpdate:
				if len(e.Value.SessionResults) == 1 && *e.Value.SessionResults[0].Message == "live" {
					return
				}
			}
		}
		t.Error("the tail ended:", stream.Err())
	})
}

// byName reaches the endpoint as logs.localhost: the SDK puts "stream-" before the host of this operation.
func (w *world) byName(o *cloudwatchlogs.Options) {
	at := must(url.Parse(w.url))(w.t)
	o.BaseEndpoint = new("http://logs.localhost:" + at.Port())
	o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at.Host)
	}}}
}

func TestLogsRefuseBadInput(t *testing.T) {
	w := newWorld(t)
	group := name("g")
	w.group(group, "s")
	g := `"logGroupName":"` + group + `"`
	s := g + `,"logStreamName":"s"`
	const (
		one       = invalid + "1 validation error detected: Value "
		noGroup   = "ResourceNotFoundException: The specified log group does not exist."
		noStream  = "ResourceNotFoundException: The specified log stream does not exist."
		namespace = " failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
	)
	event := func(at time.Duration) string {
		return fmt.Sprintf(`{"timestamp":%d,"message":"m"}`, time.Now().Add(at).UnixMilli())
	}
	w.refuses("logs", []bad{
		{"CreateLogGroup", `{}`, one + "null at 'logGroupName' failed to satisfy constraint: Member must not be null"},
		{"CreateLogGroup", `{"logGroupName":"a b"}`, one + "'a b' at 'logGroupName'" + namespace},
		{"CreateLogGroup", `{` + g + `}`, "ResourceAlreadyExistsException: The specified log group already exists"},
		{"CreateLogGroup", `{"logGroupName":"aws/x"}`, invalid + "Log group name cannot start with 'aws/'"},
		{"CreateLogGroup", `{"logGroupName":"k","kmsKeyId":"k"}`, invalid + "kmsKeyId is not supported: Berth does not encrypt log groups."},
		{"CreateLogGroup", `{"logGroupName":"k","logGroupClass":"DELIVERY"}`, invalid + "The log group class DELIVERY is not supported."},
		{"CreateLogGroup", `{"logGroupName":"k","tags":{"aws:a":"b"}}`, invalid + "Tag keys starting with 'aws:' are reserved for system use"},
		{"DeleteLogGroup", `{"logGroupName":"none"}`, noGroup},
		{"DescribeLogGroups", `{"logGroupNamePrefix":"a","logGroupNamePattern":"abc"}`, invalid + "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."},
		{"DescribeLogGroups", `{"nextToken":"x"}`, invalid + "The specified nextToken is invalid."},
		{"DescribeLogGroups", `{"limit":51}`, one + "'51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50"},
		{"DescribeLogGroups", `{"includeLinkedAccounts":true,"accountIdentifiers":["999999999999"]}`, invalid + "accountIdentifiers can have only your own account " + w.account + ": this Berth does not link accounts."},
		{"ListLogGroups", `{"accountIdentifiers":["999999999999"]}`, invalid + "accountIdentifiers can have only your own account " + w.account + ": this Berth does not link accounts."},
		{"ListLogGroups", `{"fieldIndexNames":["a"]}`, invalid + "dataSources and fieldIndexNames are not supported."},
		{"CreateLogStream", `{"logGroupName":"none","logStreamName":"s"}`, noGroup},
		{"CreateLogStream", `{` + s + `}`, "ResourceAlreadyExistsException: The specified log stream already exists"},
		{"DeleteLogStream", `{` + g + `,"logStreamName":"none"}`, noStream},
		{"DescribeLogStreams", `{}`, invalid + "At least one of logGroupName or logGroupIdentifier is required."},
		{"DescribeLogStreams", `{` + g + `,"logGroupIdentifier":"` + group + `"}`, invalid + "LogGroup name and LogGroup ARN are mutually exclusive parameters."},
		{"DescribeLogStreams", `{` + g + `,"orderBy":"LastEventTime","logStreamNamePrefix":"a"}`, invalid + "Cannot order by LastEventTime with a logStreamNamePrefix."},
		{"DescribeLogStreams", `{` + g + `,"orderBy":"Size"}`, one + "'Size' at 'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]"},
		{"PutLogEvents", `{` + g + `,"logStreamName":"none","logEvents":[` + event(0) + `]}`, noStream},
		{"PutLogEvents", `{` + s + `,"logEvents":[]}`, one + "'[0 items]' at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutLogEvents", `{` + s + `,"logEvents":[` + event(0) + `,` + event(-time.Second) + `]}`, invalid + "Log events in a single PutLogEvents request must be in chronological order."},
		{"PutLogEvents", `{` + s + `,"logEvents":[` + event(-25*time.Hour) + `,` + event(0) + `]}`, invalid + "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."},
		{"GetLogEvents", `{` + g + `,"logStreamName":"none"}`, noStream},
		{"GetLogEvents", `{` + s + `,"nextToken":"f/x"}`, invalid + "The specified nextToken is invalid."},
		{"GetLogEvents", `{"logGroupIdentifier":"arn:aws:logs:us-east-1:999999999999:log-group:` + group + `","logStreamName":"s"}`, noGroup},
		{"FilterLogEvents", `{` + g + `,"logStreamNames":["s"],"logStreamNamePrefix":"s"}`, invalid + "logStreamNames and logStreamNamePrefix are mutually exclusive parameters."},
		{"FilterLogEvents", `{` + g + `,"logStreamNames":["none"]}`, noStream},
		{"FilterLogEvents", `{` + g + `,"startTime":2,"endTime":1}`, invalid + "End time should not be less than start time."},
		{"StartLiveTail", `{"logGroupIdentifiers":["arn:aws:logs:us-east-1:` + w.account + `:log-group:none"]}`, noGroup},
		{"PutRetentionPolicy", `{` + g + `,"retentionInDays":2}`, one + "'2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]"},
		{"DeleteRetentionPolicy", `{"logGroupName":"none"}`, noGroup},
		{"PutLogGroupDeletionProtection", `{"logGroupIdentifier":"none","deletionProtectionEnabled":true}`, noGroup},
		{"TagResource", `{"resourceArn":"arn:aws:logs:us-east-1:` + w.account + `:log-group:none","tags":{"a":"b"}}`, noGroup},
		{"TagResource", `{"resourceArn":"arn:aws:logs:us-east-1:` + w.account + `:log-group:` + group + `","tags":{"aws:a":"b"}}`, invalid + "Tag keys starting with 'aws:' are reserved for system use"},
		{"ListTagsForResource", `{"resourceArn":"arn:aws:ecs:us-east-1:` + w.account + `:cluster/c"}`, invalid + "Invalid log group ARN: arn:aws:ecs:us-east-1:" + w.account + ":cluster/c"},
		{"ListTagsLogGroup", `{"logGroupName":"none"}`, noGroup},
		{"TagLogGroup", `{"logGroupName":"none","tags":{"a":"b"}}`, noGroup},
		{"UntagLogGroup", `{"logGroupName":"none","tags":["a"]}`, noGroup},
	})
	if got := w.refusal("logs", "FilterLogEvents", `{`+g+`,"filterPattern":"{ $.a"}`); !strings.HasPrefix(got, invalid+"Invalid filter pattern: ") {
		t.Errorf("got %s", got)
	}
	if got := w.refusal("logs", "TestMetricFilter", `{"filterPattern":"[","logEventMessages":["a"]}`); !strings.HasPrefix(got, invalid+"Invalid filter pattern: ") {
		t.Errorf("got %s", got)
	}
}

func TestLogsRefuseWhatIsNotBuilt(t *testing.T) {
	newWorld(t).refusesWhatIsNotBuilt("logs", (*product.Service)(nil), &api.API)
}
