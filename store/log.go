package store

import (
	"context"
	"errors"
)

// Errors of Update. All but ErrTooLarge mean that nothing was written and that the same call may succeed later.
var (
	// ErrNoSpace: the log's quota or its disk is full. Reads go on.
	ErrNoSpace = errors.New("the store is full: no more writes until space is freed")
	// ErrUnavailable: the log can't be reached or has no quorum.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrDeposed: the ownership that the write depended on has passed to another server.
	ErrDeposed = errors.New("this server no longer owns what it wanted to write")
	// ErrTooLarge: one Update has more writes or bytes than the log takes in one commit.
	ErrTooLarge = errors.New("too many changes for one commit")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrConflict is for logs: another server wrote what the batch depends on. Update runs closures again.
	ErrConflict = errors.New("conflict with another server's commit")
)

// Log keeps commits. Implemented by store/etcd.
type Log interface {
	// Load calls add for every record and returns the revision at which all of them were read.
	Load(ctx context.Context, add func(Record) error) (revision int64, err error)
	// Limits are constant.
	Limits() Limits
	// Commit writes the batch, all or nothing, and returns its revision once it is on disk. After an error
	// nothing of it was written nor will be. It is called by one goroutine at a time.
	Commit(ctx context.Context, b *Batch) (revision int64, err error)
	// Follow calls apply for each commit after the revision, of this server and others, in order. It is
	// called only if Limits.Shared. It returns ErrGap if commits can't be had any more (compacted).
	Follow(ctx context.Context, after int64, apply func(Commit) error) error
	Close() error
}

// ErrGap is returned by Log.Follow when it can't give all commits after the revision.
var ErrGap = errors.New("commits are missing from the log")

// Limits say what one Batch may hold, and whether other servers write to the same log.
type Limits struct {
	Ops, Bytes int
	Shared     bool
}

// Record is one record as the log has it.
type Record struct {
	Table, Key string
	Value      []byte
	Revision   int64 // of its last write
}

// Batch is written atomically.
type Batch struct {
	ID     uint64 // not 0; rises
	Writes []Write
	// Expect must hold for the batch to be written; empty unless Limits.Shared.
	Expect []Expect
	Fence  *Fence
}

// Write puts a value, or deletes if Value is nil.
type Write struct {
	Table, Key string
	Value      []byte
}

// Expect says that the record was last written at exactly Revision (0: does not exist) or, with an empty Key,
// that nothing in the table was written after Revision.
type Expect struct {
	Table, Key string
	Revision   int64
}

// Commit is a committed batch as Follow gives it. Own is the batch's ID if this server wrote it.
type Commit struct {
	Revision int64
	Own      uint64
	Writes   []Write
}

// Fence is an ownership held in the log: writes through Store.Owned commit only while the log's key Key has this
// creation revision.
type Fence struct {
	Key      string
	Revision int64
}
