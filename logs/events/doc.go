// Package events keeps log events on disk. It knows streams by number only; names, groups and retention are records of
// package logs.
//
// One Pebble database holds two kinds of keys:
//
//	e <stream> <timestamp> <sequence>   one event: ingestion time and message
//	s <stream>                          what the stream holds: group, count, bytes, first, last
//
// The sequence rises with every event of the database, so (timestamp, sequence) orders the events of all streams, and
// events of equal timestamp stay in the order in which they came.
//
//	Append ─▶ requests ─▶ committer: one batch for all that wait ─▶ applied ─▶ finisher: fsync done ─▶ Append returns
//
// One goroutine, the committer, makes every change, so counts are exact and a sequence number is never visible before
// a lower one. It does not wait for the disk: the next batch is built while the previous one is synced.
//
// What a caller may rely on: when Append returns nil, its events survive kill -9 and a power cut; when it returns an
// error, all or none of them may be there. A full disk is an error before anything is written (Config.Reserve), and a
// ballast file keeps the database able to finish what it began.
package events
