package ecs

import (
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/elbv2"
	"berth/store"
)

// checkAdvanced checks load balancers against the deployment strategy and the listeners and rules that they name.
func checkAdvanced(r store.Reader, strategy api.DeploymentStrategy, balancers []api.LoadBalancer, d TaskDefinition) error {
	with := 0
	for _, b := range balancers {
		if b.AdvancedConfiguration != nil {
			with++
		}
	}
	switch {
	case len(balancers) == 0 && shifts(strategy) && strategy != api.DeploymentStrategyBlueGreen:
		return invalid("The deployment strategy %s needs loadBalancers with advancedConfiguration.", strategy)
	case with == 0 && len(balancers) > 0 && shifts(strategy):
		return invalid("advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy")
	case with > 0 && with < len(balancers):
		return invalid("Either all or none of the provided loadBalancers must have advancedConfiguration defined")
	case with == 0:
		return nil
	}
	if err := checkDistinct(balancers); err != nil {
		return err
	}
	for _, b := range balancers {
		if err := checkRules(r, strategy, b, d); err != nil {
			return err
		}
	}
	return checkGroups(r, exchanged(balancers), d)
}

// checkDistinct makes sure that no target group is used twice, and no rule for production and test.
func checkDistinct(balancers []api.LoadBalancer) error {
	seen, production := map[string]bool{}, map[string]bool{}
	for _, b := range balancers {
		a := b.AdvancedConfiguration
		switch {
		case value(a.AlternateTargetGroupArn) == "":
			return invalid("alternateTargetGroupArn can not be blank.")
		case value(a.ProductionListenerRule) == "":
			return invalid("productionListenerRule can not be blank.")
		}
		for _, arn := range []string{*b.TargetGroupArn, *a.AlternateTargetGroupArn} {
			if seen[arn] {
				return invalid("Duplicate targetGroupArn found: %s", arn)
			}
			seen[arn] = true
		}
		production[*a.ProductionListenerRule] = true
	}
	var both []string
	for _, b := range balancers {
		if rule := testRule(b.AdvancedConfiguration); production[rule] {
			both = append(both, rule)
		}
	}
	if len(both) > 0 {
		return invalid("The following rules cannot be used as both production and test listener rules: %s", strings.Join(both, ", "))
	}
	return nil
}

// checkRules checks the rules of one entry, which deployments change: they must be of the definition's account and region. Those that there are
// not are found when deployments begin.
func checkRules(r store.Reader, strategy api.DeploymentStrategy, b api.LoadBalancer, d TaskDefinition) error {
	a := b.AdvancedConfiguration
	network := strings.Contains(productionRule(a), ":listener/net/")
	for _, rule := range []string{productionRule(a), testRule(a)} {
		if rule != "" && !strings.Contains(rule, ":listener-rule/app/") && !strings.Contains(rule, ":listener/net/") {
			return invalid("%s is neither the ARN of a listener rule of an Application Load Balancer nor that of a listener of a Network Load Balancer.", rule)
		}
		if arn := aws.ARN(rule); rule != "" && (arn.Account() != d.Account || arn.Region() != d.Region) {
			return invalid("%s is not in the account and region of the service.", rule)
		}
	}
	if network {
		if shifts(strategy) && strategy != api.DeploymentStrategyBlueGreen {
			return invalid("Network Load Balancers are not supported with the deployment strategy %s.", strategy)
		}
		return nil
	}
	shares, ok := elbv2.Shares(r, productionRule(a))
	if !ok || testRule(a) != "" {
		return nil
	}
	for _, arn := range []string{*b.TargetGroupArn, *a.AlternateTargetGroupArn} {
		if !slices.ContainsFunc(shares, func(s elbv2.Share) bool { return s.Group == arn }) {
			return invalid("For Application LoadBalancer, testListenerRule is required when productionListenerRule is not associated with both targetGroup and alternateTargetGroup")
		}
	}
	return nil
}
