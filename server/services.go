package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"berth/acm"
	acmapi "berth/api/acm"
	own "berth/api/berth"
	ec2api "berth/api/ec2"
	ecrapi "berth/api/ecr"
	ecsapi "berth/api/ecs"
	elbv2api "berth/api/elbv2"
	logsapi "berth/api/logs"
	servicediscoveryapi "berth/api/servicediscovery"
	stsapi "berth/api/sts"
	"berth/aws"
	"berth/aws/wire"
	"berth/cloudwatch/samples"
	"berth/dispatch"
	"berth/ec2"
	"berth/ecr"
	"berth/ecs"
	"berth/elbv2"
	"berth/iam"
	"berth/logs"
	"berth/logs/events"
	"berth/reconcile"
	"berth/servicediscovery"
	"berth/store"
	"berth/sts"
)

// services are what a control plane is made of.
type services struct {
	ecs      *ecs.Service
	elbv2    *elbv2.Service
	logs     *logs.Service
	ecr      *ecr.Service
	cloudMap *servicediscovery.Service
	ec2      *ec2.Service
	acm      *acm.Service
	own      *ownService
	events   *events.Engine
	samples  *samples.Engine
	dispatch *dispatch.Server
	loop     *reconcile.Loop
}

// close closes what has files of its own.
func (s *services) close() error {
	var errs []error
	if s.events != nil {
		errs = append(errs, s.events.Close())
	}
	if s.samples != nil {
		errs = append(errs, s.samples.Close())
	}
	return errors.Join(errs...)
}

// Tables lists what the control plane keeps, for store.Open.
func Tables() []store.AnyTable {
	return slices.Concat(iam.Tables(), ecs.Tables(), elbv2.Tables(), logs.Tables(), ecr.Tables(), servicediscovery.Tables(), ec2.Tables(), dispatch.Tables(), acm.Tables(), []store.AnyTable{probes})
}

// mounts are the paths that are not an AWS API: the registry, and what needs no signature.
func (s *Server) mounts() []wire.Mount {
	return []wire.Mount{
		{Prefix: "/v2/", Handler: s.ecr.Handler()},
		{Prefix: own.PathReady, Handler: http.HandlerFunc(serveReady)},
		{Prefix: own.PathBackup, Handler: http.HandlerFunc(s.own.serveBackup)},
	}
}

// frontDoor is the one handler of the API listener.
func (s *Server) frontDoor() http.Handler {
	authenticate := (&iam.Verifier{Keys: iam.StoredKeys{Store: s.store}}).Authenticate
	if s.config.DevCredentials {
		authenticate = iam.DevAuthenticator
	}
	return wire.New(wire.Config{
		Services: []wire.Service{
			{API: &ecsapi.API, Handler: s.ecs, Invalid: ecs.Invalid},
			{API: &elbv2api.API, Handler: s.elbv2},
			{API: &logsapi.API, Handler: s.logs},
			{API: &ecrapi.API, Handler: s.ecr},
			{API: &ec2api.API, Handler: s.ec2},
			{API: &servicediscoveryapi.API, Handler: s.cloudMap, Invalid: servicediscovery.Invalid},
			{API: &stsapi.API, Handler: sts.New()},
			{API: &acmapi.API, Handler: s.acm},
			{API: &own.API, Handler: s.own},
		},
		Mounts: s.mounts(), Authenticate: authenticate, Unavailable: unavailable, Log: s.log, RequestLog: s.requestLog(),
	})
}

// requestLog has a line for each request; only wanted for debugging, since it grows with the traffic.
func (s *Server) requestLog() *slog.Logger {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		return s.log
	}
	return nil
}

// unavailable says which errors of the store a caller may meet by trying again.
func unavailable(err error) (text string, ok bool) {
	switch {
	case errors.Is(err, store.ErrNoSpace):
		return "The store is full. Nothing can be changed until space is freed.", true
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return "The store cannot be reached. Try again later.", true
	}
	return "", false
}

// assemble makes every service. The listeners are open already, so their addresses are known.
func (s *Server) assemble(ctx context.Context) (_ *services, err error) {
	key, err := pageKey(s.config)
	if err != nil {
		return nil, err
	}
	pages, out := aws.NewPages(key), &services{}
	if out.events, err = events.Open(events.Config{Dir: s.config.path("logs"), Log: s.log}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.close())
		}
	}()
	if out.samples, err = samples.Open(samples.Config{Dir: s.config.path("metrics"), Log: s.log}); err != nil {
		return nil, err
	}
	out.logs = logs.New(logs.Deps{Store: s.store, Events: out.events, Pages: pages, Log: s.log})
	out.ecs = ecs.New(ecs.Deps{
		Store: s.store, Pages: pages, Log: s.log, Config: ecs.Config{StoppedTaskRetention: s.config.StoppedTaskRetention},
		ResolveImage: func(r store.Reader, image string) (string, bool) { return out.ecr.Resolve(r, image) },
	})
	out.elbv2 = elbv2.New(elbv2.Deps{Store: s.store, Pages: pages, Log: s.log, Machine: ecs.MachineByInstanceID})
	out.ecr, err = ecr.New(ecr.Deps{
		Store: s.store, Pages: pages, Root: s.config.path("registry"), Key: key, InUse: s.inUse, Log: s.log,
		Endpoint: func() string { return "http://" + s.api.Addr().String() },
	})
	if err != nil {
		return nil, err
	}
	out.ec2 = s.newEC2(pages)
	out.acm = acm.New(acm.Deps{Store: s.store, Pages: pages, InUse: elbv2.CertificateUsers})
	out.cloudMap = servicediscovery.New(servicediscovery.Deps{Store: s.store, Pages: pages, Log: s.log, Machine: machineAddress, VPC: hasVPC})
	out.own = &ownService{s: s, backups: map[string]time.Time{}}
	if out.dispatch, err = s.newDispatch(out); err != nil {
		return nil, err
	}
	out.loop = reconcile.New(s.store, s.log, slices.Concat(out.ecs.Reconcilers(), out.elbv2.Reconcilers(), out.logs.Reconcilers(), out.ecr.Reconcilers(), out.cloudMap.Reconcilers(), out.ec2.Reconcilers())...)
	return out, nil
}
