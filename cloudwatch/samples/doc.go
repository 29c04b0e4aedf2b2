// Package samples keeps the numbers of metrics on disk, for each minute, as CloudWatch reads them: how many values there
// were, their sum, the least and the greatest.
//
// One Pebble database holds two kinds of keys:
//
//	m <account region namespace name dimensions unit>    one series: its number, and the last day that has numbers
//	v <day> <series> <minute of the day> <source>        one minute of one source: sum, count, min, max
//
// Several machines carry traffic of one load balancer; each is a source, and Query adds them up. A batch that comes again
// writes the same keys, so it changes nothing; a source that reports another number for the same minute replaces its own.
//
//	Put ─▶ one batch, built and applied under a lock ─▶ fsync, which many Puts share ─▶ Put returns
//
// What a caller may rely on: when Put returns nil, its samples survive kill -9 and a power cut; when it returns an error,
// all or none of them may be there. The number of series is bounded for each account and region (Config.MaxSeries); whole
// days are deleted once they are older than Retention.
//
// Files:
//
//	engine.go   open, close, status
//	series.go   series: keys, numbers, the bound
//	put.go      samples -> keys
//	query.go    keys -> points
//	trim.go     the end of old days
package samples
