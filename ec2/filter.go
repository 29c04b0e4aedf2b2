package ec2

import (
	"slices"
	"strconv"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
)

// filters are the filters of one Describe operation: by name, the values that a T has. A filter matches a T if one of the
// filter's values, in which * and ? stand for any text and any character, matches one of the T's values.
// Filters for what Berth has not (IPv6, carriers, outposts) are there and match nothing.
type filters[T any] map[string]func(T) []string

// Limits of filters. Source: EC2 user guide, "List and filter your resources".
const (
	mostFilters      = 50
	mostFilterValues = 200
)

// keep leaves the items that match every filter. tags may be nil: then there are no filters by tag.
func (f filters[T]) keep(items []T, want []api.Filter, tags func(T) []api.Tag) ([]T, error) {
	values := 0
	for _, w := range want {
		has, err := f.named(aws.Value(w.Name), tags)
		if err != nil {
			return nil, err
		}
		if values += len(w.Values); values > mostFilterValues || len(want) > mostFilters {
			return nil, aws.Errorf("FilterLimitExceeded", "The maximum number of filters is %d, of filter values %d.", mostFilters, mostFilterValues)
		}
		items = slices.DeleteFunc(slices.Clone(items), func(item T) bool {
			return !slices.ContainsFunc(has(item), func(v string) bool {
				return slices.ContainsFunc(w.Values, func(pattern string) bool { return matches(pattern, v) })
			})
		})
	}
	return items, nil
}

// named finds what a filter looks at.
func (f filters[T]) named(name string, tags func(T) []api.Tag) (func(T) []string, error) {
	if has, ok := f[name]; ok {
		return has, nil
	}
	tagKey, byTag := strings.CutPrefix(name, "tag:")
	if tags == nil || !byTag && name != "tag-key" && name != "tag-value" {
		return nil, aws.Errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
	}
	return func(item T) (out []string) {
		for _, t := range tags(item) {
			switch {
			case byTag && *t.Key == tagKey, name == "tag-value":
				out = append(out, *t.Value)
			case name == "tag-key":
				out = append(out, *t.Key)
			}
		}
		return out
	}, nil
}

// matches compares a value with a pattern in which * is any text and ? any character; \ takes a following one as it is.
func matches(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	back, from := -1, 0 // where to go on when the text that a * stands for must be longer
	for i, j := 0, 0; ; {
		switch {
		case i < len(p) && p[i] == '*':
			i++
			back, from = i, j
			continue
		case i < len(p) && j < len(v):
			width, want := 1, p[i]
			if want == '\\' && i+1 < len(p) {
				width, want = 2, p[i+1]
			}
			if want == v[j] || width == 1 && want == '?' {
				i, j = i+width, j+1
				continue
			}
		case i == len(p) && j == len(v):
			return true
		}
		if back < 0 || from >= len(v) {
			return false
		}
		from++
		i, j = back, from
	}
}

// none is for filters by what Berth has not.
func none[T any](T) []string { return nil }

func text(s *string) []string {
	if s == nil {
		return nil
	}
	return []string{*s}
}

func flag(b *bool) []string {
	if b == nil {
		return nil
	}
	return []string{strconv.FormatBool(*b)}
}

func number(n *int32) []string {
	if n == nil {
		return nil
	}
	return []string{strconv.Itoa(int(*n))}
}

// each gathers the values of the members of a list.
func each[E any](list []E, values func(E) []string) (out []string) {
	for _, e := range list {
		out = append(out, values(e)...)
	}
	return out
}
