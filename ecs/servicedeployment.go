package ecs

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/ecs/rollout"
	"berth/store"
)

// Deployment is the record of one deployment with its service revision and its service deployment: ECS's three views
// of the same step. A rollback gives no new record; it makes an earlier one primary again.
type Deployment struct {
	// What is deployed: the service revision. Written by: CreateService, UpdateService.
	Account  string         `json:"a"`
	Region   string         `json:"r"`
	Cluster  string         `json:"c"`
	Service  string         `json:"s"`
	Number   string         `json:"n"` // 19 digits; sorts by creation
	ID       string         `json:"i"` // of the service deployment, 21 characters
	Created  Millis         `json:"ct"`
	Family   string         `json:"f"`
	Revision int32          `json:"fr"`
	Launch   api.LaunchType `json:"lt"`
	// Balancers are the target groups in which its tasks are registered.
	Balancers []api.LoadBalancer `json:"lb,omitzero"`
	// Alternate says that those are the ones that the user gave as alternate target groups.
	Alternate bool `json:"al,omitzero"`
	// Blue is the number of the deployment that one which shifts traffic replaces; empty: none.
	Blue string `json:"bl,omitzero"`
	// Set says that the record is a task set, which is no deployment by Berth. Written by: the task set operations, the reconciler.
	Set *TaskSet `json:"ts,omitzero"`
	// Registries are the Cloud Map services in which its tasks are registered.
	Registries []api.ServiceRegistry `json:"sd,omitzero"`
	// Pins are the digests that containers run, by name: what the images' tags named when it began, or what its first task
	// ran. Written by: CreateService, UpdateService, the reconciler.
	Pins map[string]Digest `json:"pi,omitzero"`
	// Connect is what it has of Service Connect; nil: nothing. It is replaced, never changed in place.
	Connect *Connect `json:"co,omitzero"`
	// Sources are the numbers of the deployments that it replaced.
	Sources []string `json:"so,omitzero"`
	// Config is the deployment configuration when it began.
	Config api.DeploymentConfiguration `json:"cf"`

	// The deployment as DescribeServices shows it. Gone ones have been replaced and have no task left.
	// Written by: CreateService, UpdateService, the reconciler.
	State   RolloutState `json:"st,omitzero"`
	Reason  string       `json:"w,omitzero"`
	Updated Millis       `json:"ut"`
	Gone    bool         `json:"go,omitzero"`
	// Life is where a deployment that shifts traffic stands; nil for rolling ones. It is replaced, never changed in place.
	// Written by: CreateService, UpdateService, the reconciler.
	Life *rollout.Lifecycle `json:"li,omitzero"`
	// Baking is when the tasks of a rolling deployment were first as they are wanted. Written by: the reconciler.
	Baking Millis `json:"bk1,omitzero"`
	// Muted are the alarms that were in ALARM when they were first looked at (Watched): they cannot fail it. Written by: the reconciler.
	Muted   []string `json:"am,omitzero"`
	Watched bool     `json:"aw,omitzero"`
	// Triggered are the alarms that failed it. Written by: the reconciler.
	Triggered []string `json:"at,omitzero"`
	// Back is the number of the failed deployment that this one is rolled back from. Written by: the reconciler.
	Back string `json:"bk,omitzero"`

	// Failures. Written by: the reconciler; UpdateService resets the pause.
	Failed   int32  `json:"fc,omitzero"` // what the circuit breaker counts
	Rounds   int    `json:"pr,omitzero"` // rollout.Pause
	LastFail Millis `json:"pl,omitzero"`
	Ran      bool   `json:"pn,omitzero"`

	// The service deployment. Written by: CreateService, UpdateService, StopServiceDeployment, the reconciler.
	Status       api.ServiceDeploymentStatus `json:"ss"`
	StatusReason string                      `json:"sr,omitzero"`
	Finished     Millis                      `json:"et,omitzero"`
	Stopped      Millis                      `json:"pt,omitzero"`
	// Rollback, once it began. Written by: the reconciler.
	RollbackTo     string `json:"rt,omitzero"` // number of the deployment
	RollbackReason string `json:"rr,omitzero"`
	RollbackAt     Millis `json:"ra,omitzero"`
}

// RolloutState is the state of a deployment. The numbers are stored.
type RolloutState uint8

// The states of a deployment; a rollback brings a COMPLETED one back to IN_PROGRESS.
const (
	RolloutInProgress RolloutState = 0
	RolloutCompleted  RolloutState = 1
	RolloutFailed     RolloutState = 2
)

func (s RolloutState) wire() api.DeploymentRolloutState {
	switch s {
	case RolloutCompleted:
		return api.DeploymentRolloutStateCompleted
	case RolloutFailed:
		return api.DeploymentRolloutStateFailed
	}
	return api.DeploymentRolloutStateInProgress
}

// Indexes of Deployments.
const (
	byDeploymentLive       = "live"       // service key; those that are not gone
	byDeploymentDefinition = "definition" // task definition key; those that are not gone
	byDeploymentGroup      = "group"      // ARN of a target group; those that are not gone
	byDeploymentBalanced   = "balanced"   // account/region; those with target groups or ports of Service Connect that are not gone
	byDeploymentAwaits     = "awaits"     // account/region; those that wait for machines to follow a shift of traffic
	byDeploymentNamespace  = "namespace"  // key of the namespace of Service Connect; those that are not gone
)

