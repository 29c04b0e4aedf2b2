package etcd

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/store"
)

// A backup is gzip'd JSON, a line each: a header, the records, a footer with their number and SHA-256. It holds
// one revision, and fits into any etcd.

const backupFormat = 1

type backupHeader struct {
	Format   int       `json:"berthBackup"`
	Time     time.Time `json:"time"`
	Revision int64     `json:"revision"`
	Epoch    Epoch     `json:"epoch"`
}

type backupLine struct {
	Table string          `json:"t,omitzero"`
	Key   string          `json:"k,omitzero"`
	Value json.RawMessage `json:"r,omitzero"`

	Records *int64 `json:"records,omitzero"` // footer
	Sum     string `json:"sha256,omitzero"`
}

// Backup writes everything, as of one revision, while the store goes on. It reports what it wrote.
func (l *Log) Backup(ctx context.Context, w io.Writer) (records int64, revision int64, err error) {
	got, err := l.get(ctx, epochKey)
	if err != nil {
		return 0, 0, plain(err)
	}
	zip := gzip.NewWriter(w)
	sum := sha256.New()
	out := json.NewEncoder(io.MultiWriter(zip, sum))
	header := backupHeader{Format: backupFormat, Time: time.Now().UTC(), Revision: got.Header.Revision, Epoch: l.epoch}
	if err := out.Encode(header); err != nil {
		return 0, 0, err
	}
	revision, err = l.scan(ctx, func(r store.Record) error {
		records++
		return out.Encode(backupLine{Table: r.Table, Key: r.Key, Value: r.Value})
	})
	if err != nil {
		return 0, 0, fmt.Errorf("back up: %w", err)
	}
	if err := json.NewEncoder(zip).Encode(backupLine{Records: &records, Sum: hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return 0, 0, err
	}
	return records, revision, zip.Close()
}

// Restore makes dir the directory of an embedded etcd that holds the backup, with a higher epoch. No server may
// run on dir; what was there is kept beside it, under the returned name ("" if nothing was). A damaged backup
// changes nothing.
func Restore(ctx context.Context, r io.Reader, dir string) (kept string, err error) {
	fresh := dir + ".restore"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := restoreInto(ctx, r, fresh); err != nil {
		return "", errors.Join(fmt.Errorf("restore: %w", err), os.RemoveAll(fresh))
	}
	if _, err := os.Stat(dir); err == nil {
		lock, err := lockDir(dir)
		if err != nil {
			return "", errors.Join(err, os.RemoveAll(fresh))
		}
		defer lock.Close()
		kept = dir + ".before-" + time.Now().UTC().Format("20060102-150405.000")
		if err := os.Rename(dir, kept); err != nil {
			return "", err
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		return kept, err
	}
	return kept, syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// restoreStep is what a restored epoch is raised by: more than the starts between a backup and its use.
const restoreStep = 1_000_000

func restoreInto(ctx context.Context, r io.Reader, dir string) error {
	in, err := newBackupReader(r)
	if err != nil {
		return err
	}
	l, err := Open(ctx, Config{Dir: dir})
	if err != nil {
		return err
	}
	err = l.fill(ctx, in)
	return errors.Join(err, l.Close())
}

func (l *Log) fill(ctx context.Context, in *backupReader) error {
	var ops []clientv3.Op
	size := 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		_, err := l.client.Txn(ctx).Then(ops...).Commit()
		ops, size = ops[:0], 0
		return err
	}
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		ops = append(ops, clientv3.OpPut(recordKey(line.Table, line.Key), string(line.Value)))
		size += len(line.Value)
		if len(ops) >= 500 || size > embeddedBytes/4 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	epoch := in.header.Epoch
	epoch.Number += restoreStep
	epoch.Restored = time.Now().UTC()
	value, err := json.Marshal(epoch)
	if err != nil {
		return err
	}
	ops = append(ops, clientv3.OpPut(epochKey, string(value)))
	return flush()
}

// backupReader gives a backup's records and checks the footer.
type backupReader struct {
	header  backupHeader
	in      *bufio.Reader
	sum     hash.Hash
	records int64
}

func newBackupReader(r io.Reader) (*backupReader, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("not a Berth backup: %w", err)
	}
	b := &backupReader{in: bufio.NewReaderSize(zip, 1<<20), sum: sha256.New()}
	line, err := b.in.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("not a Berth backup: %w", err)
	}
	b.sum.Write(line)
	if err := json.Unmarshal(line, &b.header); err != nil || b.header.Format == 0 {
		return nil, errors.New("not a Berth backup: no header")
	}
	if b.header.Format != backupFormat {
		return nil, fmt.Errorf("backup has format %d and this Berth reads %d", b.header.Format, backupFormat)
	}
	return b, nil
}

// next returns io.EOF after the last record, if all of the backup was there.
func (b *backupReader) next() (backupLine, error) {
	raw, err := b.in.ReadBytes('\n')
	if err != nil {
		return backupLine{}, fmt.Errorf("backup is cut short after %d records: %w", b.records, errNoFooter)
	}
	var line backupLine
	if err := json.Unmarshal(raw, &line); err != nil {
		return backupLine{}, fmt.Errorf("backup is damaged after %d records: %w", b.records, err)
	}
	if line.Records != nil {
		if *line.Records != b.records || line.Sum != hex.EncodeToString(b.sum.Sum(nil)) {
			return backupLine{}, fmt.Errorf("backup is damaged: the checksum of its %d records is wrong", b.records)
		}
		return backupLine{}, io.EOF
	}
	b.sum.Write(raw)
	b.records++
	return line, nil
}

var errNoFooter = errors.New("no footer")
