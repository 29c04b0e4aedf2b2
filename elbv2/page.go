package elbv2

import (
	"berth/aws"
)

// mostListed is how many records a page has at most, and without PageSize. Source: the model, PageSize.
const mostListed = 400

// paged is one page of all, which is in order of place, and the marker of the next one, nil at the end. scope names the list and what
// selects it.
func paged[T any](s *Service, scope string, marker *string, size *int32, all []T, place func(T) string) (out []T, next *string, err error) {
	after := ""
	if marker != nil {
		if after, err = s.Pages.Open(scope, *marker); err != nil {
			return nil, nil, invalid("Marker '%s' is not valid", short(*marker))
		}
	}
	limit := mostListed
	if size != nil {
		limit = int(*size)
	}
	out = []T{}
	for _, v := range all {
		if marker != nil && place(v) <= after {
			continue
		}
		if len(out) == limit {
			return out, new(s.Pages.Seal(scope, place(out[limit-1]))), nil
		}
		out = append(out, v)
	}
	return out, nil, nil
}

// scopeOf begins the scope of a list of the caller.
func scopeOf(operation string, c aws.Caller) string {
	return operation + " " + c.Account + " " + c.Region + " "
}
