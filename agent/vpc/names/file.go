package names

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"berth/agent/proto"
)

// FileName is the file in an agent's network directory.
const FileName = "names.json"

// Write puts names into dir, as a whole: a reader sees the old ones or the new ones.
func Write(dir string, n proto.Names) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode names: %w", err)
	}
	tmp := filepath.Join(dir, FileName+".new")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	return os.Rename(tmp, filepath.Join(dir, FileName))
}

// File gives the tables of the names that a directory has now. It reads them when the file was replaced.
type File struct {
	path               string
	ofTasks, ofMachine View
	warn               func(error)

	mu             sync.Mutex // guards what follows
	was            os.FileInfo
	tasks, machine *Table
}

// Open makes a File of a directory, which need not have names yet. loopback is the machine's own network of load balancers, gateway where
// tasks find the machine. warn gets what is wrong with the file; until it is right the last good names are answered.
func Open(dir string, loopback netip.Prefix, gateway netip.Addr, warn func(error)) *File {
	f := &File{path: filepath.Join(dir, FileName), ofTasks: View{Machine: gateway}, ofMachine: View{Loopback: loopback}, warn: warn}
	f.set(proto.Names{})
	return f
}

func (f *File) set(n proto.Names) {
	f.tasks, f.machine = New(n, f.ofTasks), New(n, f.ofMachine)
}

// Tasks is what tasks see.
func (f *File) Tasks() *Table {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.tasks
}

// Machine is what the machine itself sees.
func (f *File) Machine() *Table {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.machine
}

// refresh reads the file if it is not the one that was read last. Asking for its number costs two microseconds a query.
func (f *File) refresh() {
	is, err := os.Stat(f.path)
	if err != nil || f.was != nil && os.SameFile(is, f.was) && is.ModTime().Equal(f.was.ModTime()) && is.Size() == f.was.Size() {
		return
	}
	f.was = is
	data, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var n proto.Names
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		f.warn(fmt.Errorf("read names: %w", err))
		return
	}
	f.set(n)
}
