package placement

import (
	"fmt"
	"slices"
	"strings"
)

// Launch types that placement applies to.
const (
	LaunchTypeEC2      = "EC2"
	LaunchTypeExternal = "EXTERNAL"
)

// Task is one task to place. Tasks that differ in nothing but their identity are equal to placement.
type Task struct {
	// Group is what spread and distinctInstance count by: "service:web", "family:job", or the task's own group.
	Group      string
	LaunchType string // LaunchTypeEC2, LaunchTypeExternal, or empty for either
	Needs      Resources
	// Requires are attributes that the instance must have; with a value, that value.
	Requires []Attribute
	// Zones, if not empty, are the availability zones that the instance may be in.
	Zones []string
	// Constraints must all hold.
	Constraints []Constraint
}

// Attribute is a name with an optional value.
type Attribute struct {
	Name, Value string
}

// Types of strategies and constraints, as the API spells them.
const (
	TypeSpread           = "spread"
	TypeBinpack          = "binpack"
	TypeRandom           = "random"
	TypeDistinctInstance = "distinctInstance"
	TypeMemberOf         = "memberOf"
)

// Fields of strategies, as the API shows them.
const (
	FieldCPU        = "CPU"
	FieldMemory     = "MEMORY"
	FieldInstanceID = "instanceId"
)

const attributePrefix = "attribute:"

// Strategy prefers some instances over others. Make it with NewStrategy.
type Strategy struct {
	Type  string
	Field string // FieldCPU, FieldMemory, FieldInstanceID or "attribute:<name>"; empty for random
}

// NewStrategy checks a strategy and brings its field into the form that the API shows.
// The error's text is for the user.
func NewStrategy(typ, field string) (Strategy, error) {
	s := Strategy{Type: typ, Field: field}
	switch typ {
	case TypeRandom:
		if field != "" {
			return Strategy{}, fmt.Errorf("Invalid field for random strategy: %s", field) //nolint:staticcheck // shown as it is
		}
		return s, nil
	case TypeBinpack:
		switch {
		case strings.EqualFold(field, FieldCPU):
			s.Field = FieldCPU
		case strings.EqualFold(field, FieldMemory):
			s.Field = FieldMemory
		default:
			return Strategy{}, fmt.Errorf("Invalid field for binpack strategy: %s", field) //nolint:staticcheck // shown as it is
		}
		return s, nil
	case TypeSpread:
		switch {
		case field == "host" || strings.EqualFold(field, FieldInstanceID):
			s.Field = FieldInstanceID
		case strings.HasPrefix(field, attributePrefix) && len(field) > len(attributePrefix):
		default:
			return Strategy{}, fmt.Errorf("Invalid field for spread strategy: %s", field) //nolint:staticcheck // shown as it is
		}
		return s, nil
	}
	return Strategy{}, fmt.Errorf("Invalid placement strategy type: %s", typ) //nolint:staticcheck // shown as it is
}

// Constraint is a condition on instances. Make it with NewConstraint.
type Constraint struct {
	Type string
	expr *Expression // memberOf
}

// MaxExpression is the longest expression of a memberOf constraint, in characters.
const MaxExpression = 2000

// NewConstraint checks a constraint and compiles its expression. The error's text is for the user.
func NewConstraint(typ, expression string) (Constraint, error) {
	switch typ {
	case TypeDistinctInstance:
		if expression != "" {
			return Constraint{}, fmt.Errorf("Expression is not allowed for distinctInstance placement constraint.") //nolint:staticcheck // shown as it is
		}
		return Constraint{Type: typ}, nil
	case TypeMemberOf:
		expr, err := Compile(expression)
		if err != nil {
			return Constraint{}, err
		}
		return Constraint{Type: typ, expr: expr}, nil
	}
	return Constraint{}, fmt.Errorf("Invalid placement constraint type: %s", typ) //nolint:staticcheck // shown as it is
}

// Expression is the text of a memberOf constraint.
func (c Constraint) Expression() string {
	if c.expr == nil {
		return ""
	}
	return c.expr.text
}

// CountsRunning tells whether a constraint of the task looks at Instance.Running.
func (t *Task) CountsRunning() bool {
	return slices.ContainsFunc(t.Constraints, func(c Constraint) bool { return c.expr != nil && c.expr.counts })
}
