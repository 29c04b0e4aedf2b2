package ecs

import "berth/aws"

// Error codes of the ECS model.
const (
	codeClient           = "ClientException"
	codeInvalidParameter = "InvalidParameterException"
	codeClusterNotFound  = "ClusterNotFoundException"
	codeUnsupported      = "UnsupportedFeatureException"
	codeConflict         = "ConflictException"
	codeLimitExceeded    = "LimitExceededException"
	codeNotFound         = "ResourceNotFoundException"
	codeServiceNotFound  = "ServiceNotFoundException"
	codeServiceNotActive = "ServiceNotActiveException"
)

func clientError(format string, args ...any) *aws.Error {
	return aws.Errorf(codeClient, format, args...)
}

func invalid(format string, args ...any) *aws.Error {
	return aws.Errorf(codeInvalidParameter, format, args...)
}

// notYet refuses what ECS has and Berth does not act on. The text names the member and says so.
func notYet(what string) *aws.Error {
	return clientError("%s is not supported by this Berth yet.", what)
}

// Failure reasons and messages used in several places.
const (
	reasonMissing            = "MISSING"
	reasonInactive           = "INACTIVE"
	msgClusterNotFound       = "Cluster not found."
	msgClusterInactive       = "The referenced cluster was inactive."
	msgDefinitionNotFound    = "TaskDefinition not found."
	msgDefinitionInactive    = "TaskDefinition is inactive"
	msgDefinitionUndescribed = "Unable to describe task definition."
	msgTaskNotFound          = "The referenced task was not found."
)

// Invalid is for wire.Service: it leaves what the handlers check themselves, with ECS's own texts, to them. Those are
// required members, enums, lengths and ranges. Patterns (of tags) are checked by the model alone.
func Invalid(_ string, broken []aws.Violation) error {
	for _, v := range broken {
		if v.Kind == aws.Mismatch {
			return invalid("%s", (&aws.Invalid{Violations: []aws.Violation{v}}).Error())
		}
	}
	return nil
}
