// Package placement decides which container instance takes a task, and says of every other one why not.
//
// It is pure: no clock, no I/O, no randomness but the generator that the caller hands in. The same
// instances, tasks and generator give the same answer.
//
//	Task ──▶ candidate? ──▶ attributes ──▶ resources ──▶ location ──▶ constraints     (check.go)
//	            │ status, launch type, agent     first failing check = Refusal
//	            ▼
//	         all that fit ──▶ strategy 1 ──▶ strategy 2 ──▶ ... ──▶ one at random     (view.go)
//	                          each keeps the best; ties go on to the next
//
// There are two ways in. Place takes a list of instances and is for one-off questions. Index keeps the
// instances of one cluster across calls, fed by Upsert and Remove; its Place reserves what it picks. Both
// run the same code and give the same answers.
//
// An Index is fast because it remembers, for every shape of task that it was asked for (what the task
// needs, requires, its constraints, its group and the strategies), the instances that can take it, already
// arranged in the order of the strategies: a view. A placement changes one instance, and each view catches
// up with the instances that changed since it was last used. Constraints are evaluated when an instance's
// description changes, not when its load does, unless the expression speaks of the load. Counts for spread
// are kept per group, not summed up.
//
// An Index is not safe for concurrent use; its owner guards it.
//
//	instance.go  what a container instance has and has left
//	task.go      what a task needs; strategies and constraints
//	check.go     may this instance take this task, and if not why
//	index.go     Index: instances, journal of changes, views
//	view.go      one shape of task: fitting instances in order of preference
//	node.go      the ordered tree inside a view
//	place.go     Place
//	query*.go    the cluster query language: lexer, parser, evaluation
package placement
