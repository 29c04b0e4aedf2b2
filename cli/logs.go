package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	api "berth/api/ecs"
	logsapi "berth/api/logs"
	"berth/aws"
)

// LogSource is the log stream of one container of one task.
type LogSource struct {
	Task, Container string // the task's ID, the container's name
	Group, Stream   string
}

// LogLine is one event of a source.
type LogLine struct {
	Source  LogSource `json:"-"`
	Task    string    `json:"task"`
	Name    string    `json:"container"`
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
	id      string
}

// LogSources finds the log streams of the tasks' containers that log through awslogs. Containers with another log
// driver are named in other.
func (c *Client) LogSources(ctx context.Context, tasks []api.Task) (sources []LogSource, other []string, err error) {
	definitions := map[string]*api.TaskDefinition{}
	for _, t := range tasks {
		arn := aws.Value(t.TaskDefinitionArn)
		def := definitions[arn]
		if def == nil {
			out, err := Call[api.DescribeTaskDefinitionResponse](ctx, c, ECS, "DescribeTaskDefinition", api.DescribeTaskDefinitionRequest{TaskDefinition: &arn})
			if err != nil {
				return nil, nil, err
			}
			def = out.TaskDefinition
			definitions[arn] = def
		}
		for _, container := range def.ContainerDefinitions {
			name, id := aws.Value(container.Name), TaskID(aws.Value(t.TaskArn))
			l := container.LogConfiguration
			if l == nil || l.LogDriver != api.LogDriverAwslogs {
				other = append(other, id+"/"+name)
				continue
			}
			stream := runtimeID(t, name)
			if prefix := l.Options["awslogs-stream-prefix"]; prefix != "" {
				stream = prefix + "/" + name + "/" + id
			}
			sources = append(sources, LogSource{Task: id, Container: name, Group: l.Options["awslogs-group"], Stream: stream})
		}
	}
	return sources, other, nil
}

func runtimeID(t api.Task, name string) string {
	for _, c := range t.Containers {
		if aws.Value(c.Name) == name {
			return aws.Value(c.RuntimeId)
		}
	}
	return ""
}

// ReadLogs returns the events of the sources since a time, merged in the order of time.
func (c *Client) ReadLogs(ctx context.Context, sources []LogSource, since time.Time) ([]LogLine, error) {
	byGroup := map[string][]LogSource{}
	for _, s := range sources {
		if s.Group != "" && s.Stream != "" {
			byGroup[s.Group] = append(byGroup[s.Group], s)
		}
	}
	var lines []LogLine
	for group, members := range byGroup {
		// FilterLogEvents takes at most 100 streams at once.
		for batch := range slices.Chunk(members, 100) {
			more, err := c.readGroup(ctx, group, batch, since)
			if err != nil {
				return nil, err
			}
			lines = append(lines, more...)
		}
	}
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	return lines, nil
}

func (c *Client) readGroup(ctx context.Context, group string, members []LogSource, since time.Time) ([]LogLine, error) {
	byStream := map[string]LogSource{}
	in := logsapi.FilterLogEventsRequest{LogGroupName: &group}
	for _, m := range members {
		byStream[m.Stream] = m
		in.LogStreamNames = append(in.LogStreamNames, m.Stream)
	}
	if !since.IsZero() {
		in.StartTime = new(since.UnixMilli())
	}
	var lines []LogLine
	for {
		page, err := Call[logsapi.FilterLogEventsResponse](ctx, c, Logs, "FilterLogEvents", in)
		if f, ok := errors.AsType[*Failure](err); ok && f.Code == "ResourceNotFoundException" {
			return lines, nil // nothing was logged yet
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			s := byStream[aws.Value(e.LogStreamName)]
			lines = append(lines, LogLine{
				Source: s, Task: s.Task, Name: s.Container, id: aws.Value(e.EventId),
				Time: time.UnixMilli(aws.Value(e.Timestamp)), Message: aws.Value(e.Message),
			})
		}
		if page.NextToken == nil {
			return lines, nil
		}
		in.NextToken = page.NextToken
	}
}

// Follower hands out each log line once, although it asks for overlapping times: a line may arrive late.
type Follower struct {
	seen map[string]time.Time
}

// overlap is how far back each question of a Follower reaches.
const overlap = 10 * time.Second

// New returns the lines that were not returned before.
func (f *Follower) New(lines []LogLine) []LogLine {
	if f.seen == nil {
		f.seen = map[string]time.Time{}
	}
	fresh := slices.DeleteFunc(lines, func(l LogLine) bool { _, old := f.seen[l.id]; return old })
	for _, l := range fresh {
		f.seen[l.id] = l.Time
	}
	if latest := f.latest(); !latest.IsZero() {
		for id, at := range f.seen {
			if at.Before(latest.Add(-2 * overlap)) {
				delete(f.seen, id)
			}
		}
	}
	return fresh
}

// Since is where the next question starts.
func (f *Follower) Since(start time.Time) time.Time {
	latest := f.latest()
	if latest.IsZero() {
		return start
	}
	if from := latest.Add(-overlap); from.After(start) {
		return from
	}
	return start
}

func (f *Follower) latest() time.Time {
	var latest time.Time
	for _, at := range f.seen {
		if cmp.Compare(at.UnixNano(), latest.UnixNano()) > 0 || latest.IsZero() {
			latest = at
		}
	}
	return latest
}
