package logs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	api "berth/api/logs"
	"berth/aws"
	"berth/store"
)

// Stream is the record of a log stream. It never changes. Written by: CreateLogStream and agents' events.
type Stream struct {
	Account string `json:"a"`
	Region  string `json:"r"`
	GroupID uint64 `json:"g"`
	Name    string `json:"n"`
	ID      uint64 `json:"id"`
	Created int64  `json:"c"` // ms since the epoch
}

// Key is account/region/group ID:name.
func (l Stream) Key() string { return streamKey(l.Account, l.Region, l.GroupID, l.Name) }

func streamKey(account, region string, group uint64, name string) string {
	return account + "/" + region + "/" + idText(group) + ":" + name
}

func (g Group) streamKey(name string) string { return streamKey(g.Account, g.Region, g.ID, name) }

// Streams is the table of log streams.
var Streams = store.NewTable("logs/stream", Stream.Key)

// Deleted remembers a group or stream whose streams or events are still to be removed.
// Written by: delete operations; removed by the deletion reconciler.
type Deleted struct {
	ID      uint64 `json:"id"`
	Account string `json:"a"`
	Region  string `json:"r"`
	Group   bool   `json:"g,omitzero"`
}

// Deletions is the table of what is being deleted.
var Deletions = store.NewTable("logs/deleted", func(d Deleted) string {
	return d.Account + "/" + d.Region + "/" + idText(d.ID)
})

// CreateLogStream makes an empty stream.
func (s *Service) CreateLogStream(ctx context.Context, in *api.CreateLogStreamRequest) (*api.CreateLogStreamResponse, error) {
	l := Stream{Name: aws.Value(in.LogStreamName), ID: newID(), Created: millis(time.Now())}
	return &api.CreateLogStreamResponse{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := s.group(ctx, tx, in.LogGroupName, nil)
		if err != nil {
			return err
		}
		if _, there := Streams.Get(tx, g.streamKey(l.Name)); there {
			return aws.Errorf("ResourceAlreadyExistsException", "The specified log stream already exists")
		}
		l := l
		l.Account, l.Region, l.GroupID = g.Account, g.Region, g.ID
		Streams.Put(tx, l)
		return nil
	})
}

// DeleteLogStream removes the stream with its events.
func (s *Service) DeleteLogStream(ctx context.Context, in *api.DeleteLogStreamRequest) (*api.DeleteLogStreamResponse, error) {
	return &api.DeleteLogStreamResponse{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := s.group(ctx, tx, in.LogGroupName, nil)
		if err != nil {
			return err
		}
		l, there := Streams.Get(tx, g.streamKey(aws.Value(in.LogStreamName)))
		if !there {
			return noStream()
		}
		if g.Protected {
			return aws.Errorf("ValidationException", "The log group %s has deletion protection enabled.", g.Name)
		}
		Streams.Delete(tx, l.Key())
		Deletions.Put(tx, Deleted{ID: l.ID, Account: l.Account, Region: l.Region})
		return nil
	})
}

// DescribeLogStreams lists the streams of a group by name or by the time of their last event.
func (s *Service) DescribeLogStreams(ctx context.Context, in *api.DescribeLogStreamsRequest) (*api.DescribeLogStreamsResponse, error) {
	r := s.Store.Read()
	g, err := s.group(ctx, r, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	byTime := in.OrderBy == api.OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	down, prefix := aws.Value(in.Descending), aws.Value(in.LogStreamNamePrefix)
	scope := fmt.Sprintf("DescribeLogStreams %s %v %v %q", idText(g.ID), byTime, down, prefix)
	after, paged, err := s.openToken(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	n := limit(in.Limit, 50)
	var page []Stream
	if byTime || down {
		page = s.sorted(r, g, prefix, byTime, down, after, paged, n+1)
	} else {
		page = s.byName(r, g, prefix, after, paged, n+1)
	}
	out := &api.DescribeLogStreamsResponse{LogStreams: []api.LogStream{}}
	if len(page) > n {
		page = page[:n]
		out.NextToken = new(s.Pages.Seal(scope, s.cursor(page[n-1], byTime)))
	}
	for _, l := range page {
		out.LogStreams = append(out.LogStreams, s.streamShape(g, l))
	}
	return out, nil
}

func (s *Service) byName(r store.Reader, g Group, prefix, after string, paged bool, n int) (page []Stream) {
	if paged {
		_, after, _ = strings.Cut(after, " ")
		after = g.streamKey(after)
	}
	for l := range Streams.From(r, g.streamKey(prefix), after) {
		if page = append(page, l); len(page) == n {
			break
		}
	}
	return page
}

// sorted is a page in an order that the table does not have. Streams without events come as if at time 0.
func (s *Service) sorted(r store.Reader, g Group, prefix string, byTime, down bool, after string, paged bool, n int) []Stream {
	type entry struct {
		last int64
		Stream
	}
	order := func(a, b entry) int {
		c := cmp.Or(cmp.Compare(a.last, b.last), strings.Compare(a.Name, b.Name))
		if down {
			return -c
		}
		return c
	}
	var all []entry
	for l := range Streams.Prefix(r, g.streamKey(prefix)) {
		e := entry{Stream: l}
		if byTime {
			e.last = s.lastEvent(l)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, order)
	start := 0
	if paged {
		last, name, _ := strings.Cut(after, " ")
		at := entry{Stream: Stream{Name: name}}
		at.last, _ = strconv.ParseInt(last, 10, 64)
		var found bool
		if start, found = slices.BinarySearchFunc(all, at, order); found {
			start++
		}
	}
	var page []Stream
	for _, e := range all[start:min(start+n, len(all))] {
		page = append(page, e.Stream)
	}
	return page
}

func (s *Service) cursor(l Stream, byTime bool) string {
	var last int64
	if byTime {
		last = s.lastEvent(l)
	}
	return strconv.FormatInt(last, 10) + " " + l.Name
}

func (s *Service) lastEvent(l Stream) int64 {
	t, _ := s.Events.Totals(l.ID)
	return t.Last
}

// streamShape converts to the wire. storedBytes of a stream is 0 as at AWS, which stopped to count it in 2019.
func (s *Service) streamShape(g Group, l Stream) api.LogStream {
	out := api.LogStream{
		LogStreamName: new(l.Name), CreationTime: new(l.Created), StoredBytes: new(int64(0)),
		Arn: new(g.ARN() + ":log-stream:" + l.Name),
	}
	if t, ok := s.Events.Totals(l.ID); ok && t.LastIngestion != 0 {
		out.LastIngestionTime = new(t.LastIngestion)
		out.LastEventTimestamp = new(t.Last)
		if t.Count > 0 {
			out.FirstEventTimestamp = new(t.First)
		}
	}
	return out
}

// stream finds a stream of a group.
func (s *Service) stream(r store.Reader, g Group, name string) (Stream, error) {
	l, ok := Streams.Get(r, g.streamKey(name))
	if !ok {
		return Stream{}, noStream()
	}
	return l, nil
}
