// Package ecs is the control plane of Amazon ECS: clusters, task definitions, tasks, container instances,
// attributes, account settings and tags.
//
// The nouns and how they refer to each other:
//
//	Cluster ──< ContainerInstance ──< Task >── TaskDefinition >── Family
//	               (reservations)      │
//	                                   └── RunToken (client tokens of RunTask)
//
// A task's states. desiredStatus is RUNNING or STOPPED and changes once; lastStatus only moves to the right:
//
//	PROVISIONING → PENDING → ACTIVATING → RUNNING → DEACTIVATING → STOPPING → DEPROVISIONING → STOPPED
//
// Handlers write what is wanted (RunTask, StartTask, StopTask). Agents' reports, through ApplyReport, write what
// is (lastStatus, containers, time stamps). The reconciler "ecs.task" does what neither can: it ends tasks whose
// machine is gone and removes stopped tasks when their time is over.
//
// Files:
//
//	ecs.go               Service, Deps, Config, tables
//	identifier.go        ARNs, IDs and names in requests; the cluster argument
//	cluster*.go          clusters
//	taskdefinition*.go   register (check_*.go, normal form, requiresAttributes), describe, list, deregister, delete
//	task.go              the task record and its table
//	runtask.go           RunTask and StartTask: checks, placement, reservation, client tokens
//	task_stop.go         StopTask
//	task_describe.go     DescribeTasks and the wire form of a task
//	task_list.go         ListTasks
//	task_override.go     checks of overrides; merging them into a definition
//	assignment.go        what one machine should be running, for package dispatch
//	report.go            what a machine says became of its tasks, for package dispatch
//	task_reconciler.go   retention, lost machines
//	containerinstance*.go, attribute*.go   machines
//	accountsetting.go, tag.go
//	coverage.go          which operations and fields are acted on, stored only or refused
package ecs
