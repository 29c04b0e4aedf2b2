package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// journal keeps one small file per task. A file is replaced as a whole, so that a reader finds the old or the new
// one; its first line has a checksum of the rest, so that a torn one is known and the task is rebuilt from the
// runtime's state instead.
type journal struct {
	dir string
	log *slog.Logger

	mu   sync.Mutex        // guards last
	last map[string]uint32 // checksum of what is in each file
}

func openJournal(dir string, log *slog.Logger) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	return &journal{dir: dir, log: log, last: map[string]uint32{}}, nil
}

func (j *journal) path(id string) string { return filepath.Join(j.dir, id+".json") }

// put stores the task if it changed. With sync it is on the disk when put returns, also if the machine fails.
func (j *journal) put(t *task, sync bool) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode task %s: %w", t.Want.Arn, err)
	}
	id := taskID(t.Want.Arn)
	sum := crc32.ChecksumIEEE(text)
	j.mu.Lock()
	same := j.last[id] == sum
	j.mu.Unlock()
	if same && !sync {
		return nil
	}
	if err := writeFile(j.path(id), append(fmt.Appendf(nil, "berth1 %08x\n", sum), text...), sync); err != nil {
		return fmt.Errorf("store task %s: %w", t.Want.Arn, err)
	}
	j.mu.Lock()
	j.last[id] = sum
	j.mu.Unlock()
	return nil
}

func (j *journal) remove(id string) error {
	j.mu.Lock()
	delete(j.last, id)
	j.mu.Unlock()
	if err := os.Remove(j.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget task %s: %w", id, err)
	}
	return nil
}

// load reads every task. A file that is torn is put aside as ID.torn and left out.
func (j *journal) load() ([]*task, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var all []*task
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		t, err := readTask(j.path(id))
		if err != nil {
			j.log.Warn("journal entry is torn; the task is rebuilt from the runtime", "task", id, "err", err)
			if err := os.Rename(j.path(id), filepath.Join(j.dir, id+".torn")); err != nil {
				j.log.Warn("torn journal entry stays", "task", id, "err", err)
			}
			continue
		}
		all = append(all, t)
	}
	return all, nil
}

func readTask(path string) (*task, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok || string(head) != fmt.Sprintf("berth1 %08x", crc32.ChecksumIEEE(body)) {
		return nil, errors.New("the checksum does not fit")
	}
	t := &task{}
	if err := json.Unmarshal(body, t); err != nil {
		return nil, err
	}
	if t.Version != 1 || t.Want.Arn == "" {
		return nil, fmt.Errorf("version %d is not known", t.Version)
	}
	return t, nil
}

// writeFile replaces a file as a whole. With sync the content and the name are on the disk when it returns.
func writeFile(path string, content []byte, sync bool) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil || !sync {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
