package servicediscovery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	api "berth/api/servicediscovery"
)

// condition is a filter of a list, whichever it is.
type condition struct {
	name   string
	op     api.FilterCondition
	values []string
}

// check refuses conditions that the filter does not have and numbers of values that do not fit.
func (c condition) check(allowed ...api.FilterCondition) error {
	if !slices.Contains(allowed, c.op) {
		return invalid("The condition %s is not supported for the filter %s.", c.op, c.name)
	}
	switch {
	case len(c.values) == 0:
		return invalid("The filter %s has no values.", c.name)
	case (c.op == api.FilterConditionEq || c.op == api.FilterConditionBeginsWith) && len(c.values) != 1:
		return invalid("The filter %s with the condition %s takes one value.", c.name, c.op)
	case c.op == api.FilterConditionBetween && len(c.values) != 2:
		return invalid("The filter %s with the condition BETWEEN takes a start and an end.", c.name)
	}
	return nil
}

// admits says whether a value meets the condition. BETWEEN has a check of its own.
func (c condition) admits(value string) bool {
	if c.op == api.FilterConditionBeginsWith {
		return strings.HasPrefix(value, c.values[0])
	}
	return slices.Contains(c.values, value)
}

func conditionOr(op api.FilterCondition) api.FilterCondition {
	if op == "" {
		return api.FilterConditionEq
	}
	return op
}

// owner checks a RESOURCE_OWNER filter and says whether it admits what the account has itself. Nothing is shared between accounts.
func (c condition) owner() (bool, error) {
	if err := c.check(api.FilterConditionEq); err != nil {
		return false, err
	}
	switch c.values[0] {
	case "SELF":
		return true, nil
	case "OTHER_ACCOUNTS":
		return false, nil
	}
	return false, invalid("The filter RESOURCE_OWNER takes SELF or OTHER_ACCOUNTS.")
}

// all joins checks; no checks admit everything.
func all[T any](checks []func(T) bool) func(T) bool {
	return func(v T) bool {
		return !slices.ContainsFunc(checks, func(ok func(T) bool) bool { return !ok(v) })
	}
}

func namespaceFilter(filters []api.NamespaceFilter) (func(Namespace) bool, error) {
	var checks []func(Namespace) bool
	for _, f := range filters {
		c := condition{string(f.Name), conditionOr(f.Condition), f.Values}
		if f.Name == api.NamespaceFilterNameResourceOwner {
			own, err := c.owner()
			if err != nil {
				return nil, err
			}
			checks = append(checks, func(Namespace) bool { return own })
			continue
		}
		if err := c.check(api.FilterConditionEq, api.FilterConditionBeginsWith); err != nil {
			return nil, err
		}
		checks = append(checks, func(n Namespace) bool {
			switch f.Name {
			case api.NamespaceFilterNameType:
				return c.admits(string(n.Type))
			case api.NamespaceFilterNameName:
				return c.admits(n.Name)
			}
			return c.admits(n.HTTPName)
		})
	}
	return all(checks), nil
}

func serviceFilter(place string, filters []api.ServiceFilter) (func(ServiceRecord) bool, error) {
	var checks []func(ServiceRecord) bool
	for _, f := range filters {
		c := condition{string(f.Name), conditionOr(f.Condition), f.Values}
		if f.Name == api.ServiceFilterNameResourceOwner {
			own, err := c.owner()
			if err != nil {
				return nil, err
			}
			checks = append(checks, func(ServiceRecord) bool { return own })
			continue
		}
		if err := c.check(api.FilterConditionEq); err != nil {
			return nil, err
		}
		namespace := keyOf(place, "namespace", c.values[0])
		checks = append(checks, func(v ServiceRecord) bool { return v.NamespaceKey() == namespace })
	}
	return all(checks), nil
}

func operationFilter(filters []api.OperationFilter) (func(Operation) bool, error) {
	var checks []func(Operation) bool
	for _, f := range filters {
		c := condition{string(f.Name), conditionOr(f.Condition), f.Values}
		check, err := operationCheck(f.Name, c)
		if err != nil {
			return nil, err
		}
		checks = append(checks, check)
	}
	return all(checks), nil
}

func operationCheck(name api.OperationFilterName, c condition) (func(Operation) bool, error) {
	switch name {
	case api.OperationFilterNameUpdateDate:
		return dateCheck(c)
	case api.OperationFilterNameNamespaceID, api.OperationFilterNameServiceID:
		kind := map[api.OperationFilterName]string{api.OperationFilterNameNamespaceID: targetNamespace, api.OperationFilterNameServiceID: targetService}[name]
		return func(o Operation) bool { return c.admits(o.Targets[kind]) }, c.check(api.FilterConditionEq)
	case api.OperationFilterNameType:
		return func(o Operation) bool { return c.admits(string(o.Type)) }, c.check(api.FilterConditionEq, api.FilterConditionIn)
	}
	// The status is spelled SUCCESS in answers; the description of the filter has SUCCEED.
	return func(Operation) bool { return c.admits("SUCCESS") || c.admits("SUCCEED") }, c.check(api.FilterConditionEq, api.FilterConditionIn)
}

func dateCheck(c condition) (func(Operation) bool, error) {
	if err := c.check(api.FilterConditionBetween); err != nil {
		return nil, err
	}
	var limits [2]int64
	for i, text := range c.values {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 0 || seconds > 1<<40 {
			return nil, invalid("The filter UPDATE_DATE takes seconds since 1970-01-01 UTC, not %q.", text)
		}
		limits[i] = seconds * 1000
	}
	return func(o Operation) bool { return o.At >= limits[0] && o.At <= limits[1] }, nil
}

// scopeOf makes a page token good for the same filters only.
func scopeOf[T api.NamespaceFilter | api.ServiceFilter | api.OperationFilter](filters []T) string {
	var b strings.Builder
	for _, f := range filters {
		switch f := any(f).(type) {
		case api.NamespaceFilter:
			fmt.Fprintf(&b, "%s %s %q ", f.Name, f.Condition, f.Values)
		case api.ServiceFilter:
			fmt.Fprintf(&b, "%s %s %q ", f.Name, f.Condition, f.Values)
		case api.OperationFilter:
			fmt.Fprintf(&b, "%s %s %q ", f.Name, f.Condition, f.Values)
		}
	}
	return b.String()
}
