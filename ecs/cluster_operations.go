package ecs

import (
	"context"
	"errors"
	"slices"
	"strconv"

	api "berth/api/ecs"
	"berth/aws"
	"berth/servicediscovery"
	"berth/store"
)

// CreateCluster makes a cluster, or returns the active one of that name unchanged.
func (s *Service) CreateCluster(ctx context.Context, in *api.CreateClusterRequest) (*api.CreateClusterResponse, error) {
	caller := aws.CallerFrom(ctx)
	name := value(in.ClusterName)
	if name == "" {
		name = defaultCluster
	}
	tags, err := checkClusterInput(name, in)
	if err != nil {
		return nil, err
	}
	at, id := s.now(), servicediscovery.NewNamespaceID()
	now := MillisOf(at)
	var out Cluster
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		var ok bool
		if out, ok = Clusters.Get(tx, ClusterKey(caller.Account, caller.Region, name)); ok && !out.Inactive {
			return nil
		}
		out = Cluster{
			Account: caller.Account, Region: caller.Region, Name: name, Created: now,
			Settings: in.Settings, Configuration: normalConfiguration(in.Configuration), Tags: tags,
		}
		if len(out.Settings) == 0 {
			out.Settings = []api.ClusterSetting{{Name: api.ClusterSettingNameContainerInsights, Value: new(effectiveSetting(tx, caller, settingContainerInsights))}}
		}
		if err := out.takeConnect(tx, in.ServiceConnectDefaults, id, at); err != nil {
			return err
		}
		Clusters.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	shown := s.clusterWire(s.store.Read(), out, clusterAll)
	return &api.CreateClusterResponse{Cluster: shown}, nil
}

