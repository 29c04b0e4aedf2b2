// Package logs is CloudWatch Logs: groups of streams of events.
//
//	group ──has──▶ stream ──has──▶ event         names, retention, tags: records of the store
//	  │ID            │ID            (timestamp, sequence)   events: package logs/events, by ID
//
// A group and a stream each get a random ID when they are created. Names find records, IDs find events, so a group
// that is deleted and created again under its name begins empty at once. Deleting writes a Deleted record; the
// deletion reconciler then removes streams and events and, last, that record.
//
//	service.go             Service, Deps, tables
//	loggroup.go            groups; identifiers and ARNs
//	logstream.go           streams
//	put.go                 PutLogEvents, for clients and for agents
//	get.go                 GetLogEvents: pages of one stream in both directions
//	filter.go              FilterLogEvents, TestMetricFilter
//	livetail.go            StartLiveTail
//	tag.go                 tags, in the new and the old form
//	retention_reconciler.go, deletion_reconciler.go
//	events/                the engine that keeps events
//	pattern/               the filter pattern language
//
// Stored only: logGroupClass INFREQUENT_ACCESS (kept and shown; it costs and does the same here). Refused: kmsKeyId,
// class DELIVERY. Insights queries, metric and subscription filters, exports and the rest of the API are unsupported.
package logs
