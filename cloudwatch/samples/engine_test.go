package samples

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"berth/agent/proto"
)

const (
	account = "000000000000"
	region  = "us-east-1"
)

// noon is a minute in the middle of a day.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, cfg Config) *Engine {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	e, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

var balancer = map[string]string{"LoadBalancer": "app/web/0123456789abcdef"}

func requests(at time.Time, n float64) proto.MetricSample {
	return proto.MetricSample{
		Namespace: "AWS/ApplicationELB", Name: "RequestCount", Dimensions: balancer, Unit: "Count", At: at.UnixMilli(), Period: 60,
		Sum: n, Count: n, Min: 1, Max: 1,
	}
}

func put(t *testing.T, e *Engine, source string, samples ...proto.MetricSample) {
	t.Helper()
	if err := e.Put(account, region, source, samples, noon); err != nil {
		t.Fatal(err)
	}
}

// ask gives the requests of the two hours around noon.
func ask(t *testing.T, e *Engine, period time.Duration) []Point {
	t.Helper()
	return askFor(t, e, Query{From: noon.Add(-time.Hour), To: noon.Add(time.Hour), Period: period})
}

func askFor(t *testing.T, e *Engine, q Query) []Point {
	t.Helper()
	q.Account, q.Region, q.Metric = account, region, Metric{"AWS/ApplicationELB", "RequestCount", balancer}
	points, err := e.Query(q)
	if err != nil {
		t.Fatal(err)
	}
	return points
}

func TestSourcesAddUpAndRepeatedBatchesDoNot(t *testing.T) {
	e := open(t, Config{})
	slow := proto.MetricSample{
		Namespace: "AWS/ApplicationELB", Name: "RequestCount", Dimensions: balancer, Unit: "Count", At: noon.UnixMilli(), Period: 60,
		Sum: 9, Count: 2, Min: 4, Max: 5,
	}
	for range 3 {
		put(t, e, "default/a", requests(noon, 3))
		put(t, e, "default/b", slow)
	}
	want := []Point{{Start: noon, Unit: "Count", SampleCount: 5, Sum: 12, Minimum: 1, Maximum: 5}}
	if diff := cmp.Diff(want, ask(t, e, time.Minute)); diff != "" {
		t.Error(diff)
	}
	if got := want[0].Average(); got != 2.4 {
		t.Errorf("average %v", got)
	}
}

func TestPeriodsBeginAtFrom(t *testing.T) {
	e := open(t, Config{})
	midnight := noon.Truncate(24 * time.Hour)
	put(t, e, "a", requests(midnight.Add(-2*time.Minute), 1), requests(midnight.Add(-time.Minute), 2), requests(midnight, 4),
		requests(midnight.Add(time.Minute), 8), requests(midnight.Add(10*time.Minute), 16), requests(midnight.Add(11*time.Minute), 32))
	other := requests(midnight.Add(-time.Minute), 64) // a series with the next number
	other.Name = "Other"
	put(t, e, "a", other)
	from := midnight.Add(-2*time.Minute + 30*time.Second)
	var got []string
	for _, p := range askFor(t, e, Query{From: from, To: midnight.Add(11 * time.Minute), Period: 3 * time.Minute}) {
		got = append(got, fmt.Sprintf("%s=%v", p.Start.Sub(midnight), p.Sum))
	}
	if diff := cmp.Diff([]string{"-2m0s=7", "1m0s=8", "10m0s=16"}, got); diff != "" {
		t.Error(diff)
	}
	if got := askFor(t, e, Query{From: midnight.Add(-time.Hour), To: midnight.Add(-time.Millisecond), Period: time.Hour}); len(got) != 1 || got[0].Sum != 3 {
		t.Errorf("up to midnight: %v", got)
	}
	if got := askFor(t, e, Query{From: time.Unix(0, 0), To: noon, Period: 24 * time.Hour}); len(got) != 2 {
		t.Errorf("everything: %v", got)
	}
	if _, err := e.Query(Query{Period: 90 * time.Second}); err == nil {
		t.Error("a period of a minute and a half is taken")
	}
}

