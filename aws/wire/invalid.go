package wire

import (
	"slices"
	"strings"
	"unicode"

	"berth/aws"
)

// invalid words broken constraints as the service does: code from the model, text in the service's manner.
func invalid(api *aws.API, op *aws.Operation, e *aws.Invalid) *aws.Error {
	first := e.Violations[0]
	switch {
	case api.Protocol == aws.EC2 && first.Kind == aws.Missing:
		return aws.Errorf("MissingParameter", "The request must contain the parameter %s", first.Path)
	case api.Protocol == aws.EC2:
		return aws.Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", first.Value, first.Path, first.Rule)
	case api.Protocol == aws.Query:
		return &aws.Error{Code: "ValidationError", Message: e.Error()}
	case api.Name == "ecs" && first.Kind == aws.Missing:
		return aws.Errorf("InvalidParameterException", "%s cannot be empty.", words(first.Path))
	case api.Name == "ecs" && first.Kind == aws.Enum:
		return aws.Errorf("InvalidParameterException", "%s is not a valid value for %s. %s.", first.Value, first.Path, first.Rule)
	case api.Name == "ecr":
		return aws.Errorf("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", first.Path, strings.TrimPrefix(first.Rule, "Member "))
	}
	for _, code := range []string{"ValidationException", "InvalidParameterException"} {
		if slices.Contains(op.Errors, code) || api.Has(code) && !slices.Contains(op.Errors, "InvalidParameterException") {
			return &aws.Error{Code: code, Message: e.Error()}
		}
	}
	return &aws.Error{Code: "ValidationException", Message: e.Error()}
}

// words spells the last name of a path: containerInstances becomes Container Instances.
func words(path string) string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	var b strings.Builder
	for i, r := range name {
		if i == 0 {
			r = unicode.ToUpper(r)
		} else if unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
