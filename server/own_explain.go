package server

import (
	"context"
	"errors"
	"strings"

	own "berth/api/berth"
	"berth/aws"
	"berth/ecs"
	"berth/elbv2"
)

// Explain says why something is as it is: of a task, a task definition or a cluster, which machines take it; of a service or a deployment,
// what keeps it from being steady; of a load balancer, who serves it and what is in the way; of a target, how its last health check was answered.
func (o *ownService) Explain(ctx context.Context, in *own.ExplainRequest) (*own.ExplainResponse, error) {
	var missing error
	for _, explain := range []func(context.Context, *own.ExplainRequest) (*own.ExplainResponse, error){
		o.explainService, o.explainBalancer, o.explainTargets, o.explainPlacement,
	} {
		out, err := explain(ctx, in)
		if err == nil || !notFound(err) {
			return out, err
		}
		missing = err
	}
	if in.Subject == "" {
		return nil, missing
	}
	return nil, aws.Errorf("ResourceNotFoundException", "No task, service, deployment, load balancer, target, task definition or cluster is named %s.", in.Subject)
}

// errNotMine says that a subject is of another kind.
var errNotMine = errors.New("not of this kind")

func notFound(err error) bool {
	e, ok := errors.AsType[*aws.Error](err)
	return errors.Is(err, errNotMine) || ok && strings.HasSuffix(e.Code, "NotFoundException")
}

func (o *ownService) explainService(ctx context.Context, in *own.ExplainRequest) (*own.ExplainResponse, error) {
	if in.Subject == "" {
		return nil, errNotMine
	}
	why, err := o.s.ecs.WhyService(ctx, in.Cluster, in.Subject)
	if err != nil {
		return nil, err
	}
	out := &own.ExplainResponse{Subject: why.Service, Summary: why.Summary, Reasons: why.Reasons, Machines: machineShapes(why.Machines)}
	for _, t := range why.Tasks {
		out.Targets = append(out.Targets, targetShapes(t.Targets)...)
	}
	return out, nil
}

func (o *ownService) explainBalancer(ctx context.Context, in *own.ExplainRequest) (*own.ExplainResponse, error) {
	r := o.s.store.Read()
	lb, ok := findBalancer(r, aws.CallerFrom(ctx), in.Subject)
	if !ok {
		return nil, errNotMine
	}
	why := elbv2.Why(r, lb)
	out := &own.ExplainResponse{Subject: lb.ARN().String(), Summary: why.Summary, Reasons: why.Reasons, Addresses: addressesOf(r, lb, nil)}
	for _, group := range why.Groups {
		targets, err := o.s.ecs.WhyTarget(ctx, group, "")
		if err != nil && !notFound(err) {
			return nil, err
		}
		out.Targets = append(out.Targets, targetShapes(targets)...)
	}
	return out, nil
}

// explainTargets takes GROUP, GROUP/TARGET and TARGET; a group is a name or an ARN.
func (o *ownService) explainTargets(ctx context.Context, in *own.ExplainRequest) (*own.ExplainResponse, error) {
	group, target := in.Subject, ""
	if at := strings.LastIndexByte(group, '/'); at >= 0 && strings.Contains(group[at:], ":") && !aws.IsARN(group[at+1:]) {
		group, target = group[:at], group[at+1:]
	}
	if group == "" {
		return nil, errNotMine
	}
	targets, err := o.s.ecs.WhyTarget(ctx, group, target)
	if notFound(err) && target == "" && strings.Contains(group, ":") && !aws.IsARN(group) {
		targets, err = o.s.ecs.WhyTarget(ctx, "", group)
	}
	if err != nil {
		return nil, err
	}
	out := &own.ExplainResponse{Subject: in.Subject, Targets: targetShapes(targets), Summary: "target group " + group + " has no targets"}
	if len(targets) > 0 {
		out.Subject, out.Summary = targets[0].Group, targets[0].Summary
	}
	return out, nil
}

func (o *ownService) explainPlacement(ctx context.Context, in *own.ExplainRequest) (*own.ExplainResponse, error) {
	why, err := o.s.ecs.Why(ctx, in.Cluster, in.Subject)
	if err != nil {
		return nil, err
	}
	out := &own.ExplainResponse{Subject: why.Subject, Summary: why.Summary, Machines: machineShapes(why.Machines)}
	if why.Task != nil {
		for _, step := range o.s.dispatch.Steps(why.Task.InstanceKey(), why.Task.ARN().String()) {
			out.Steps = append(out.Steps, own.ExplainStep(step))
		}
	}
	return out, nil
}

func machineShapes(machines []ecs.WhyMachine) (out []own.ExplainMachine) {
	for _, m := range machines {
		out = append(out, own.ExplainMachine(m))
	}
	return out
}
