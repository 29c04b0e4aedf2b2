package ecr

import (
	"context"
	"maps"
	"slices"
	"strings"

	api "berth/api/ecr"
	"berth/aws"
)

const maxTags = 50

// TagResource adds tags to a repository.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceRequest) (*api.TagResourceResponse, error) {
	name, err := repositoryOf(ctx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, nil, &name, func(r *Repository) (err error) {
		r.Tags, err = withTags(r.Tags, in.Tags)
		return err
	})
	return &api.TagResourceResponse{}, err
}

// UntagResource removes tags of a repository.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceRequest) (*api.UntagResourceResponse, error) {
	name, err := repositoryOf(ctx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, nil, &name, func(r *Repository) error {
		left := maps.Clone(r.Tags)
		maps.DeleteFunc(left, func(k, _ string) bool { return slices.Contains(in.TagKeys, k) })
		r.Tags = left
		return nil
	})
	return &api.UntagResourceResponse{}, err
}

// ListTagsForResource returns the tags of a repository in the order of their keys.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceRequest) (*api.ListTagsForResourceResponse, error) {
	name, err := repositoryOf(ctx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	r, err := s.repository(ctx, s.Store.Read(), nil, &name)
	if err != nil {
		return nil, err
	}
	out := &api.ListTagsForResourceResponse{Tags: []api.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		out.Tags = append(out.Tags, api.Tag{Key: new(k), Value: new(r.Tags[k])})
	}
	return out, nil
}

// repositoryOf is the name in the ARN of one of the caller's repositories.
func repositoryOf(ctx context.Context, text *string) (string, error) {
	c := aws.CallerFrom(ctx)
	arn, err := aws.ParseARN(aws.Value(text))
	name, ok := strings.CutPrefix(arn.Resource(), "repository/")
	if err != nil || !ok || arn.Service() != "ecr" {
		return "", invalid("resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	if arn.Account() != c.Account || arn.Region() != c.Region {
		return "", noRepository(name, arn.Account())
	}
	return name, nil
}

// withTags returns the tags with more added or replaced.
func withTags(tags map[string]string, more []api.Tag) (map[string]string, error) {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	for _, t := range more {
		k := aws.Value(t.Key)
		if k == "" || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return nil, aws.Errorf("InvalidTagParameterException", "Invalid tag key '%s'", k)
		}
		all[k] = aws.Value(t.Value)
	}
	if len(all) > maxTags {
		return nil, aws.Errorf("TooManyTagsException", "A repository can have at most %d tags", maxTags)
	}
	return all, nil
}
