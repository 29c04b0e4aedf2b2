package logs_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"berth/agent/proto"
)

const accessLine = `10.0.0.17 - - [10/Oct/2026:13:55:36 +0000] "GET /api/v1/things/%d HTTP/1.1" 200 2326 "-" "curl/8.5"`

func BenchmarkAgentBatches(b *testing.B) {
	w := newWorld(b)
	agents := w.service.Agents()
	batch := proto.LogBatch{Group: "g", Stream: "s", Create: true}
	for i := range 1000 {
		batch.Events = append(batch.Events, proto.LogEvent{Message: fmt.Sprintf(accessLine, i)})
	}
	b.ResetTimer()
	for range b.N {
		for i := range batch.Events {
			batch.Events[i].Timestamp = time.Now().UnixMilli()
		}
		if err := agents.PutLogEvents(b.Context(), "000000000000", "us-east-1", batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAPI(b *testing.B) {
	w := newWorld(b)
	const streams = 16
	var names []string
	for i := range streams {
		names = append(names, fmt.Sprint("s", i))
	}
	w.group(b, "g", names...)
	b.Run("PutLogEvents of 100", func(b *testing.B) {
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: &names[next.Add(1)%streams]}
			for pb.Next() {
				in.LogEvents = in.LogEvents[:0]
				for i := range 100 {
					in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: new(time.Now().UnixMilli()), Message: new(fmt.Sprintf(accessLine, i))})
				}
				if _, err := w.PutLogEvents(b.Context(), in); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkFilter looks for one event in a million.
func BenchmarkFilter(b *testing.B) {
	w := newWorld(b)
	agents := w.service.Agents()
	start := time.Now().Add(-time.Hour).UnixMilli()
	const total = 1_000_000
	for i := 0; i < total; i += 5000 {
		batch := proto.LogBatch{Group: "g", Stream: fmt.Sprint("s", i/5000%20), Create: true}
		for j := range 5000 {
			batch.Events = append(batch.Events, proto.LogEvent{Timestamp: start + int64(i+j), Message: fmt.Sprintf(accessLine, i+j)})
		}
		if err := agents.PutLogEvents(b.Context(), "000000000000", "us-east-1", batch); err != nil {
			b.Fatal(err)
		}
	}
	for _, pattern := range []string{`"things/999999 "`, `[ip, a, b, time, request = %things/999999 %, ...]`} {
		b.Run(strings.ReplaceAll(pattern, "/", " "), func(b *testing.B) {
			for range b.N {
				pages := cloudwatchlogs.NewFilterLogEventsPaginator(w, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: &pattern})
				found := 0
				for pages.HasMorePages() {
					found += len(must[*cloudwatchlogs.FilterLogEventsOutput](b)(pages.NextPage(b.Context())).Events)
				}
				if found != 1 {
					b.Fatalf("found %d", found)
				}
			}
			b.ReportMetric(float64(b.N)*total/b.Elapsed().Seconds(), "events/s")
		})
	}
	b.Run("a page in the middle", func(b *testing.B) {
		for range b.N {
			in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s10"), StartFromHead: new(true), StartTime: new(start + 500_000), Limit: new(int32(100))}
			if got := must[*cloudwatchlogs.GetLogEventsOutput](b)(w.GetLogEvents(b.Context(), in)); len(got.Events) != 100 {
				b.Fatalf("%d events", len(got.Events))
			}
		}
	})
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.Logf("heap with a million events stored: %d MiB", m.HeapAlloc>>20)
}
