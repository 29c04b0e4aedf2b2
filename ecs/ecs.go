package ecs

import (
	"log/slog"
	"net/http"
	"time"

	api "berth/api/ecs"
	"berth/aws"
	"berth/reconcile"
	"berth/store"
)

// Config has the settings of the ECS control plane. Zero values mean the defaults.
type Config struct {
	// StoppedTaskRetention is how long a stopped task stays describable. Default 7 days; at least one hour.
	StoppedTaskRetention time.Duration
}

// DefaultStoppedTaskRetention is how long stopped tasks are kept unless configured.
const DefaultStoppedTaskRetention = 7 * 24 * time.Hour

// minStoppedTaskRetention is what AWS promises.
const minStoppedTaskRetention = time.Hour

func (c Config) stoppedTaskRetention() time.Duration {
	if c.StoppedTaskRetention == 0 {
		return DefaultStoppedTaskRetention
	}
	return max(c.StoppedTaskRetention, minStoppedTaskRetention)
}

// Deps are what the service stands on.
type Deps struct {
	Store  *store.Store
	Now    func() time.Time // nil means time.Now
	Pages  *aws.Pages
	Log    *slog.Logger
	Config Config
	// Alarms are those of CloudWatch; nil: there are none.
	Alarms Alarms
	// HookClient calls lifecycle hooks; nil: a client of its own.
	HookClient *http.Client
	// ResolveImage knows the images of Berth's own registry; nil: there is none.
	ResolveImage ResolveImage
}

// Service answers the ECS API. Operations that it does not have are answered by api.Unimplemented.
type Service struct {
	api.Unimplemented

	store  *store.Store
	now    func() time.Time
	pages  *aws.Pages
	log    *slog.Logger
	since  time.Time // when the service was made
	config Config
	alarms Alarms
	hooks  hookCaller
	image  ResolveImage

	placing *placing
}

// New makes the service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store: d.Store, now: d.Now, since: d.Now(), pages: d.Pages, log: d.Log, config: d.Config, alarms: d.Alarms, hooks: newHookCaller(d.HookClient),
		image: d.ResolveImage, placing: newPlacing(d.Store),
	}
}

// Tables lists the service's tables, for store.Open.
func Tables() []store.AnyTable {
	return []store.AnyTable{
		Clusters, Families, TaskDefinitions, Tasks, RunTokens, Tombstones, AccountSettings,
		ContainerInstances, InstanceDescriptions, Services, Deployments, Hooks, ServiceEvents,
	}
}

// Reconcilers are all reconcilers of the service.
func (s *Service) Reconcilers() []reconcile.Reconciler {
	return []reconcile.Reconciler{
		TaskReconciler{store: s.store, now: s.now, retention: s.config.stoppedTaskRetention()},
		LeaveReconciler{store: s.store, now: s.now}, RegistryReconciler{store: s.store, now: s.now},
		LostTaskReconciler{store: s.store, now: s.now},
		s.InstanceReconciler(),
		TaskDefinitionReconciler{store: s.store},
		ServiceReconciler{s}, HookReconciler{s}, s.expireDeployments(), s.expireServiceEvents(),
		s.expireClusters(), s.expireRunTokens(), s.expireTombstones(),
	}
}
