package ecs

import (
	"context"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const (
	maxDeploymentARNs  = 20
	deploymentPageSize = 20

	msgDeploymentNotFound = "The service deployment does not exist."
	msgDeploymentOver     = "The service deployment is in a terminal state and cannot be stopped."
)

// ListServiceDeployments lists the deployments of a service, the newest first.
func (s *Service) ListServiceDeployments(ctx context.Context, in *api.ListServiceDeploymentsRequest) (*api.ListServiceDeploymentsResponse, error) {
	if value(in.Service) == "" {
		return nil, invalid("Service can not be blank.")
	}
	size := deploymentPageSize
	if in.MaxResults != nil {
		var err error
		if size, err = pageSize(in.MaxResults, maxPage); err != nil {
			return nil, err
		}
	}
	for _, status := range in.Status {
		if !slices.Contains(status.Values(), string(status)) {
			return nil, invalid("Invalid status '%s'. Valid values: %v", status, status.Values())
		}
	}
	caller, r := aws.CallerFrom(ctx), s.store.Read()
	cluster, err := activeCluster(ctx, r, serviceCluster(in.Cluster, in.Service))
	if err != nil {
		return nil, err
	}
	v, ok := findService(r, caller, cluster.Name, *in.Service)
	if !ok {
		return nil, aws.Errorf(codeServiceNotFound, msgServiceNotFound)
	}
	scope := "ecs/ListServiceDeployments|" + v.Key() + "|" + hashOf(in.Status) + "|" + hashOf(in.CreatedAt)
	before, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(Deployments.Prefix(r, v.Key()+"/"))
	slices.Reverse(all)
	out := &api.ListServiceDeploymentsResponse{ServiceDeployments: []api.ServiceDeploymentBrief{}}
	last := ""
	for _, d := range all {
		if before != "" && d.Number >= before || !listed(d, in) {
			continue
		}
		if len(out.ServiceDeployments) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		last = d.Number
		out.ServiceDeployments = append(out.ServiceDeployments, d.brief(v))
	}
	return out, nil
}

func listed(d Deployment, in *api.ListServiceDeploymentsRequest) bool {
	if d.Set != nil {
		return false
	}
	if len(in.Status) > 0 && !slices.Contains(in.Status, d.Status) {
		return false
	}
	if c := in.CreatedAt; c != nil {
		at := d.Created.Time()
		return (c.Before == nil || at.Before(c.Before.Time)) && (c.After == nil || at.After(c.After.Time))
	}
	return true
}

func (d Deployment) brief(v ServiceRecord) api.ServiceDeploymentBrief {
	out := api.ServiceDeploymentBrief{
		ServiceDeploymentArn: new(string(d.ARN())), ServiceArn: new(string(v.ARN())), ClusterArn: new(string(clusterARN(v.Account, v.Region, v.Cluster))),
		StartedAt: d.Created.wire(), CreatedAt: d.Created.wire(), FinishedAt: d.Finished.wire(),
		TargetServiceRevisionArn: new(string(d.RevisionARN())), Status: d.Status,
	}
	if d.StatusReason != "" {
		out.StatusReason = new(d.StatusReason)
	}
	return out
}

// deploymentRef takes apart the ARN of a service deployment or revision: the service's key and the last part.
func deploymentRef(c aws.Caller, kind, arn string) (service, id string, ok bool) {
	rest, ok := ecsResource(c, arn, kind)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return "", "", false
	}
	return ServiceKey(c.Account, c.Region, parts[0], parts[1]), parts[2], true
}

// findDeployment finds a service deployment by its ARN.
func findDeployment(r store.Reader, c aws.Caller, arn string) (v ServiceRecord, d Deployment, ok bool) {
	service, id, ok := deploymentRef(c, "service-deployment", arn)
	if !ok {
		return v, d, false
	}
	if v, ok = Services.Get(r, service); !ok {
		return v, d, false
	}
	for d := range Deployments.Prefix(r, service+"/") {
		if d.ID == id && d.Set == nil {
			return v, d, true
		}
	}
	return v, d, false
}

