package elbv2

import (
	"context"
	"maps"
	"slices"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

const (
	maxTags        = 50
	reservedPrefix = "aws:"
)

// newTags checks the tags of a request. The model has checked lengths and characters. nil if there are none.
func newTags(tags []api.Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		key := *t.Key
		if len(key) >= len(reservedPrefix) && strings.EqualFold(key[:len(reservedPrefix)], reservedPrefix) {
			return nil, invalid("Tag keys that begin with aws: are reserved: '%s'", key)
		}
		if _, twice := out[key]; twice {
			return nil, aws.Errorf("DuplicateTagKeys", "Tag key '%s' is specified more than once", key)
		}
		out[key] = aws.Value(t.Value)
	}
	if len(out) > maxTags {
		return nil, tooManyTags()
	}
	return out, nil
}

func tooManyTags() error {
	return aws.Errorf("TooManyTags", "A resource can have at most %d tags", maxTags)
}

// tagged is a resource with its tags.
type tagged struct {
	tags map[string]string
	put  func(*store.Tx, map[string]string)
}

// findTagged finds what an ARN names.
func findTagged(ctx context.Context, r store.Reader, arn string) (tagged, error) {
	kind, _, _ := strings.Cut(aws.ARN(arn).Resource(), "/")
	switch kind {
	case aLoadBalancer.kind:
		v, err := findLoadBalancer(ctx, r, &arn)
		return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; LoadBalancers.Put(tx, v) }}, err
	case aListener.kind:
		v, err := findListener(ctx, r, &arn)
		return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; Listeners.Put(tx, v) }}, err
	case aRule.kind:
		if l, ok := defaultRuleListener(r, arn); ok && owns(ctx, arn) {
			return tagged{l.DefaultTags, func(tx *store.Tx, tags map[string]string) { l.DefaultTags = tags; Listeners.Put(tx, l) }}, nil
		}
		v, err := findRule(ctx, r, &arn)
		return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; Rules.Put(tx, v) }}, err
	case aTargetGroup.kind:
		v, err := findTargetGroup(ctx, r, &arn)
		return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; TargetGroups.Put(tx, v) }}, err
	case aTrustStore.kind:
		return tagged{}, aTrustStore.missing(arn)
	}
	return tagged{}, invalid("'%s' is not a valid ARN of a resource of Elastic Load Balancing", short(arn))
}

// owns says whether an ARN is of the caller's account and region.
func owns(ctx context.Context, arn string) bool {
	a, c := aws.ARN(arn), aws.CallerFrom(ctx)
	return a.Account() == c.Account && a.Region() == c.Region
}

// AddTags adds tags to resources; values of keys that they have are replaced. All resources change or none.
func (s *Service) AddTags(ctx context.Context, in *api.AddTagsInput) (*api.AddTagsOutput, error) {
	added, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.AddTagsOutput{}, s.changeTags(ctx, in.ResourceArns, func(tags map[string]string) error {
		maps.Copy(tags, added)
		if len(tags) > maxTags {
			return tooManyTags()
		}
		return nil
	})
}

// RemoveTags removes tags from resources; keys that they do not have are ignored. All resources change or none.
func (s *Service) RemoveTags(ctx context.Context, in *api.RemoveTagsInput) (*api.RemoveTagsOutput, error) {
	return &api.RemoveTagsOutput{}, s.changeTags(ctx, in.ResourceArns, func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
}

func (s *Service) changeTags(ctx context.Context, arns []string, change func(map[string]string) error) error {
	if err := checkTagged(arns); err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		for _, arn := range arns {
			found, err := findTagged(ctx, tx, arn)
			if err != nil {
				return err
			}
			tags := maps.Clone(found.tags)
			if tags == nil {
				tags = map[string]string{}
			}
			if err := change(tags); err != nil {
				return err
			}
			found.put(tx, tags)
		}
		return nil
	})
}

// DescribeTags shows the tags of resources, in order of keys.
func (s *Service) DescribeTags(ctx context.Context, in *api.DescribeTagsInput) (*api.DescribeTagsOutput, error) {
	if err := checkTagged(in.ResourceArns); err != nil {
		return nil, err
	}
	r, out := s.Store.Read(), &api.DescribeTagsOutput{TagDescriptions: []api.TagDescription{}}
	for _, arn := range in.ResourceArns {
		found, err := findTagged(ctx, r, arn)
		if err != nil {
			return nil, err
		}
		d := api.TagDescription{ResourceArn: new(arn), Tags: []api.Tag{}}
		for _, k := range slices.Sorted(maps.Keys(found.tags)) {
			d.Tags = append(d.Tags, api.Tag{Key: new(k), Value: new(found.tags[k])})
		}
		out.TagDescriptions = append(out.TagDescriptions, d)
	}
	return out, nil
}

func checkTagged(arns []string) error {
	switch {
	case len(arns) == 0:
		return invalid("At least one resource ARN must be specified")
	case len(arns) > mostNamed:
		return invalid("Up to '%d' resources can be specified", mostNamed)
	}
	return nil
}
