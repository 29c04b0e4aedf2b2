// Package ecs is the control plane of Amazon ECS: clusters, task definitions, tasks, container instances,
// attributes, services and their deployments, account settings and tags.
//
// The nouns and how they refer to each other:
//
//	Cluster ──< ContainerInstance ──< Task >── TaskDefinition >── Family
//	               (reservations)      │
//	                                   └── RunToken (client tokens of RunTask)
//
//	Service ──< Deployment >── TaskDefinition      a service's tasks have the group service:<name> and are
//	   └──< ServiceEvent   └──< Hook               startedBy ecs-svc/<number of the deployment>
//
// A deployment begins IN_PROGRESS and ends COMPLETED or FAILED; a rollback brings the one that was last COMPLETED back
// to IN_PROGRESS. A service is ACTIVE, then DRAINING, then INACTIVE.
//
// A task of a service with load balancers is registered when it runs. However it is to stop, it leaves them first
// (DEACTIVATING) while its machine lets it run; the machine is told to stop it when its last connection is closed.
//
// A task's states. desiredStatus is RUNNING or STOPPED and changes once; lastStatus only moves to the right:
//
//	PROVISIONING → PENDING → ACTIVATING → RUNNING → DEACTIVATING → STOPPING → DEPROVISIONING → STOPPED
//
// Handlers write what is wanted (RunTask, StartTask, StopTask). Agents' reports, through ApplyReport, write what
// is (lastStatus, containers, time stamps). Nothing else moves a task but the scheduler of its service and the end of
// its container instance.
// Reconcilers remove what is over: stopped tasks after seven days, deleted definitions and clusters, old client tokens.
//
// Files:
//
//	ecs.go               Service, Deps, Config, tables, reconcilers
//	message.go           error codes and texts used in several places
//	identifier.go        ARNs, IDs and names in requests; the cluster argument
//	cluster*.go          clusters
//	taskdefinition*.go   register, describe, list, deregister, delete; normal form; where it can run
//	check_*.go           what RegisterTaskDefinition refuses
//	task.go, taskstate.go   the task record, its table, states and other small values
//	runtask*.go          RunTask and StartTask: checks, placement, reservation, client tokens (runtoken.go)
//	task_stop.go         StopTask, and how a task ends; task_leave.go: out of its load balancers first
//	task_describe.go     DescribeTasks and the wire form of a task
//	task_list.go         ListTasks
//	task_override.go     checks of overrides; merging them into a definition
//	assignment.go        what one machine should be running, for package dispatch
//	report.go            what a machine says became of its tasks, for package dispatch
//	task_reconciler.go, retention.go   what ends and removes records
//	containerinstance*.go, attribute*.go, why.go   machines; why_service.go: why a service is not steady
//	service.go           the service record and its events; service_request.go, _create, _update, _describe: its operations
//	service_reconciler.go, service_pass.go, service_rollout.go, service_daemon.go   the scheduler; it asks package rollout
//	service_loadbalancer.go, service_balance.go, service_target.go   load balancers of services: checks, tasks in and out, health
//	service_rebalance.go tasks of services between zones
//	service_image.go     images of services' tasks by digest
//	taskset*.go          task sets of services with the deployment controller EXTERNAL; they are kept as deployments
//	service_connect*.go  Service Connect: checks, claims, names; what a pass does for it; ListServicesByNamespace
//	servicedeployment*.go   deployments, service revisions
//	service_strategy.go, service_advanced.go   what is checked of strategies and their load balancers
//	service_begin.go, service_stage.go, service_traffic.go   deployments that shift traffic: beginning, stages, rules; alarm.go
//	hook*.go             lifecycle hooks: configuration, records, calls, tasks; ContinueServiceDeployment
//	taskprotection.go
//	accountsetting.go, tag.go
//	coverage.go          which operations and fields are acted on, stored only or refused
package ecs
