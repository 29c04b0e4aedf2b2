package ec2

import (
	"log/slog"
	"time"

	api "berth/api/ec2"
	"berth/aws"
	"berth/reconcile"
	"berth/store"
)

// Deps are what the service stands on.
type Deps struct {
	Store *store.Store
	Now   func() time.Time // nil means time.Now
	Pages *aws.Pages
	Log   *slog.Logger
	// Machines wakes account/region/zone for each machine: the zones that have machines in them.
	Machines []reconcile.Trigger
	// Regions lists further regions in which an account has something; may be nil.
	Regions func(r store.Reader, account string) []string
	// Endpoint is host:port of the API; nil or an empty answer leaves it out of DescribeRegions.
	Endpoint func() string
}

// Service answers the EC2 API. Operations that it does not have are answered by api.Unimplemented.
type Service struct {
	api.Unimplemented
	Deps
}

// New makes the service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Deps: d}
}

// Tables lists the service's tables, for store.Open.
func Tables() []store.AnyTable { return []store.AnyTable{Zones, SecurityGroups, Interfaces, tagSets} }

// Reconcilers are all reconcilers of the service.
func (s *Service) Reconcilers() []reconcile.Reconciler {
	if len(s.Machines) == 0 {
		return nil
	}
	return []reconcile.Reconciler{ZoneReconciler{s}}
}