func TestMetricsAreKeptApart(t *testing.T) {
	e := open(t, Config{})
	inGroup, bytes := requests(noon, 2), requests(noon, 3)
	inGroup.Dimensions = map[string]string{"LoadBalancer": balancer["LoadBalancer"], "TargetGroup": "targetgroup/web/1"}
	bytes.Unit = "Bytes"
	put(t, e, "a", requests(noon, 1), inGroup, bytes)
	if err := e.Put(account, "eu-west-1", "a", []proto.MetricSample{requests(noon, 7)}, noon); err != nil {
		t.Fatal(err)
	}
	want := []Point{{noon, "Bytes", 3, 3, 1, 1}, {noon, "Count", 1, 1, 1, 1}}
	if diff := cmp.Diff(want, ask(t, e, time.Minute)); diff != "" {
		t.Error(diff)
	}
	got := askFor(t, e, Query{From: noon, To: noon.Add(time.Minute), Period: time.Minute, Unit: "Count"})
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Error(diff)
	}
	all := []Metric{{"AWS/ApplicationELB", "RequestCount", balancer}, {"AWS/ApplicationELB", "RequestCount", inGroup.Dimensions}}
	for _, row := range []struct {
		filter Filter
		want   []Metric
	}{
		{Filter{}, all},
		{Filter{Namespace: "AWS/NetworkELB"}, []Metric{}},
		{Filter{Name: "RequestCount"}, all},
		{Filter{Dimensions: map[string]string{"TargetGroup": ""}}, all[1:]},
		{Filter{Dimensions: map[string]string{"TargetGroup": "targetgroup/web/2"}}, []Metric{}},
	} {
		if diff := cmp.Diff(row.want, e.List(account, region, row.filter)); diff != "" {
			t.Errorf("%v: %s", row.filter, diff)
		}
	}
}

func TestWhatCannotBeKeptIsDroppedAndCounted(t *testing.T) {
	e := open(t, Config{MaxSeries: 2})
	with := func(change func(m *proto.MetricSample)) proto.MetricSample {
		m := requests(noon, 1)
		change(&m)
		return m
	}
	put(t, e, "a", requests(noon, 1),
		with(func(m *proto.MetricSample) { m.At++ }),
		with(func(m *proto.MetricSample) { m.Period = 30 }),
		with(func(m *proto.MetricSample) { m.Count = 0 }),
		with(func(m *proto.MetricSample) { m.Sum = math.Inf(1) }),
		with(func(m *proto.MetricSample) { m.Min = 2 }),
		with(func(m *proto.MetricSample) { m.Name = "a\x00b" }),
		requests(noon.Add(-Retention-time.Minute), 1), requests(noon.Add(ahead+time.Minute), 1),
		with(func(m *proto.MetricSample) { m.Name = "Second" }),
		with(func(m *proto.MetricSample) { m.Name = "Third" }))
	if got := e.Status(); got.Series != 2 || got.Dropped != 9 || !got.Newest.Equal(noon) || got.Err != nil {
		t.Errorf("%+v", got)
	}
	if err := e.Put(account, "eu-west-1", "a", []proto.MetricSample{requests(noon, 1)}, noon); err != nil || e.Status().Series != 3 {
		t.Errorf("another region has no room: %v, %+v", err, e.Status())
	}
}

