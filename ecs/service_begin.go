package ecs

import (
	api "berth/api/ecs"
	"berth/ecs/rollout"
	"berth/store"
)

// begin decides what a new deployment replaces, which target groups it uses and, if it shifts traffic, in which stage it begins.
// made.Balancers are those that the user gave.
func (v *ServiceRecord) begin(tx *store.Tx, made *Deployment, now Millis) {
	current, _ := Deployments.Get(tx, v.deploymentKey(v.Current))
	interrupted := current.Life != nil && current.under()
	if interrupted && !current.Life.Back && current.Life.Stage == rollout.CleanUp {
		// Only tasks of the old revision are left to stop: this one has been found good.
		current.Status, current.Finished, current.Updated = api.ServiceDeploymentStatusSuccessful, now, now
		current.State, current.Reason = RolloutCompleted, "ECS deployment "+deploymentPrefix+current.Number+" completed."
		v.Completed = current.Number
		Deployments.Put(tx, current)
	}
	source, found := v.source(tx, current)
	made.Alternate = usesAlternate(tx, made.Balancers, source, shifts(made.Config.Strategy))
	if made.Alternate {
		made.Balancers = exchanged(made.Balancers)
	}
	if !shifts(made.Config.Strategy) {
		if interrupted && found && source.Number != current.Number {
			current.forward(tx, productionRule, 0)
			current.forward(tx, testRule, 0)
		}
		return
	}
	others := false
	for d := range Deployments.By(tx, byDeploymentLive, v.Key()) {
		others = others || !found || d.Number != source.Number
	}
	if made.Sources = nil; found {
		made.Blue = source.Number
	}
	for d := range Deployments.By(tx, byDeploymentLive, v.Key()) {
		if d.Number == made.Blue {
			made.Sources = append([]string{d.Number}, made.Sources...)
		} else {
			made.Sources = append(made.Sources, d.Number)
		}
	}
	made.Life = new(rollout.Begin(now.Time(), others))
}

// source is the deployment that a new one replaces: the one that was last completed or, without any, one that has all the traffic or
// is a rolling one.
func (v *ServiceRecord) source(r store.Reader, current Deployment) (Deployment, bool) {
	if d, ok := Deployments.Get(r, v.deploymentKey(v.Completed)); ok && v.Completed != "" && !d.Gone {
		return d, true
	}
	primary, ok := Deployments.Get(r, v.deploymentKey(v.Primary))
	switch {
	case !ok || v.Primary == "" || primary.Gone:
	case primary.Life == nil:
		return primary, true
	case primary.Life.Production == rollout.All && current.Number == primary.Number && !primary.Life.Back:
		return primary, true
	}
	return Deployment{}, false
}

// usesAlternate says whether a new deployment with the load balancers uses their alternate target groups: one that shifts
// traffic uses those that its predecessor does not, others stay in those that get traffic.
func usesAlternate(r store.Reader, balancers []api.LoadBalancer, source Deployment, shifting bool) bool {
	for _, b := range balancers {
		a := b.AdvancedConfiguration
		if a == nil {
			continue
		}
		for _, old := range source.Balancers {
			switch value(old.TargetGroupArn) {
			case *b.TargetGroupArn:
				return shifting
			case value(a.AlternateTargetGroupArn):
				return !shifting
			}
		}
		groups, _ := serving(r, productionRule(a))
		return len(groups) == 1 && groups[0] == value(a.AlternateTargetGroupArn)
	}
	return false
}
