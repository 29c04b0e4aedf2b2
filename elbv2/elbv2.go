package elbv2

import (
	"log/slog"
	"time"

	api "berth/api/elbv2"
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
	// Machine finds a container instance by its EC2 instance ID: where targets of type instance are.
	Machine MachineFunc
}

// MachineFunc finds the machine with an EC2 instance ID in an account and region.
type MachineFunc func(r store.Reader, account, region, instanceID string) (Machine, bool)

// Machine is a container instance as load balancing sees it.
type Machine struct {
	ARN  string // of the container instance
	Host string // its address, as other machines reach it
	Zone string
}

// Service answers the ELBv2 API. Operations that it does not have are answered by api.Unimplemented.
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
func Tables() []store.AnyTable {
	return []store.AnyTable{LoadBalancers, Listeners, Rules, TargetGroups, Targets, TargetHealths, Ingresses, ConnectPorts}
}

// Reconcilers are all reconcilers of the service.
func (s *Service) Reconcilers() []reconcile.Reconciler {
	return []reconcile.Reconciler{TargetReconciler{s}}
}