// checkDeploymentARNs checks the list of a Describe.
func checkDeploymentARNs(c aws.Caller, kind, name string, arns []string) error {
	switch {
	case len(arns) == 0:
		return invalid("%s cannot be empty.", name)
	case len(arns) > maxDeploymentARNs:
		return invalid("%s cannot have more than %d elements.", name, maxDeploymentARNs)
	}
	for _, arn := range arns {
		if _, _, ok := deploymentRef(c, kind, arn); !ok {
			return invalid("Invalid ARN: %s", arn)
		}
	}
	return nil
}

// DescribeServiceDeployments shows service deployments.
func (s *Service) DescribeServiceDeployments(ctx context.Context, in *api.DescribeServiceDeploymentsRequest) (*api.DescribeServiceDeploymentsResponse, error) {
	caller, r := aws.CallerFrom(ctx), s.store.Read()
	if err := checkDeploymentARNs(caller, "service-deployment", "Service deployment ARNs", in.ServiceDeploymentArns); err != nil {
		return nil, err
	}
	out := &api.DescribeServiceDeploymentsResponse{ServiceDeployments: []api.ServiceDeployment{}, Failures: []api.Failure{}}
	for _, arn := range in.ServiceDeploymentArns {
		v, d, ok := findDeployment(r, caller, arn)
		if !ok {
			out.Failures = append(out.Failures, missing(arn))
			continue
		}
		out.ServiceDeployments = append(out.ServiceDeployments, deploymentWire(r, v, d))
	}
	return out, nil
}

// deploymentWire is a service deployment as the API shows it.
func deploymentWire(r store.Reader, v ServiceRecord, d Deployment) api.ServiceDeployment {
	counts := serviceTasks(r, v.Key())
	b := d.brief(v)
	out := api.ServiceDeployment{
		ServiceDeploymentArn: b.ServiceDeploymentArn, ServiceArn: b.ServiceArn, ClusterArn: b.ClusterArn, CreatedAt: b.CreatedAt,
		StartedAt: b.StartedAt, FinishedAt: b.FinishedAt, StoppedAt: d.Stopped.wire(), UpdatedAt: d.Updated.wire(),
		Status: d.Status, StatusReason: b.StatusReason, DeploymentConfiguration: new(d.Config), SourceServiceRevisions: []api.ServiceRevisionSummary{},
		TargetServiceRevision: new(d.summary(v, d.Number, counts)),
	}
	for _, number := range d.Sources {
		out.SourceServiceRevisions = append(out.SourceServiceRevisions, d.summary(v, number, counts))
	}
	if d.RollbackTo != "" {
		out.Rollback = &api.Rollback{
			Reason: new(d.RollbackReason), StartedAt: d.RollbackAt.wire(), ServiceRevisionArn: new(string(d.revisionARN(d.RollbackTo))),
		}
	}
	out.DeploymentCircuitBreaker, out.Alarms = d.breakerWire(v), d.alarmsWire()
	if d.Life != nil {
		d.showLife(r, &out)
	}
	return out
}

// breakerWire is the circuit breaker as the API shows it.
func (d Deployment) breakerWire(v ServiceRecord) *api.ServiceDeploymentCircuitBreaker {
	breaker := ServiceRecord{Config: d.Config, Daemon: v.Daemon}.breaker()
	shown := &api.ServiceDeploymentCircuitBreaker{Status: api.ServiceDeploymentRollbackMonitorsStatusDisabled}
	if breaker.Enabled {
		shown.Status = api.ServiceDeploymentRollbackMonitorsStatusMonitoring
		shown.FailureCount, shown.Threshold = new(d.Failed), new(int32(breaker.Threshold(int(v.Desired))))
		switch {
		case d.State == RolloutFailed && breaker.Tripped(int(d.Failed), int(v.Desired)):
			shown.Status = api.ServiceDeploymentRollbackMonitorsStatusTriggered
		case !d.under():
			shown.Status = api.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete
		}
	}
	return shown
}

func (d Deployment) summary(v ServiceRecord, number string, counts map[string]taskCount) api.ServiceRevisionSummary {
	n := counts[number]
	out := api.ServiceRevisionSummary{
		Arn: new(string(d.revisionARN(number))), RequestedTaskCount: new(n.running + n.pending),
		RunningTaskCount: new(n.running), PendingTaskCount: new(n.pending),
	}
	if number == v.Primary && !v.Daemon {
		out.RequestedTaskCount = new(v.Desired)
	}
	return out
}

