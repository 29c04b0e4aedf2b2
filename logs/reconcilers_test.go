package logs

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"berth/agent/proto"
	"berth/aws"
	"berth/logs/events"
	"berth/store"
)

const (
	account = "000000000000"
	region  = "us-east-1"
)

func newService(t *testing.T) *Service {
	t.Helper()
	st, err := store.Open(store.Config{Tables: Tables()})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := events.Open(events.Config{Dir: filepath.Join(t.TempDir(), "logs"), Reserve: 1 << 20, Ballast: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = st.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(Deps{Store: st, Events: engine, Pages: aws.NewPages([]byte("key"))})
}

func ingest(t *testing.T, s *Service, group, stream string, at time.Time, n int) {
	t.Helper()
	batch := proto.LogBatch{Group: group, Stream: stream, Create: true}
	for i := range n {
		batch.Events = append(batch.Events, proto.LogEvent{Timestamp: at.UnixMilli() + int64(i), Message: "x"})
	}
	if err := s.Agents().PutLogEvents(t.Context(), account, region, batch); err != nil {
		t.Fatal(err)
	}
}

func TestRetentionDeletesOldEvents(t *testing.T) {
	s := newService(t)
	ctx := aws.WithCaller(t.Context(), aws.RootCaller(account, region, ""))
	now := time.Now()
	ingest(t, s, "g", "old", now.Add(-50*time.Hour), 3)
	ingest(t, s, "g", "mixed", now.Add(-50*time.Hour), 2)
	ingest(t, s, "g", "mixed", now.Add(-20*time.Hour), 2)
	if err := s.changeGroup(ctx, new("g"), nil, func(g *Group) error { g.Retention = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	again, err := retention{s}.Reconcile(ctx, groupKey(account, region, "g"))
	if err != nil {
		t.Fatal(err)
	}
	if again < retentionMin || again > retentionMax {
		t.Errorf("again in %s", again)
	}
	g, _ := Groups.Get(s.Store.Read(), groupKey(account, region, "g"))
	if got, want := s.Events.GroupBytes(g.ID), int64(2*(1+events.Overhead)); got != want {
		t.Errorf("stored bytes: got %d, want %d", got, want)
	}
}

func TestDeletedGroupLosesStreamsAndEvents(t *testing.T) {
	s := newService(t)
	ctx := aws.WithCaller(t.Context(), aws.RootCaller(account, region, ""))
	for i := range deletionBatch + 3 {
		ingest(t, s, "g", fmt.Sprint("s", i), time.Now(), 1)
	}
	old, _ := Groups.Get(s.Store.Read(), groupKey(account, region, "g"))
	name := "g"
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		Groups.Delete(tx, old.Key())
		Deletions.Put(tx, Deleted{ID: old.ID, Account: account, Region: region, Group: true})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ingest(t, s, name, "s1", time.Now(), 2)
	for d := range Deletions.All(s.Store.Read()) {
		if _, err := (deletions{s}).Reconcile(ctx, d.Account+"/"+d.Region+"/"+idText(d.ID)); err != nil {
			t.Fatal(err)
		}
	}
	r := s.Store.Read()
	if Deletions.Len(r) != 0 || Streams.Len(r) != 1 || s.Events.GroupBytes(old.ID) != 0 {
		t.Errorf("left: %d deletions, %d streams, %d bytes", Deletions.Len(r), Streams.Len(r), s.Events.GroupBytes(old.ID))
	}
	g, _ := Groups.Get(r, groupKey(account, region, name))
	if got := s.Events.GroupBytes(g.ID); got != 2*(1+events.Overhead) {
		t.Errorf("the new group of the same name has %d bytes", got)
	}
}
