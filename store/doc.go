// Package store keeps every record of the control plane in memory, in tables with indexes, and commits changes
// to a log.
//
//	Update ─▶ closure on newest state ─▶ conflict check ─▶ queue ─▶ Log.Commit (many Updates in one) ─▶ durable
//	                                         │ conflict                   │ someone else was first        │
//	                                         ◀────── closure runs again ◀─┘                    Read, Watch see it
//
// A state is a set of copy-on-write B-trees, so a reader holds a consistent view for as long as it likes and
// blocks nobody. Closures of Update see the newest state, durable or not; Read and Watch only ever show what is
// durable, and Update returns once its own writes are.
//
// Records are plain structs. What Put is given goes through its JSON form at once, so what is read back is what
// a restart would read, and shares no memory with the caller. Records read from a table are shared: never
// change a map or slice inside one, put a changed copy instead.
//
// Without a log (Config.Log nil) everything is the same but kept in memory only.
//
//	table.go   tables, indexes, record versions      tx.go      what a closure reads and writes
//	codec.go   JSON with a version                   commit.go  queue, group commit
//	state.go   trees                                 follow.go  loading, other servers' commits
//	reader.go  snapshots                             watch.go   change feed
package store