func checkClusterInput(name string, in *api.CreateClusterRequest) (map[string]string, error) {
	if !namePattern.MatchString(name) {
		return nil, invalid("Invalid cluster name: 1 to 255 letters, numbers, hyphens and underscores are allowed.")
	}
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	if err := checkConfiguration(in.Configuration); err != nil {
		return nil, err
	}
	if err := refuseProviders(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	return checkTags(in.Tags)
}

func checkSettings(settings []api.ClusterSetting) error {
	for _, setting := range settings {
		if setting.Name != api.ClusterSettingNameContainerInsights {
			return invalid("Invalid cluster setting name '%s'. Valid names: [containerInsights]", setting.Name)
		}
		if !slices.Contains([]string{"enabled", "disabled", "enhanced"}, value(setting.Value)) {
			return invalid("Invalid cluster setting value '%s' for setting 'containerInsights'. Valid values: [enabled, disabled, enhanced]", value(setting.Value))
		}
	}
	if len(settings) > 1 {
		return invalid("Cluster setting 'containerInsights' is given more than once.")
	}
	return nil
}

func checkConfiguration(c *api.ClusterConfiguration) error {
	if c == nil || c.ExecuteCommandConfiguration == nil {
		return nil
	}
	exec := c.ExecuteCommandConfiguration
	switch {
	case exec.Logging != "" && !slices.Contains(exec.Logging.Values(), string(exec.Logging)):
		return invalid("Invalid execute command logging '%s'. Valid values: [NONE, DEFAULT, OVERRIDE]", exec.Logging)
	case exec.Logging == api.ExecuteCommandLoggingOverride && exec.LogConfiguration == nil:
		return invalid("Log configuration must be specified when logging is set to OVERRIDE")
	case exec.Logging != api.ExecuteCommandLoggingOverride && exec.LogConfiguration != nil:
		return invalid("Log configuration must not be specified when logging is not set to OVERRIDE")
	}
	return nil
}

// normalConfiguration fills in the default of logging.
func normalConfiguration(c *api.ClusterConfiguration) *api.ClusterConfiguration {
	if c == nil || c.ExecuteCommandConfiguration == nil || c.ExecuteCommandConfiguration.Logging != "" {
		return c
	}
	out, exec := *c, *c.ExecuteCommandConfiguration
	exec.Logging = api.ExecuteCommandLoggingDefault
	out.ExecuteCommandConfiguration = &exec
	return &out
}

// refuseProviders refuses capacity providers, which this Berth does not have.
func refuseProviders(names []string, strategy []api.CapacityProviderStrategyItem) error {
	if len(names) > 0 {
		return notYet("capacityProviders (capacity providers)")
	}
	if len(strategy) > 0 {
		return notYet("defaultCapacityProviderStrategy (capacity providers)")
	}
	return nil
}

// maxDescribeClusters is the largest number of clusters in one DescribeClusters.
const maxDescribeClusters = 100

// DescribeClusters shows clusters, deleted ones included for a while.
func (s *Service) DescribeClusters(ctx context.Context, in *api.DescribeClustersRequest) (*api.DescribeClustersResponse, error) {
	caller := aws.CallerFrom(ctx)
	refs := in.Clusters
	if len(refs) == 0 {
		refs = []string{defaultCluster}
	}
	if len(refs) > maxDescribeClusters {
		return nil, invalid("Clusters cannot have more than %d elements.", maxDescribeClusters)
	}
	for _, i := range in.Include {
		if !slices.Contains(i.Values(), string(i)) {
			return nil, invalid("Invalid include '%s'. Valid values: %v", i, i.Values())
		}
	}
	r := s.store.Read()
	out := &api.DescribeClustersResponse{Clusters: []api.Cluster{}, Failures: []api.Failure{}}
	for _, ref := range refs {
		name, err := clusterName(caller, new(ref))
		if e, ok := errors.AsType[*aws.Error](err); ok && e.Code == codeInvalidParameter {
			return nil, err
		}
		c, ok := Clusters.Get(r, ClusterKey(caller.Account, caller.Region, name))
		if err != nil || !ok {
			out.Failures = append(out.Failures, missing(clusterRefARN(caller, ref)))
			continue
		}
		out.Clusters = append(out.Clusters, *s.clusterWire(r, c, in.Include))
	}
	return out, nil
}

func clusterRefARN(c aws.Caller, ref string) string {
	if aws.IsARN(ref) {
		return ref
	}
	return string(clusterARN(c.Account, c.Region, ref))
}

func missing(arn string) api.Failure { return api.Failure{Arn: new(arn), Reason: new(reasonMissing)} }

const maxPage = 100

// ListClusters lists the active clusters by name.
func (s *Service) ListClusters(ctx context.Context, in *api.ListClustersRequest) (*api.ListClustersResponse, error) {
	caller := aws.CallerFrom(ctx)
	size, err := pageSize(in.MaxResults, maxPage)
	if err != nil {
		return nil, err
	}
	scope := "ecs/ListClusters/" + caller.Account + "/" + caller.Region
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.ListClustersResponse{ClusterArns: []string{}}
	last := ""
	for c := range Clusters.ByFrom(s.store.Read(), byClusterState, clusterStateKey(caller.Account, caller.Region, statusActive), after) {
		if len(out.ClusterArns) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		out.ClusterArns = append(out.ClusterArns, string(c.ARN()))
		last = c.Key()
	}
	return out, nil
}

// UpdateCluster replaces the members that are given.
func (s *Service) UpdateCluster(ctx context.Context, in *api.UpdateClusterRequest) (*api.UpdateClusterResponse, error) {
	if value(in.Cluster) == "" {
		return nil, invalid("Cluster can not be blank.")
	}
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	if err := checkConfiguration(in.Configuration); err != nil {
		return nil, err
	}
	at, id := s.now(), servicediscovery.NewNamespaceID()
	c, err := s.changeCluster(ctx, in.Cluster, func(tx *store.Tx, c *Cluster) error {
		if len(in.Settings) > 0 {
			c.Settings = in.Settings
		}
		if in.Configuration != nil {
			c.Configuration = normalConfiguration(in.Configuration)
		}
		return c.takeConnect(tx, in.ServiceConnectDefaults, id, at)
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateClusterResponse{Cluster: s.clusterWire(s.store.Read(), c, clusterAll)}, nil
}

// UpdateClusterSettings replaces the settings.
func (s *Service) UpdateClusterSettings(ctx context.Context, in *api.UpdateClusterSettingsRequest) (*api.UpdateClusterSettingsResponse, error) {
	if value(in.Cluster) == "" {
		return nil, invalid("Cluster can not be blank.")
	}
	if len(in.Settings) == 0 {
		return nil, invalid("Settings can not be empty")
	}
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	c, err := s.changeCluster(ctx, in.Cluster, func(_ *store.Tx, c *Cluster) error {
		c.Settings = in.Settings
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateClusterSettingsResponse{Cluster: s.clusterWire(s.store.Read(), c, clusterAll)}, nil
}

// PutClusterCapacityProviders accepts empty lists only: this Berth has no capacity providers.
func (s *Service) PutClusterCapacityProviders(ctx context.Context, in *api.PutClusterCapacityProvidersRequest) (*api.PutClusterCapacityProvidersResponse, error) {
	switch {
	case value(in.Cluster) == "":
		return nil, invalid("Cluster can not be blank.")
	case in.CapacityProviders == nil:
		return nil, invalid("Capacity providers can not be null.")
	case in.DefaultCapacityProviderStrategy == nil:
		return nil, invalid("Default capacity provider strategy can not be null.")
	}
	if err := refuseProviders(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	r := s.store.Read()
	c, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	return &api.PutClusterCapacityProvidersResponse{Cluster: s.clusterWire(r, c, clusterAll)}, nil
}

// changeCluster applies change to an active cluster.
func (s *Service) changeCluster(ctx context.Context, ref *string, change func(*store.Tx, *Cluster) error) (out Cluster, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		if out, err = activeCluster(ctx, tx, ref); err != nil {
			return err
		}
		if err := change(tx, &out); err != nil {
			return err
		}
		Clusters.Put(tx, out)
		return nil
	})
	return out, err
}

// DeleteCluster makes an empty cluster INACTIVE. Deleting it again returns it again.
func (s *Service) DeleteCluster(ctx context.Context, in *api.DeleteClusterRequest) (*api.DeleteClusterResponse, error) {
	if value(in.Cluster) == "" {
		return nil, invalid("Cluster can not be blank.")
	}
	caller := aws.CallerFrom(ctx)
	name, err := clusterName(caller, in.Cluster)
	if err != nil {
		return nil, err
	}
	now := MillisOf(s.now())
	var out Cluster
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		var ok bool
		if out, ok = Clusters.Get(tx, ClusterKey(caller.Account, caller.Region, name)); !ok {
			return aws.Errorf(codeClusterNotFound, msgClusterNotFound)
		}
		if out.Inactive {
			return nil
		}
		if clusterInstances(tx, out.Key()) > 0 {
			return aws.Errorf("ClusterContainsContainerInstancesException", "The Cluster cannot be deleted while Container Instances are active or draining.")
		}
		for _, status := range []string{statusActive, statusDraining} {
			if Services.CountBy(tx, byServiceStatus, serviceStatusKey(out.Key(), status, "")) > 0 {
				return aws.Errorf("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
			}
		}
		if n := countTasks(tx, out.Key()); n.total() > 0 {
			return aws.Errorf("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
		}
		out.Inactive, out.Deleted = true, now
		Clusters.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteClusterResponse{Cluster: s.clusterWire(s.store.Read(), out, clusterAll)}, nil
}

// clusterAll shows every optional member, as answers to changes do.
var clusterAll = []api.ClusterField{api.ClusterFieldConfigurations, api.ClusterFieldSettings, api.ClusterFieldTags}

// clusterWire is a cluster as the API shows it.
func (s *Service) clusterWire(r store.Reader, c Cluster, include []api.ClusterField) *api.Cluster {
	counts := countTasks(r, c.Key())
	out := &api.Cluster{
		ClusterArn: new(string(c.ARN())), ClusterName: new(c.Name), Status: new(c.Status()),
		RegisteredContainerInstancesCount: new(int32(clusterInstances(r, c.Key()))),
		RunningTasksCount:                 new(int32(counts.running())),
		PendingTasksCount:                 new(int32(counts.pending())),
		ActiveServicesCount:               new(int32(Services.CountBy(r, byServiceStatus, serviceStatusKey(c.Key(), statusActive, "")))),
		Statistics:                        []api.KeyValuePair{}, Tags: []api.Tag{}, Settings: []api.ClusterSetting{},
		CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []api.CapacityProviderStrategyItem{},
	}
	if c.Connect != "" {
		out.ServiceConnectDefaults = &api.ClusterServiceConnectDefaults{Namespace: new(c.Connect)}
	}
	for _, i := range include {
		switch i {
		case api.ClusterFieldConfigurations:
			out.Configuration = c.Configuration
		case api.ClusterFieldSettings:
			out.Settings = append(out.Settings, c.Settings...)
		case api.ClusterFieldStatistics:
			out.Statistics = counts.statistics(func(status string, launch api.LaunchType) int {
				return Services.CountBy(r, byServiceStatus, serviceStatusKey(c.Key(), status, launch))
			})
		case api.ClusterFieldTags:
			out.Tags = wireTags(c.Tags)
		case api.ClusterFieldAttachments:
			out.Attachments = []api.Attachment{}
		}
	}
	return out
}

// taskCounts are a cluster's tasks that are not STOPPED, by launch type.
type taskCounts map[api.LaunchType]struct{ pending, running, stopping int }

func countTasks(r store.Reader, cluster string) taskCounts {
	out := taskCounts{}
	for _, launch := range api.LaunchType("").Values() {
		n := out[api.LaunchType(launch)]
		n.pending = Tasks.CountBy(r, byTaskStage, stageKey(cluster, api.LaunchType(launch), StatePending))
		n.running = Tasks.CountBy(r, byTaskStage, stageKey(cluster, api.LaunchType(launch), StateRunning))
		n.stopping = Tasks.CountBy(r, byTaskStage, stageKey(cluster, api.LaunchType(launch), StateStopping))
		out[api.LaunchType(launch)] = n
	}
	return out
}

func (t taskCounts) running() (n int) {
	for _, c := range t {
		n += c.running
	}
	return n
}

func (t taskCounts) pending() (n int) {
	for _, c := range t {
		n += c.pending
	}
	return n
}

func (t taskCounts) total() (n int) {
	for _, c := range t {
		n += c.pending + c.running + c.stopping
	}
	return n
}

// statistics are the counters of DescribeClusters.
func (t taskCounts) statistics(services func(status string, launch api.LaunchType) int) []api.KeyValuePair {
	out := []api.KeyValuePair{}
	add := func(name string, n int) {
		out = append(out, api.KeyValuePair{Name: new(name), Value: new(strconv.Itoa(n))})
	}
	kinds := []struct {
		launch api.LaunchType
		name   string
	}{
		{api.LaunchTypeEC2, "EC2"}, {api.LaunchTypeFargate, "Fargate"},
		{api.LaunchTypeExternal, "External"}, {api.LaunchTypeManagedInstances, "ManagedInstances"},
	}
	for _, k := range kinds {
		add("running"+k.name+"TasksCount", t[k.launch].running)
		add("pending"+k.name+"TasksCount", t[k.launch].pending)
		add("active"+k.name+"ServiceCount", services(statusActive, k.launch))
		add("draining"+k.name+"ServiceCount", services(statusDraining, k.launch))
	}
	return out
}
