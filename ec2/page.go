package ec2

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
)

// listing is what Describe operations have in common.
type listing[T any] struct {
	operation string
	id        func(T) string
	order     func(T) string // sorts, and is unique; nil means the ID
	tags      func(T) []api.Tag
	filters   filters[T]
	missing   func(id string) *aws.Error // the error for an ID that is not there
}

// query is what a Describe operation is asked for.
type query struct {
	ids     []string
	filters []api.Filter
	max     *int32 // nil means mostResults
	token   *string
	dryRun  *bool
}

// mostResults is the size of a page that has no size given. Source: EC2 API reference, MaxResults.
const mostResults = 1000

// page leaves of all what was asked for, sorted, and the token of the next page; nil if there is none.
func (l listing[T]) page(ctx context.Context, s *Service, q query, all []T) ([]T, *string, error) {
	items, err := l.pick(all, q.ids)
	if err != nil {
		return nil, nil, err
	}
	if items, err = l.filters.keep(items, q.filters, l.tags); err != nil {
		return nil, nil, err
	}
	if err := dryRun(q.dryRun); err != nil {
		return nil, nil, err
	}
	order := l.order
	if order == nil {
		order = l.id
	}
	items = slices.SortedFunc(slices.Values(items), func(a, b T) int { return strings.Compare(order(a), order(b)) })
	scope := q.scope(ctx, l.operation)
	if aws.Value(q.token) != "" {
		after, err := s.Pages.Open(scope, *q.token)
		if err != nil {
			return nil, nil, aws.Errorf("InvalidNextToken", "The token '%s' is invalid", *q.token)
		}
		items = slices.DeleteFunc(items, func(item T) bool { return order(item) <= after })
	}
	size := mostResults
	if q.max != nil {
		size = int(*q.max)
	}
	if size < 1 || size >= len(items) {
		return append([]T{}, items...), nil, nil
	}
	return items[:size], new(s.Pages.Seal(scope, order(items[size-1]))), nil
}

// pick leaves the items with the IDs, or all where none are given.
func (l listing[T]) pick(all []T, ids []string) ([]T, error) {
	if len(ids) == 0 {
		return all, nil
	}
	var out []T
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		i := slices.IndexFunc(all, func(item T) bool { return l.id(item) == id })
		if i < 0 {
			return nil, l.missing(id)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// scope binds a token to everything that decides what a list has.
func (q query) scope(ctx context.Context, operation string) string {
	c := aws.CallerFrom(ctx)
	var b strings.Builder
	fmt.Fprintf(&b, "ec2 %s %s %s %q", c.Account, c.Region, operation, q.ids)
	for _, f := range q.filters {
		fmt.Fprintf(&b, " %q=%q", aws.Value(f.Name), f.Values)
	}
	return b.String()
}

// dryRun is the answer to a request that is only to be checked, once it is.
func dryRun(asked *bool) error {
	if !aws.Value(asked) {
		return nil
	}
	return &aws.Error{
		Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set.", Status: http.StatusPreconditionFailed,
	}
}
