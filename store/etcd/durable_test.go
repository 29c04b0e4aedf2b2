package etcd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/store"
	"berth/store/etcd"
	"berth/store/storetest"
)

func fill(t *testing.T, st *store.Store, n int) {
	t.Helper()
	for i := range n {
		r := storetest.Record{Key: fmt.Sprintf("%04d", i), Group: fmt.Sprint("g", i%3), N: i}
		if err := st.Update(t.Context(), func(tx *store.Tx) error { storetest.Records.Put(tx, r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReopenedStoreHasEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	first := openLog(t, dir)
	st, end := openStore(t, first)
	fill(t, st, 50)
	before := st.Read().Revision()
	etcd.CompactNow(t.Context(), first)
	end()
	second := openLog(t, dir)
	again, _ := openStore(t, second)
	r := again.Read()
	if n, g := storetest.Records.Len(r), storetest.Records.CountBy(r, "group", "g1"); n != 50 || g != 17 {
		t.Errorf("%d records, %d in the group; want 50 and 17", n, g)
	}
	if r.Revision() < before || second.Epoch().Number != first.Epoch().Number+1 {
		t.Errorf("revision %d after %d, epoch %d after %d", r.Revision(), before, second.Epoch().Number, first.Epoch().Number)
	}
}

func TestSecondServerOnOneDirectoryIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	openStore(t, openLog(t, dir))
	if _, err := etcd.Open(t.Context(), etcd.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("second open: %v", err)
	}
}

func TestWriterWhoseSessionWasTakenIsDeposed(t *testing.T) {
	l := openLog(t, filepath.Join(t.TempDir(), "etcd"))
	st, _ := openStore(t, l)
	if _, err := etcd.ClientOf(l).Put(t.Context(), "/berth/session/only", "another/0"); err != nil {
		t.Fatal(err)
	}
	if err := increment(t.Context(), st, "k"); !errors.Is(err, store.ErrDeposed) {
		t.Errorf("got %v", err)
	}
	if n := storetest.Records.Len(st.Read()); n != 0 {
		t.Errorf("%d records are visible that were not written", n)
	}
}

func TestRecordOfANewerVersionKeepsTheStoreClosed(t *testing.T) {
	l := openLog(t, filepath.Join(t.TempDir(), "etcd"))
	defer l.Close()
	if _, err := etcd.ClientOf(l).Put(t.Context(), "/berth/t/test.record/k", `{"v":7,"k":"k"}`); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(store.Config{Tables: storetest.Tables(), Log: l})
	if v, is := errors.AsType[*store.VersionError](err); !is || v.Found != 7 || v.Know != 1 {
		t.Errorf("got %v", err)
	}
}

func TestUnknownTableIsLeftAsItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	l := openLog(t, dir)
	if _, err := etcd.ClientOf(l).Put(t.Context(), "/berth/t/future.thing/k", `{"v":1}`); err != nil {
		t.Fatal(err)
	}
	st, _ := openStore(t, l)
	fill(t, st, 1)
	got, err := etcd.ClientOf(l).Get(t.Context(), "/berth/t/future.thing/k")
	if err != nil || len(got.Kvs) != 1 {
		t.Errorf("the record is gone: %v %v", got, err)
	}
}

func TestFullDiskRefusesWritesAndServesReads(t *testing.T) {
	l := openLog(t, filepath.Join(t.TempDir(), "etcd"))
	st, _ := openStore(t, l)
	fill(t, st, 1)
	etcd.SetMinFree(l, 1<<60)
	if err := increment(t.Context(), st, "k"); !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), "MiB left") {
		t.Errorf("on a full disk: %v", err)
	}
	if n := storetest.Records.Len(st.Read()); n != 1 {
		t.Errorf("reads find %d records, want 1", n)
	}
	etcd.SetMinFree(l, 1)
	if err := increment(t.Context(), st, "k"); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func TestFullDatabaseRefusesWritesAndRecovers(t *testing.T) {
	l, err := etcd.Open(t.Context(), etcd.Config{Dir: filepath.Join(t.TempDir(), "etcd"), Quota: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	st, _ := openStore(t, l)
	// One record again and again: all but the last is history, which compaction frees.
	big := strings.Repeat("x", 200_000)
	write := func(i int) error {
		return st.Update(t.Context(), func(tx *store.Tx) error {
			storetest.Records.Put(tx, storetest.Record{Key: "k", N: i, Group: big})
			return nil
		})
	}
	acked := -1
	for i := range 200 {
		if err = write(i); err != nil {
			break
		}
		acked = i
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("after %d writes: %v", acked+1, err)
	}
	if r, _ := storetest.Records.Get(st.Read(), "k"); r.N != acked {
		t.Errorf("reads find write %d, want %d", r.N, acked)
	}
	etcd.MakeSpaceNow(t.Context(), l)
	if err := write(1000); err != nil {
		t.Errorf("after space was made: %v", err)
	}
}

func TestBackupRestoresEverythingWithAHigherEpoch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	l := openLog(t, dir)
	st, end := openStore(t, l)
	fill(t, st, 30)
	var file bytes.Buffer
	n, _, err := l.Backup(t.Context(), &file)
	if err != nil || n != 30 {
		t.Fatalf("backup of %d records: %v", n, err)
	}
	fill(t, st, 40)
	if _, err := etcd.Restore(t.Context(), bytes.NewReader(file.Bytes()), dir); err == nil {
		t.Error("restore under a running server was not refused")
	}
	end()
	kept, err := etcd.Restore(t.Context(), bytes.NewReader(file.Bytes()), dir)
	if err != nil || kept == "" {
		t.Fatalf("restore: kept %q, %v", kept, err)
	}
	second := openLog(t, dir)
	again, _ := openStore(t, second)
	if n := storetest.Records.Len(again.Read()); n != 30 {
		t.Errorf("%d records, want 30", n)
	}
	if e := second.Epoch(); e.Number <= l.Epoch().Number || e.Restored.IsZero() {
		t.Errorf("epoch %+v after %+v", e, l.Epoch())
	}
}

func TestDamagedBackupChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	l := openLog(t, dir)
	st, end := openStore(t, l)
	fill(t, st, 3)
	var file bytes.Buffer
	if _, _, err := l.Backup(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	end()
	whole := file.Bytes()
	for name, damaged := range map[string][]byte{
		"empty": {}, "text": []byte("hello\n"), "cut": whole[:len(whole)/2], "cut footer": whole[:len(whole)-30],
	} {
		if _, err := etcd.Restore(t.Context(), bytes.NewReader(damaged), dir); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	again, _ := openStore(t, openLog(t, dir))
	if n := storetest.Records.Len(again.Read()); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

// crashDir tells the test binary to be the child of TestKilledServerKeepsEveryAnsweredWrite.
const crashDir = "BERTH_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver commits pairs of records and prints the number of each answered pair.
func writeForEver(dir string) error {
	l, err := etcd.Open(context.Background(), etcd.Config{Dir: dir})
	if err != nil {
		return err
	}
	st, err := store.Open(store.Config{Tables: storetest.Tables(), Log: l})
	if err != nil {
		return err
	}
	base := storetest.Records.Len(st.Read())
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100_000 {
				key := fmt.Sprintf("%d-%d-%d", base, g, i)
				err := st.Update(context.Background(), func(tx *store.Tx) error {
					storetest.Records.Put(tx, storetest.Record{Key: key})
					storetest.Others.Put(tx, storetest.Other{V: 1, Key: key})
					return nil
				})
				if err != nil {
					return
				}
				mu.Lock()
				fmt.Println(key)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.New("nobody killed this process")
}

func TestKilledServerKeepsEveryAnsweredWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	answered := map[string]bool{}
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			answered[lines.Text()] = true
			if n == 300+50*round {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // killed
		start := time.Now()
		st, end := openStore(t, openLog(t, dir))
		took := time.Since(start)
		r := st.Read()
		for key := range answered {
			if _, ok := storetest.Records.Get(r, key); !ok {
				t.Fatalf("round %d: answered write %s is lost", round, key)
			}
		}
		if a, b := storetest.Records.Len(r), storetest.Others.Len(r); a != b || a < len(answered) {
			t.Errorf("round %d: %d and %d records of pairs, %d answered", round, a, b, len(answered))
		}
		if took > 5*time.Second {
			t.Errorf("round %d: open took %v", round, took)
		}
		end()
	}
	if len(answered) < 1000 {
		t.Errorf("only %d writes were answered", len(answered))
	}
}
