package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Names in a container's log directory. The monitor rotates by renaming a new file over currentLog. So that
// nothing is lost by that, each file gets a second name, a hard link log.N, as soon as it is seen.
const (
	currentLog   = "container.log"
	targetFile   = "target.json"
	positionFile = "position.json"
	endedFile    = "ended"
	linkPrefix   = "log."
)

// logFiles are the files of one container's output, oldest first.
type logFiles struct {
	dir  string
	list []logFile
}

type logFile struct {
	number int64
	inode  uint64
	size   int64
}

// position is up to where output was stored, and how much was dropped unstored.
type position struct {
	Number  int64 `json:"number"` // of the file
	Offset  int64 `json:"offset"`
	Dropped int64 `json:"dropped,omitzero"` // bytes
}

func (p position) before(q position) bool {
	return p.Number < q.Number || (p.Number == q.Number && p.Offset < q.Offset)
}

func (f *logFiles) path(number int64) string {
	return filepath.Join(f.dir, fmt.Sprintf("%s%08d", linkPrefix, number))
}

// open reads what links there are.
func openLogFiles(dir string) (*logFiles, error) {
	f := &logFiles{dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), linkPrefix)
		var n int64
		if !ok {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%08d", &n); err != nil {
			continue
		}
		inode, size, err := statLog(f.path(n))
		if err != nil {
			return nil, err
		}
		f.list = append(f.list, logFile{number: n, inode: inode, size: size})
	}
	slices.SortFunc(f.list, func(a, b logFile) int { return int(a.number - b.number) })
	return f, nil
}

func statLog(path string) (inode uint64, size int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.New("the file system tells no inode numbers")
	}
	return st.Ino, info.Size(), nil
}

// look links a new current file and brings sizes up to date. It reports whether there is more than before.
func (f *logFiles) look() (bool, error) {
	inode, size, err := statLog(filepath.Join(f.dir, currentLog))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if n := len(f.list); n > 0 && f.list[n-1].inode == inode {
		grew := size > f.list[n-1].size
		f.list[n-1].size = size
		return grew, nil
	}
	number := int64(1)
	if n := len(f.list); n > 0 {
		last := &f.list[n-1]
		if _, last.size, err = statLog(f.path(last.number)); err != nil {
			return false, err
		}
		number = last.number + 1
	}
	if err := os.Link(filepath.Join(f.dir, currentLog), f.path(number)); err != nil {
		return false, err
	}
	// It may have been rotated again between the look and the link.
	if inode, size, err = statLog(f.path(number)); err != nil {
		return false, err
	}
	f.list = append(f.list, logFile{number: number, inode: inode, size: size})
	return true, nil
}

// trim removes closed files that are done, and the oldest beyond keep bytes. It returns where to go on after p.
func (f *logFiles) trim(p position, keep int64, shipped bool) (position, error) {
	var closed int64
	for _, l := range f.list[:max(len(f.list)-1, 0)] {
		closed += l.size
	}
	for len(f.list) > 1 {
		first := f.list[0]
		done := shipped && (first.number < p.Number || (first.number == p.Number && p.Offset >= first.size))
		if !done && closed <= keep {
			break
		}
		if err := os.Remove(f.path(first.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
		if first.number >= p.Number {
			if shipped && first.number == p.Number {
				p.Dropped += first.size - min(p.Offset, first.size)
			} else if shipped {
				p.Dropped += first.size
			}
			p.Number, p.Offset = f.list[1].number, 0
		}
		closed -= first.size
		f.list = f.list[1:]
	}
	return p, nil
}

// last tells whether number is the file that is still written.
func (f *logFiles) last(number int64) bool {
	return len(f.list) == 0 || f.list[len(f.list)-1].number <= number
}

// readLines gives the whole lines of the file after offset to take, until take returns false or the file ends. It
// returns the offset after the last line taken. A line without an end is left for later.
func readLines(path string, offset int64, r *bufio.Reader, take func(line []byte, at int64) bool) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return offset, err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return offset, err
	}
	r.Reset(f)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			// No monitor writes such a line: what is there is skipped piece by piece.
			offset += int64(len(line))
			continue
		}
		if errors.Is(err, io.EOF) {
			return offset, nil
		}
		if err != nil {
			return offset, err
		}
		more := take(line[:len(line)-1], offset)
		offset += int64(len(line))
		if !more {
			return offset, nil
		}
	}
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func storeJSON(path string, from any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return writeFile(path, text, false)
}
