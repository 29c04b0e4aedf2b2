package ecs

import (
	"fmt"
	"strconv"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/rollout"
	"berth/store"
)

// ServiceRecord is the record of one service.
type ServiceRecord struct {
	// Who and what. Written by: CreateService.
	Account   string         `json:"a"`
	Region    string         `json:"r"`
	Cluster   string         `json:"c"` // cluster name
	Name      string         `json:"n"`
	Created   Millis         `json:"ct"`
	CreatedBy string         `json:"cb"`
	Daemon    bool           `json:"dm,omitzero"`
	Launch    api.LaunchType `json:"lt"`
	Token     string         `json:"k,omitzero"` // clientToken
	// Controller is EXTERNAL for services with task sets; empty means ECS. Launch is then that of the PRIMARY task set.
	Controller api.DeploymentControllerType `json:"dc,omitzero"`
	Hash       string                       `json:"h"` // of the request without the token

	// What the user said. Written by: CreateService, UpdateService.
	Desired     int32                           `json:"d"`  // also written by DeleteService
	Config      api.DeploymentConfiguration     `json:"cf"` // with the defaults filled in
	Strategy    []api.PlacementStrategy         `json:"ps,omitzero"`
	Constraints []api.PlacementConstraint       `json:"pc,omitzero"`
	ManagedTags bool                            `json:"mt,omitzero"`
	Propagate   api.PropagateTags               `json:"pt"`
	Grace       *int32                          `json:"g,omitzero"`  // healthCheckGracePeriodSeconds
	Role        string                          `json:"ro,omitzero"` // ARN
	Rebalancing api.AvailabilityZoneRebalancing `json:"az,omitzero"` // empty: not given; see rebalancing

	// Primary is the number of the deployment whose tasks are wanted, Current that of the latest service deployment,
	// Completed that of the deployment that was last completed (empty: none). Written by: CreateService,
	// UpdateService (Primary, Current), the reconciler.
	Primary   string `json:"p"`
	Current   string `json:"cd"`
	Completed string `json:"lc,omitzero"`

	// Written by: DeleteService (Draining, Force), the reconciler (Ended: the service is INACTIVE).
	Draining bool   `json:"dr,omitzero"`
	Force    bool   `json:"fo,omitzero"`
	Ended    Millis `json:"et,omitzero"`

	// Short says that tasks could not be placed: the service waits for room. Written by: the reconciler.
	Short bool `json:"sh,omitzero"`
	// Moving is the desired count for which tasks are being moved between zones; 0: none are. Written by: the reconciler.
	Moving int32 `json:"mo,omitzero"`
	// Notes are conditions that an event was written for and that still hold. Written by: the reconciler.
	Notes []ServiceNote `json:"nt,omitzero"`
	// Events is the number of events so far. Written by: everything that writes an event (event).
	Events int64 `json:"ev,omitzero"`

	// Tags. Written by: CreateService, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
}

// ServiceNote is one condition that the service's events speak of.
type ServiceNote struct {
	Kind  string `json:"k"`
	About string `json:"a,omitzero"` // what tells it from others of its kind
	At    Millis `json:"t"`          // of its last event
}

// serviceGroup begins the group of tasks of services, deploymentPrefix the startedBy and the ID of deployments.
const (
	serviceGroup     = "service:"
	deploymentPrefix = "ecs-svc/"
)

// Indexes of Services.
const (
	byServiceStatus = "status" // cluster key, status; and cluster key, status, launch type
	byServiceToken  = "token"  // cluster key, clientToken
	byServiceShort  = "short"  // cluster key; those that wait for room
)

// Services has the services that can be described: deleted ones too, for a while.
var Services = store.NewTable("ecs/service", ServiceRecord.Key,
	store.Index(byServiceStatus, func(v ServiceRecord) []string {
		return []string{serviceStatusKey(v.ClusterKey(), v.Status(), ""), serviceStatusKey(v.ClusterKey(), v.Status(), v.Launch)}
	}),
	store.Index(byServiceToken, func(v ServiceRecord) []string { return one(v.Token != "", v.ClusterKey()+"|"+v.Token) }),
	store.Index(byServiceShort, func(v ServiceRecord) []string { return one(v.Short && v.Ended == 0, v.ClusterKey()) }),
)

func serviceStatusKey(cluster, status string, launch api.LaunchType) string {
	return cluster + "|" + status + "|" + string(launch)
}

// ServiceKey is the key of a service's record.
func ServiceKey(account, region, cluster, name string) string {
	return ClusterKey(account, region, cluster) + "/" + name
}

// Key is account/region/cluster/name.
func (v ServiceRecord) Key() string { return ServiceKey(v.Account, v.Region, v.Cluster, v.Name) }

