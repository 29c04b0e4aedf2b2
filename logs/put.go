package logs

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"time"

	"berth/agent/proto"
	api "berth/api/logs"
	"berth/aws"
	"berth/logs/events"
)

// Limits of PutLogEvents. Source: its API reference.
const (
	maxBatch  = 1 << 20
	maxEvent  = 1 << 20
	maxAge    = 14 * day
	maxFuture = 2 * time.Hour
	maxSpan   = 24 * time.Hour
)

// PutLogEvents stores a batch. When it returns, the events survive a crash. The sequence token is ignored.
func (s *Service) PutLogEvents(ctx context.Context, in *api.PutLogEventsRequest) (*api.PutLogEventsResponse, error) {
	r := s.Store.Read()
	g, err := s.group(ctx, r, in.LogGroupName, nil)
	if err != nil {
		return nil, err
	}
	l, err := s.stream(r, g, aws.Value(in.LogStreamName))
	if err != nil {
		return nil, err
	}
	batch := make([]events.Input, len(in.LogEvents))
	for i, e := range in.LogEvents {
		batch[i] = events.Input{Timestamp: aws.Value(e.Timestamp), Message: aws.Value(e.Message)}
	}
	if err := checkBatch(batch); err != nil {
		return nil, err
	}
	now := time.Now()
	batch, rejected := accept(batch, g, now)
	if n := len(batch); n > 0 && batch[n-1].Timestamp-batch[0].Timestamp > maxSpan.Milliseconds() {
		return nil, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	if err := s.append(ctx, g, l, now, batch); err != nil {
		return nil, err
	}
	out := &api.PutLogEventsResponse{NextSequenceToken: new(eventID(millis(now), l.ID, 0)), RejectedLogEventsInfo: rejected}
	if in.Entity != nil {
		out.RejectedEntityInfo = &api.RejectedEntityInfo{ErrorType: api.EntityRejectionErrorTypeUnsupportedLogGroupType}
	}
	return out, nil
}

func checkBatch(batch []events.Input) error {
	size := 0
	for i, e := range batch {
		if len(e.Message)+events.Overhead > maxEvent {
			return invalid("Log event too large: %d bytes exceeds limit of %d", len(e.Message)+events.Overhead, maxEvent)
		}
		if i > 0 && e.Timestamp < batch[i-1].Timestamp {
			return invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		size += len(e.Message) + events.Overhead
	}
	if size > maxBatch {
		return invalid("Upload too large: %d bytes exceeds limit of %d", size, maxBatch)
	}
	return nil
}

// accept splits off what is too old, past its retention, or too new. batch is in chronological order.
func accept(batch []events.Input, g Group, now time.Time) ([]events.Input, *api.RejectedLogEventsInfo) {
	below := func(ts int64) int {
		n, _ := slices.BinarySearchFunc(batch, ts, func(e events.Input, ts int64) int {
			if e.Timestamp < ts {
				return -1
			}
			return 1
		})
		return n
	}
	tooOld, expired := below(millis(now.Add(-maxAge))), below(g.oldest(now))
	tooNew := below(millis(now.Add(maxFuture)) + 1)
	var info *api.RejectedLogEventsInfo
	if tooOld > 0 || expired > 0 || tooNew < len(batch) {
		info = &api.RejectedLogEventsInfo{}
		if tooOld > 0 {
			info.TooOldLogEventEndIndex = new(int32(tooOld))
		}
		if expired > 0 {
			info.ExpiredLogEventEndIndex = new(int32(expired))
		}
		if tooNew < len(batch) {
			info.TooNewLogEventStartIndex = new(int32(tooNew))
		}
	}
	return batch[max(tooOld, expired):max(tooNew, tooOld, expired)], info
}

func (s *Service) append(ctx context.Context, g Group, l Stream, now time.Time, batch []events.Input) error {
	if len(batch) == 0 {
		return nil
	}
	if err := s.Events.Append(ctx, g.ID, l.ID, millis(now), batch); err != nil {
		return shown(err)
	}
	s.tails.publish(g, l, millis(now), batch)
	return nil
}

// eventID is the number that AWS shows for events: unique, and rising with the time.
func eventID(timestamp int64, stream, seq uint64) string {
	n := big.NewInt(timestamp)
	n.Lsh(n, 72).Or(n, new(big.Int).SetUint64(stream))
	n.Lsh(n, 72).Or(n, new(big.Int).SetUint64(seq))
	return n.String()
}

// Agents takes the events that agents send.
type Agents struct{ s *Service }

// Agents returns the side of the service that dispatch speaks to.
func (s *Service) Agents() Agents { return Agents{s} }

// PutLogEvents stores a batch of a task's container. It makes the stream if it is not there, and the group if the batch
// says so; else a missing group is an *aws.Error with code ResourceNotFoundException. Unlike the API's operation it takes
// events of any age that the group still keeps: an agent may have been away. Empty messages are left out, and events
// that are out of order are put in order.
func (a Agents) PutLogEvents(ctx context.Context, account, region string, batch proto.LogBatch) error {
	ctx = aws.WithCaller(ctx, aws.RootCaller(account, region, ""))
	g, l, err := a.s.ensure(ctx, batch)
	if err != nil {
		return err
	}
	now := time.Now()
	oldest := g.oldest(now)
	in := make([]events.Input, 0, len(batch.Events))
	for _, e := range batch.Events {
		if e.Message != "" && e.Timestamp >= oldest {
			in = append(in, events.Input{Timestamp: max(e.Timestamp, 0), Message: e.Message})
		}
	}
	slices.SortStableFunc(in, func(a, b events.Input) int { return int(min(max(a.Timestamp-b.Timestamp, -1), 1)) })
	return a.s.append(ctx, g, l, now, in)
}

// ensure finds or makes the batch's group and stream.
func (s *Service) ensure(ctx context.Context, batch proto.LogBatch) (g Group, l Stream, err error) {
	r := s.Store.Read()
	if g, err = s.group(ctx, r, &batch.Group, nil); err == nil {
		if l, err = s.stream(r, g, batch.Stream); err == nil {
			return g, l, nil
		}
	} else if !batch.Create {
		return g, l, err
	}
	group := &api.CreateLogGroupRequest{LogGroupName: &batch.Group}
	stream := &api.CreateLogStreamRequest{LogGroupName: &batch.Group, LogStreamName: &batch.Stream}
	if batch.Create {
		if err := group.Validate(); err != nil {
			return g, l, invalid("%s", err)
		}
		if _, err := s.CreateLogGroup(ctx, group); err != nil && !exists(err) {
			return g, l, err
		}
	}
	if err := stream.Validate(); err != nil {
		return g, l, invalid("%s", err)
	}
	if _, err := s.CreateLogStream(ctx, stream); err != nil && !exists(err) {
		return g, l, err
	}
	r = s.Store.Read()
	if g, err = s.group(ctx, r, &batch.Group, nil); err == nil {
		l, err = s.stream(r, g, batch.Stream)
	}
	return g, l, err
}

func exists(err error) bool {
	e, ok := errors.AsType[*aws.Error](err)
	return ok && e.Code == "ResourceAlreadyExistsException"
}
