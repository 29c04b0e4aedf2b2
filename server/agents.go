package server

import (
	"context"
	"fmt"
	"time"

	"berth/aws"
	"berth/dispatch"
	"berth/ecs"
	"berth/store"
)

// The token for an agent on this machine is made anew at every start. It always gives the same identity, so an agent
// that lost its certificate is still the same machine.
const (
	localMachine   = "local"
	localTokenLife = time.Hour
	localTokenUses = 100
	defaultCluster = "default"
)

// newDispatch makes the agents' end of the control plane.
func (s *Server) newDispatch(of *services) (*dispatch.Server, error) {
	authority, err := dispatch.OpenAuthority(s.config.path("ca"), time.Now())
	if err != nil {
		return nil, err
	}
	return dispatch.New(dispatch.Config{
		Store: s.store, ECS: of.ecs, Authority: authority, Tokens: dispatch.Tokens{Store: s.store, Authority: authority},
		Logs: of.logs.Agents(), Metrics: of.samples, Registry: of.ecr.PullHandler(), RegistryHost: of.ecr.Host, Heartbeat: s.config.Heartbeat, Log: s.log,
	}), nil
}

func (s *Server) createToken(ctx context.Context, c aws.Caller, cluster string, life time.Duration, uses int) (string, time.Time, error) {
	if cluster == "" {
		cluster = defaultCluster
	}
	who := ecs.Machine{Account: c.Account, Region: c.Region, Cluster: cluster}
	token, expires, err := s.dispatch.Tokens.Create(ctx, who, life, uses, time.Now())
	return string(token), expires, err
}

// writeLocalToken lets an agent on this machine join without anyone's help.
func (s *Server) writeLocalToken(ctx context.Context) error {
	if s.config.LocalTokenFile == "" {
		return nil
	}
	cluster := s.config.LocalCluster
	if cluster == "" {
		cluster = defaultCluster
	}
	who := ecs.Machine{Account: s.config.Account, Region: s.config.Region, Cluster: cluster}
	who.ID = localID(s.store.Read(), who)
	token, _, err := s.dispatch.Tokens.Create(ctx, who, localTokenLife, localTokenUses, time.Now())
	if err != nil {
		return err
	}
	return writeFile(s.config.LocalTokenFile, []byte(string(token)))
}

// localID is the identity for an agent on this machine: always the same one, until its instance was deregistered.
func localID(r store.Reader, who ecs.Machine) string {
	refused := map[string]bool{}
	for c := range ecs.ContainerInstances.Prefix(r, who.Account+"/"+who.Region+"/") {
		if c.Status == ecs.InstanceInactive {
			refused[c.Machine] = true
		}
	}
	id := localMachine
	for n := 2; refused[id]; n++ {
		id = fmt.Sprintf("%s-%d", localMachine, n)
	}
	return id
}