// ClusterKey is the key of the service's cluster.
func (v ServiceRecord) ClusterKey() string { return ClusterKey(v.Account, v.Region, v.Cluster) }

// ARN names the service.
func (v ServiceRecord) ARN() aws.ARN {
	return aws.NewARN("ecs", v.Region, v.Account, "service/"+v.Cluster+"/"+v.Name)
}

const statusDraining = "DRAINING"

// Status is ACTIVE, DRAINING or INACTIVE.
func (v ServiceRecord) Status() string {
	switch {
	case v.Ended != 0:
		return statusInactive
	case v.Draining:
		return statusDraining
	}
	return statusActive
}

// deploymentKey is the key of one of the service's deployments.
func (v ServiceRecord) deploymentKey(number string) string { return v.Key() + "/" + number }

// breaker is the circuit breaker of the service's configuration. It has no effect on daemons.
func (v ServiceRecord) breaker() rollout.Breaker {
	b := v.Config.DeploymentCircuitBreaker
	if b == nil || v.Daemon {
		return rollout.Breaker{}
	}
	out := rollout.Breaker{Enabled: value(b.Enable), Rollback: value(b.Rollback), Sticky: b.ResetOnHealthyTask != nil && !*b.ResetOnHealthyTask}
	if t := b.ThresholdConfiguration; t != nil {
		out.Type, out.Value = string(t.Type), int(value(t.Value))
	}
	return out
}

// placing are the settings of the service for its tasks' placement, checked when they were given.
func (v ServiceRecord) request() (*request, error) {
	q := &request{
		caller: aws.Caller{Account: v.Account, Region: v.Region}, cluster: v.ClusterKey(), group: serviceGroup + v.Name,
		startedBy: deploymentPrefix + v.Primary, launchType: v.Launch, managedTags: v.ManagedTags,
		propagate: v.Propagate == api.PropagateTagsTaskDefinition,
	}
	if v.Propagate == api.PropagateTagsService {
		q.tags = v.Tags
	}
	strategy := v.Strategy
	if len(strategy) == 0 {
		strategy = defaultServiceStrategy()
	}
	return q, q.checkPlacement(&api.RunTaskRequest{PlacementStrategy: strategy, PlacementConstraints: v.Constraints})
}

// defaultServiceStrategy is what services without a strategy are placed by.
func defaultServiceStrategy() []api.PlacementStrategy {
	return []api.PlacementStrategy{
		{Type: api.PlacementStrategyTypeSpread, Field: new("attribute:ecs.availability-zone")},
		{Type: api.PlacementStrategyTypeSpread, Field: new("instanceId")},
	}
}

// ServiceEvent is one line of a service's history.
type ServiceEvent struct {
	Service string `json:"s"` // service key
	Number  int64  `json:"n"`
	At      Millis `json:"t"`
	Message string `json:"m"`
}

// shownEvents is how many events DescribeServices shows; all are kept for eventLife.
const shownEvents = 100

// ServiceEvents has the events of services. Written by: event; removed by the reconciler "ecs.serviceevent".
var ServiceEvents = store.NewTable("ecs/serviceevent", ServiceEvent.Key)

// Key is the service's key and the number.
func (e ServiceEvent) Key() string { return eventKey(e.Service, e.Number) }

func eventKey(service string, number int64) string {
	return service + "/" + fmt.Sprintf("%012d", number)
}

// event adds an event, in the transaction of what it reports. The caller puts the record.
// about, if not empty, stands behind the service's name.
func (v *ServiceRecord) event(tx *store.Tx, now Millis, about, format string, args ...any) {
	v.Events++
	ServiceEvents.Put(tx, ServiceEvent{
		Service: v.Key(), Number: v.Events, At: now, Message: "(service " + v.Name + about + ") " + fmt.Sprintf(format, args...),
	})
}

// eventID is the ID of the service's event with a number: the same whoever asks.
func (v ServiceRecord) eventID(number int64) string {
	return derivedUUID(v.Key() + "|" + strconv.FormatInt(int64(v.Created), 10) + "|" + strconv.FormatInt(number, 10))
}

// latestEvents are the events of a service, newest first.
func latestEvents(r store.Reader, v ServiceRecord) []api.ServiceEvent {
	out := []api.ServiceEvent{}
	for n := v.Events; n > 0 && n > v.Events-shownEvents; n-- {
		e, ok := ServiceEvents.Get(r, eventKey(v.Key(), n))
		if !ok {
			break
		}
		out = append(out, api.ServiceEvent{Id: new(v.eventID(n)), CreatedAt: e.At.wire(), Message: new(e.Message)})
	}
	return out
}