// DescribeServiceRevisions shows what was deployed.
func (s *Service) DescribeServiceRevisions(ctx context.Context, in *api.DescribeServiceRevisionsRequest) (*api.DescribeServiceRevisionsResponse, error) {
	caller, r := aws.CallerFrom(ctx), s.store.Read()
	if err := checkDeploymentARNs(caller, "service-revision", "Service revision ARNs", in.ServiceRevisionArns); err != nil {
		return nil, err
	}
	out := &api.DescribeServiceRevisionsResponse{ServiceRevisions: []api.ServiceRevision{}, Failures: []api.Failure{}}
	for _, arn := range in.ServiceRevisionArns {
		service, number, _ := deploymentRef(caller, "service-revision", arn)
		d, ok := Deployments.Get(r, service+"/"+number)
		if !ok || d.Set != nil {
			out.Failures = append(out.Failures, missing(arn))
			continue
		}
		v, _ := Services.Get(r, service)
		out.ServiceRevisions = append(out.ServiceRevisions, revisionWire(r, v, d))
	}
	return out, nil
}

func revisionWire(r store.Reader, v ServiceRecord, d Deployment) api.ServiceRevision {
	out := api.ServiceRevision{
		ServiceRevisionArn: new(string(d.RevisionARN())), ServiceArn: new(string(v.ARN())), ClusterArn: new(string(clusterARN(d.Account, d.Region, d.Cluster))),
		TaskDefinition: new(string(d.DefinitionARN())), LaunchType: d.Launch, LoadBalancers: orEmpty(d.configured()),
		ServiceRegistries: orEmpty(d.Registries), GuardDutyEnabled: new(false), CreatedAt: d.Created.wire(),
	}
	if d.Connect != nil {
		out.ServiceConnectConfiguration = new(d.Connect.Config)
	}
	out.ResolvedConfiguration = d.resolved()
	definition, _ := TaskDefinitions.Get(r, d.DefinitionKey())
	out.ContainerImages = d.images(definition.Definition)
	return out
}

// StopServiceDeployment rolls a deployment that is under way back to the one that was last completed.
func (s *Service) StopServiceDeployment(ctx context.Context, in *api.StopServiceDeploymentRequest) (*api.StopServiceDeploymentResponse, error) {
	caller, arn := aws.CallerFrom(ctx), value(in.ServiceDeploymentArn)
	switch {
	case arn == "":
		return nil, invalid("Service deployment ARN can not be blank.")
	case in.StopType == api.StopServiceDeploymentStopTypeAbort:
		return nil, notYet("stopType ABORT")
	case in.StopType != "" && in.StopType != api.StopServiceDeploymentStopTypeRollback:
		return nil, invalid("Invalid stopType '%s'. Valid values: [ROLLBACK]", in.StopType)
	}
	now := MillisOf(s.now())
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		v, d, ok := findDeployment(tx, caller, arn)
		switch {
		case !ok:
			return aws.Errorf("ServiceDeploymentNotFoundException", msgDeploymentNotFound)
		case d.Status == api.ServiceDeploymentStatusRollbackRequested, d.Status == api.ServiceDeploymentStatusRollbackInProgress,
			d.Status == api.ServiceDeploymentStatusStopRequested:
			return nil
		case d.under() && d.Life != nil && v.Current == d.Number:
			// Without an old revision its tasks end.
		case !d.under() || v.Primary != d.Number:
			return aws.Errorf(codeConflict, msgDeploymentOver)
		case v.Completed == "" || v.Completed == d.Number:
			return invalid("The service has no completed deployment to roll back to.")
		}
		d.Status, d.StatusReason, d.Updated = api.ServiceDeploymentStatusRollbackRequested, "Service deployment rolled back on request.", now
		Deployments.Put(tx, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("service deployment rollback asked for", "deployment", arn)
	return &api.StopServiceDeploymentResponse{ServiceDeploymentArn: &arn}, nil
}
