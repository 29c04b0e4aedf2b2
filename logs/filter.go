package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	api "berth/api/logs"
	"berth/aws"
	"berth/logs/events"
	"berth/logs/pattern"
	"berth/store"
)

// scanEvents is how many events one call looks at. A page may be empty and still have a token, as at AWS.
const scanEvents = 500_000

// FilterLogEvents returns the events of a group that match, of all chosen streams in the order of their times.
func (s *Service) FilterLogEvents(ctx context.Context, in *api.FilterLogEventsRequest) (*api.FilterLogEventsResponse, error) {
	r := s.Store.Read()
	g, err := s.group(ctx, r, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	p, err := pattern.Parse(aws.Value(in.FilterPattern))
	if err != nil {
		return nil, invalid("Invalid filter pattern: %s", err)
	}
	names, err := s.chosen(r, g, in)
	if err != nil {
		return nil, err
	}
	scope, err := filterScope(g, in)
	if err != nil {
		return nil, err
	}
	from := events.At(max(aws.Value(in.StartTime), g.oldest(time.Now())))
	to := events.End
	if in.EndTime != nil && *in.EndTime < math.MaxInt64 {
		to = events.At(*in.EndTime + 1)
	}
	if in.StartTime != nil && in.EndTime != nil && *in.StartTime > *in.EndTime {
		return nil, invalid("End time should not be less than start time.")
	}
	cursor, paged, err := s.openToken(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	if paged {
		at, err := parsePosition(cursor)
		if err != nil {
			return nil, err
		}
		if from.Less(at) {
			from = at
		}
	}
	return s.filter(ctx, names, p, from, to, limit(in.Limit, pageEvents), scope)
}

// filterScope binds a token to the request that it continues. Other limits are fine.
func filterScope(g Group, in *api.FilterLogEventsRequest) (string, error) {
	same := *in
	same.NextToken, same.Limit, same.LogGroupName, same.LogGroupIdentifier = nil, nil, nil, nil
	text, err := json.Marshal(same)
	if err != nil {
		return "", fmt.Errorf("encode the filter: %w", err)
	}
	return "FilterLogEvents " + idText(g.ID) + " " + string(text), nil
}

// chosen maps the IDs of the streams that the request asks for to their names.
func (s *Service) chosen(r store.Reader, g Group, in *api.FilterLogEventsRequest) (map[uint64]string, error) {
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return nil, invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	names := map[uint64]string{}
	if in.LogStreamNames == nil {
		for l := range Streams.Prefix(r, g.streamKey(aws.Value(in.LogStreamNamePrefix))) {
			names[l.ID] = l.Name
		}
		return names, nil
	}
	for _, name := range in.LogStreamNames {
		l, err := s.stream(r, g, name)
		if err != nil {
			return nil, err
		}
		names[l.ID] = l.Name
	}
	return names, nil
}

func (s *Service) filter(ctx context.Context, names map[uint64]string, p *pattern.Pattern, from, to events.Position, limit int, scope string) (*api.FilterLogEventsResponse, error) {
	out := &api.FilterLogEventsResponse{Events: []api.FilteredLogEvent{}, SearchedLogStreams: []api.SearchedLogStream{}}
	ids := make([]uint64, 0, len(names))
	for id := range names {
		ids = append(ids, id)
	}
	size, seen := 0, 0
	for e, err := range s.Events.Merge(ids, from, to) {
		if err != nil {
			return nil, shown(err)
		}
		if seen++; seen%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		matches := p.Match(e.Message)
		full := len(out.Events) == limit || matches && len(out.Events) > 0 && size+e.Size() > pageBytes
		if full || seen > scanEvents {
			out.NextToken = new(s.Pages.Seal(scope, positionText(e.Before())))
			break
		}
		if !matches {
			continue
		}
		size += e.Size()
		out.Events = append(out.Events, api.FilteredLogEvent{
			LogStreamName: new(names[e.Stream]), Timestamp: new(e.Timestamp), IngestionTime: new(e.Ingestion),
			Message: new(e.Message), EventId: new(eventID(e.Timestamp, e.Stream, e.Seq)),
		})
	}
	return out, nil
}

// TestMetricFilter tries a pattern on messages.
func (s *Service) TestMetricFilter(_ context.Context, in *api.TestMetricFilterRequest) (*api.TestMetricFilterResponse, error) {
	p, err := pattern.Parse(aws.Value(in.FilterPattern))
	if err != nil {
		return nil, invalid("Invalid filter pattern: %s", err)
	}
	out := &api.TestMetricFilterResponse{Matches: []api.MetricFilterMatchRecord{}}
	for i, m := range in.LogEventMessages {
		if p.Match(m) {
			out.Matches = append(out.Matches, api.MetricFilterMatchRecord{
				EventNumber: new(int64(i + 1)), EventMessage: new(m), ExtractedValues: p.Extract(m),
			})
		}
	}
	return out, nil
}
