package ecs

import (
	"slices"
	"strings"

	api "berth/api/ecs"
)

// linkTarget is the container that a link "container[:alias]" names.
func linkTarget(link string) string {
	name, _, _ := strings.Cut(link, ":")
	return name
}

// checkDependencies checks dependsOn, links and volumesFrom: names exist, conditions fit, nothing waits for itself.
func checkDependencies(in *api.RegisterTaskDefinitionRequest) error {
	byName := map[string]*api.ContainerDefinition{}
	for i := range in.ContainerDefinitions {
		byName[*in.ContainerDefinitions[i].Name] = &in.ContainerDefinitions[i]
	}
	edges := map[string][]string{}
	for i := range in.ContainerDefinitions {
		c := &in.ContainerDefinitions[i]
		for _, d := range c.DependsOn {
			if err := checkDependsOn(c, d, byName); err != nil {
				return err
			}
			edges[*c.Name] = append(edges[*c.Name], *d.ContainerName)
		}
		for _, l := range c.Links {
			if byName[linkTarget(l)] == nil {
				return settingError(*c.Name, "Link '%s' names an unknown container.", l)
			}
			edges[*c.Name] = append(edges[*c.Name], linkTarget(l))
		}
		for _, v := range c.VolumesFrom {
			if byName[value(v.SourceContainer)] == nil {
				return clientError("Container.volumesFrom names an unknown container '%s'.", value(v.SourceContainer))
			}
			edges[*c.Name] = append(edges[*c.Name], *v.SourceContainer)
		}
	}
	if cycle := findCycle(in.ContainerDefinitions, edges); cycle != nil {
		return clientError("Container dependency graph has a cycle: %s.", strings.Join(cycle, " -> "))
	}
	return nil
}

func checkDependsOn(c *api.ContainerDefinition, d api.ContainerDependency, byName map[string]*api.ContainerDefinition) error {
	if value(d.ContainerName) == "" || d.Condition == "" {
		return settingError(*c.Name, "A container dependency needs containerName and condition.")
	}
	if err := checkEnum("dependsOn.condition", d.Condition); err != nil {
		return err
	}
	on := byName[*d.ContainerName]
	switch {
	case on == nil:
		return settingError(*c.Name, "Container dependency names an unknown container '%s'.", *d.ContainerName)
	case on == c:
		return settingError(*c.Name, "A container can't depend on itself.")
	case isEssential(on) && (d.Condition == api.ContainerConditionSuccess || d.Condition == api.ContainerConditionComplete):
		return clientError("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
	case d.Condition == api.ContainerConditionHealthy && !hasHealthCheck(on):
		return settingError(*c.Name, "Container dependency '%s' with condition HEALTHY has no health check.", *d.ContainerName)
	}
	return nil
}

func hasHealthCheck(c *api.ContainerDefinition) bool {
	return c.HealthCheck != nil && len(c.HealthCheck.Command) > 0 && c.HealthCheck.Command[0] != "NONE"
}

// findCycle returns the names along a cycle, the first repeated at the end, or nil.
func findCycle(containers []api.ContainerDefinition, edges map[string][]string) []string {
	done := map[string]bool{}
	var path []string
	var visit func(name string) []string
	visit = func(name string) []string {
		if i := slices.Index(path, name); i >= 0 {
			return append(slices.Clone(path[i:]), name)
		}
		if done[name] {
			return nil
		}
		path = append(path, name)
		for _, next := range edges[name] {
			if cycle := visit(next); cycle != nil {
				return cycle
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		return nil
	}
	for i := range containers {
		if cycle := visit(*containers[i].Name); cycle != nil {
			return cycle
		}
	}
	return nil
}
