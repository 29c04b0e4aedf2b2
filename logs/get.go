package logs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	api "berth/api/logs"
	"berth/aws"
	"berth/logs/events"
)

// Limits of a page of events. Source: API reference of GetLogEvents.
const (
	pageEvents = 10_000
	pageBytes  = 1 << 20
)

// GetLogEvents returns a page of one stream. Both tokens are always set; where a direction has come to its end, the
// token of that direction stays the same, and finds what is added later.
func (s *Service) GetLogEvents(ctx context.Context, in *api.GetLogEventsRequest) (*api.GetLogEventsResponse, error) {
	r := s.Store.Read()
	g, err := s.group(ctx, r, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	l, err := s.stream(r, g, aws.Value(in.LogStreamName))
	if err != nil {
		return nil, err
	}
	page, err := s.eventPage(g, l, in)
	if err != nil {
		return nil, err
	}
	found, err := s.Events.Read(l.ID, page)
	if err != nil {
		return nil, shown(err)
	}
	// Without events both tokens stay where the page began.
	first, last := page.From, page.From
	if page.Reverse {
		first, last = page.To, page.To
		if in.NextToken == nil && in.EndTime == nil {
			// Nothing there yet: what comes later lies ahead, whatever its time.
			first, last = page.From, page.From
		}
	}
	out := &api.GetLogEventsResponse{Events: []api.OutputLogEvent{}}
	for i, e := range found {
		if i == 0 {
			first = e.Before()
		}
		last = e.After()
		out.Events = append(out.Events, api.OutputLogEvent{Timestamp: new(e.Timestamp), Message: new(e.Message), IngestionTime: new(e.Ingestion)})
	}
	out.NextForwardToken = new("f/" + s.Pages.Seal("f "+idText(l.ID), positionText(last)))
	out.NextBackwardToken = new("b/" + s.Pages.Seal("b "+idText(l.ID), positionText(first)))
	return out, nil
}

// eventPage turns the request into a page: times bound it, a token moves one of its ends.
func (s *Service) eventPage(g Group, l Stream, in *api.GetLogEventsRequest) (events.Page, error) {
	p := events.Page{
		From: events.At(max(aws.Value(in.StartTime), g.oldest(time.Now()))), To: events.End,
		Reverse: !aws.Value(in.StartFromHead), Limit: limit(in.Limit, pageEvents), MaxBytes: pageBytes,
	}
	if in.EndTime != nil {
		p.To = events.At(*in.EndTime)
	}
	if in.NextToken == nil {
		return p, nil
	}
	direction, sealed, _ := strings.Cut(*in.NextToken, "/")
	cursor, err := s.Pages.Open(direction+" "+idText(l.ID), sealed)
	if err != nil {
		return p, invalid("The specified nextToken is invalid.")
	}
	at, err := parsePosition(cursor)
	if err != nil {
		return p, err
	}
	if p.Reverse = direction == "b"; p.Reverse {
		if at.Less(p.To) {
			p.To = at
		}
	} else if p.From.Less(at) {
		p.From = at
	}
	return p, nil
}

func positionText(p events.Position) string {
	return strconv.FormatInt(p.Timestamp, 10) + "." + strconv.FormatUint(p.Seq, 10)
}

func parsePosition(s string) (p events.Position, err error) {
	ts, seq, _ := strings.Cut(s, ".")
	if p.Timestamp, err = strconv.ParseInt(ts, 10, 64); err == nil {
		p.Seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil {
		return p, fmt.Errorf("position %q: %w", s, err)
	}
	return p, nil
}