// What was acknowledged is there after a power cut, which loses all that was not synced.
func TestAcknowledgedSamplesSurviveACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	e := open(t, Config{Dir: "metrics", fs: fs})
	for minute := range 50 {
		var wg sync.WaitGroup
		for source := range 4 {
			wg.Go(func() {
				if err := e.Put(account, region, fmt.Sprint(source), []proto.MetricSample{requests(noon.Add(time.Duration(minute)*time.Minute), 1)}, noon); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if minute%10 != 9 {
			continue
		}
		after := open(t, Config{Dir: "metrics", fs: fs.CrashClone(vfs.CrashCloneCfg{})})
		got := ask(t, after, time.Hour)
		if len(got) != 1 || got[0].Sum != float64(4*(minute+1)) {
			t.Fatalf("after %d minutes: %v", minute+1, got)
		}
		// What comes after the crash goes into the same series.
		put(t, after, "9", requests(noon, 1))
		if got := ask(t, after, time.Hour); len(got) != 1 || got[0].Sum != float64(4*(minute+1)+1) || after.Status().Series != 1 {
			t.Errorf("after the crash: %v, %+v", got, after.Status())
		}
	}
}

func TestSamplesAreThereAfterClose(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Config{Dir: dir})
	put(t, e, "a", requests(noon, 2))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Put(account, region, "a", nil, noon); !errors.Is(err, ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
	if _, err := e.Query(Query{Period: time.Minute}); !errors.Is(err, ErrClosed) || !errors.Is(e.Status().Err, ErrClosed) {
		t.Errorf("query after close: %v", err)
	}
	if got := ask(t, open(t, Config{Dir: dir}), time.Hour); len(got) != 1 || got[0].Sum != 2 {
		t.Errorf("%v", got)
	}
}

// Whatever the order in which batches come, and come again, the answer is the same to the last bit.
func TestMergingDoesNotDependOnOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	type batch struct {
		source  string
		samples []proto.MetricSample
	}
	for range 10 {
		var all []batch
		for source := range 1 + rnd.IntN(4) {
			for minute := range 1 + rnd.IntN(20) {
				b := batch{source: fmt.Sprint(source)}
				for _, unit := range []string{"Count", "Seconds"}[:1+rnd.IntN(2)] {
					m := requests(noon.Add(time.Duration(minute)*time.Minute), float64(1+rnd.IntN(9)))
					m.Unit, m.Sum, m.Min, m.Max = unit, rnd.Float64()*1e3, rnd.Float64(), 1+rnd.Float64()
					b.samples = append(b.samples, m)
				}
				all = append(all, b)
			}
		}
		var want []Point
		for round := range 3 {
			e := open(t, Config{Dir: "metrics", fs: vfs.NewMem()})
			for _, i := range append(rnd.Perm(len(all)), rnd.Perm(len(all))[:len(all)/2]...) {
				put(t, e, all[i].source, all[i].samples...)
			}
			got := ask(t, e, 7*time.Minute)
			if round == 0 {
				want = got
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
		}
	}
}

func TestTrimDeletesOldDaysAndTheirSeries(t *testing.T) {
	fs := vfs.NewMem()
	e := open(t, Config{Dir: "metrics", fs: fs, MaxSeries: 1})
	put(t, e, "a", requests(noon, 1), requests(noon.Add(time.Minute), 2))
	trim := func(now time.Time) {
		t.Helper()
		if err := e.Trim(now); err != nil {
			t.Fatal(err)
		}
	}
	trim(noon.Add(Retention))
	if got := ask(t, e, time.Hour); len(got) != 1 {
		t.Fatalf("numbers went too early: %v", got)
	}
	later := noon.Add(Retention + 12*time.Hour) // the day is over 15 days old
	trim(later)
	if got := ask(t, e, time.Hour); len(got) != 0 || len(e.List(account, region, Filter{})) != 0 || e.Status().Series != 0 {
		t.Fatalf("old numbers are there: %v %+v", got, e.Status())
	}
	other := requests(later, 5) // there is room again
	other.Name = "Other"
	if err := e.Put(account, region, "a", []proto.MetricSample{other}, later); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Config{Dir: "metrics", fs: fs})
	if got := e.List(account, region, Filter{}); len(got) != 1 || got[0].Name != "Other" {
		t.Errorf("after opening again: %v", got)
	}
	if got := ask(t, e, time.Hour); len(got) != 0 {
		t.Errorf("old numbers came back: %v", got)
	}
}

// faulty is a file system whose log file can be told to fail.
type faulty struct{ on atomic.Bool }

func (f *faulty) String() string { return "the log fails" }

func (f *faulty) MaybeError(op errorfs.Op) error {
	if f.on.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind != errorfs.OpFileClose {
		return syscall.EIO
	}
	return nil
}

func TestAFailedWriteIsAnErrorUntilTheNextStart(t *testing.T) {
	fault, mem := &faulty{}, vfs.NewCrashableMem()
	e, err := Open(Config{Dir: "metrics", fs: errorfs.Wrap(mem, fault)})
	if err != nil {
		t.Fatal(err)
	}
	put(t, e, "a", requests(noon, 1))
	fault.on.Store(true)
	for range 2 {
		if err := e.Put(account, region, "b", []proto.MetricSample{requests(noon, 2)}, noon); err == nil {
			t.Error("a batch that is not on disk was acknowledged")
		}
	}
	if e.Status().Err == nil {
		t.Error("the status is well")
	}
	fault.on.Store(false)
	_ = e.Close() // tells of the failure again
	if got := ask(t, open(t, Config{Dir: "metrics", fs: mem.CrashClone(vfs.CrashCloneCfg{})}), time.Hour); len(got) != 1 || got[0].Sum != 1 {
		t.Errorf("%v", got)
	}
}

func TestPutLeavesSpaceOnTheDisk(t *testing.T) {
	e := open(t, Config{Reserve: math.MaxInt64 / 2})
	if err := e.Put(account, region, "a", []proto.MetricSample{requests(noon, 1)}, noon); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want %v", err, ErrNoSpace)
	}
}
