package ecs

import (
	api "berth/api/ecs"
)

// checkDefinitionSupport refuses what ECS has and Berth does not act on. What is refused here stands in the tables
// of coverage.go; a field that is in neither place is acted on.
func checkDefinitionSupport(in *api.RegisterTaskDefinitionRequest) error {
	switch {
	case in.ProxyConfiguration != nil:
		return notYet("proxyConfiguration (App Mesh)")
	case value(in.EnableFaultInjection):
		return notYet("enableFaultInjection")
	case in.EphemeralStorage != nil:
		if n := value(in.EphemeralStorage.SizeInGiB); n < 21 || n > 200 {
			return clientError("Ephemeral storage size must be between 21 and 200 GiB.")
		}
	}
	for i := range in.ContainerDefinitions {
		if err := checkContainerSupport(&in.ContainerDefinitions[i], value(in.ExecutionRoleArn) != ""); err != nil {
			return err
		}
	}
	return nil
}

func checkContainerSupport(c *api.ContainerDefinition, executionRole bool) error {
	of := " (container '" + *c.Name + "')"
	if len(c.Secrets) > 0 && !executionRole {
		return clientError("When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
	}
	switch {
	case len(c.Secrets) > 0:
		return notYet("secrets" + of)
	case c.LogConfiguration != nil && len(c.LogConfiguration.SecretOptions) > 0:
		return notYet("logConfiguration.secretOptions" + of)
	case len(c.EnvironmentFiles) > 0:
		return notYet("environmentFiles" + of)
	case c.RepositoryCredentials != nil:
		return notYet("repositoryCredentials" + of)
	case c.FirelensConfiguration != nil:
		return notYet("firelensConfiguration" + of)
	case len(c.CredentialSpecs) > 0:
		return notYet("credentialSpecs" + of)
	}
	for _, r := range c.ResourceRequirements {
		if r.Type == api.ResourceTypeInferenceAccelerator {
			return notYet("resourceRequirements of type InferenceAccelerator" + of)
		}
	}
	return nil
}