// Deployments has the deployments of all services that can be described.
var Deployments = store.NewTable("ecs/deployment", Deployment.Key,
	store.Index(byDeploymentLive, func(d Deployment) []string { return one(!d.Gone, d.ServiceKey()) }),
	store.Index(byDeploymentDefinition, func(d Deployment) []string { return one(!d.Gone, d.DefinitionKey()) }),
	store.Index(byDeploymentGroup, Deployment.groups),
	store.Index(byDeploymentBalanced, func(d Deployment) []string {
		return one(!d.Gone && len(d.Balancers)+len(d.ports()) > 0, d.Account+"/"+d.Region)
	}),
	store.Index(byDeploymentAwaits, func(d Deployment) []string {
		return one(!d.Gone && d.Life != nil && d.Life.Awaits(), d.Account+"/"+d.Region)
	}),
	store.Index(byDeploymentNamespace, func(d Deployment) []string { return one(!d.Gone && d.Connect != nil, d.namespaceKey()) }),
)

// Key is account/region/cluster/service/number.
func (d Deployment) Key() string { return d.ServiceKey() + "/" + d.Number }

// ServiceKey is the key of the deployment's service.
func (d Deployment) ServiceKey() string {
	return ServiceKey(d.Account, d.Region, d.Cluster, d.Service)
}

// DefinitionKey is the key of the task definition that is deployed.
func (d Deployment) DefinitionKey() string {
	return TaskDefinitionKey(d.Account, d.Region, d.Family, d.Revision)
}

// DefinitionARN names that task definition.
func (d Deployment) DefinitionARN() aws.ARN {
	return taskDefinitionARN(d.Account, d.Region, d.Family, d.Revision)
}

// ARN names the service deployment.
func (d Deployment) ARN() aws.ARN {
	return aws.NewARN("ecs", d.Region, d.Account, "service-deployment/"+d.Cluster+"/"+d.Service+"/"+d.ID)
}

// RevisionARN names the service revision.
func (d Deployment) RevisionARN() aws.ARN { return d.revisionARN(d.Number) }

func (d Deployment) revisionARN(number string) aws.ARN {
	return aws.NewARN("ecs", d.Region, d.Account, "service-revision/"+d.Cluster+"/"+d.Service+"/"+number)
}

func (d Deployment) pause() rollout.Pause {
	return rollout.Pause{Rounds: d.Rounds, Last: d.LastFail.Time(), Ran: d.Ran}
}

func (d *Deployment) setPause(p rollout.Pause) {
	d.Rounds, d.LastFail, d.Ran = p.Rounds, MillisOf(p.Last), p.Ran
}

// under says whether the service deployment is still under way.
func (d Deployment) under() bool {
	switch d.Status {
	case api.ServiceDeploymentStatusPending, api.ServiceDeploymentStatusInProgress, api.ServiceDeploymentStatusStopRequested,
		api.ServiceDeploymentStatusRollbackRequested, api.ServiceDeploymentStatusRollbackInProgress:
		return true
	}
	return false
}

// deploymentIDs are the random parts of a new deployment.
type deploymentIDs struct{ number, id string }

// newDeploymentIDs makes them. The number begins with milliseconds since the epoch.
func newDeploymentIDs(now time.Time) deploymentIDs {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic("unreachable: the kernel has randomness: " + err.Error())
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	return deploymentIDs{
		number: fmt.Sprintf("%013d%06d", now.UnixMilli(), n.Int64()),
		id:     base64.RawURLEncoding.EncodeToString(raw[:])[:21],
	}
}

// attached is what a deployment's tasks are found by: load balancers, Cloud Map services, Service Connect.
type attached struct {
	balancers  []api.LoadBalancer
	registries []api.ServiceRegistry
	connect    *Connect
}

// newDeployment makes the deployment of a definition primary. Its predecessors stay until their tasks are replaced.
// The caller puts the service.
func (v *ServiceRecord) newDeployment(tx *store.Tx, ids deploymentIDs, d TaskDefinition, to attached, now Millis) Deployment {
	made := Deployment{
		Account: v.Account, Region: v.Region, Cluster: v.Cluster, Service: v.Name, Number: ids.number, ID: ids.id,
		Created: now, Updated: now, Family: d.Family, Revision: d.Revision, Launch: v.Launch, Config: v.Config, Balancers: to.balancers, Registries: to.registries, Connect: to.connect,
		Reason: "ECS deployment " + deploymentPrefix + ids.number + " in progress.", Status: api.ServiceDeploymentStatusInProgress,
	}
	for old := range Deployments.By(tx, byDeploymentLive, v.Key()) {
		made.Sources = append(made.Sources, old.Number)
	}
	v.begin(tx, &made, now)
	v.supersede(tx, now)
	v.Primary, v.Current = made.Number, made.Number
	Deployments.Put(tx, made)
	return made
}

// supersede ends the service deployment that is under way, if there is one.
func (v *ServiceRecord) supersede(tx *store.Tx, now Millis) {
	d, ok := Deployments.Get(tx, v.deploymentKey(v.Current))
	if !ok || !d.under() {
		return
	}
	d.Status, d.Stopped, d.Updated = api.ServiceDeploymentStatusStopped, now, now
	d.StatusReason = "The service deployment was stopped because another one was started or the service was deleted."
	Deployments.Put(tx, d)
}
