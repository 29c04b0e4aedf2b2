package logs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	api "berth/api/logs"
	"berth/aws"
)

// TagResource adds tags to a group that is named by its ARN.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceRequest) (*api.TagResourceResponse, error) {
	return &api.TagResourceResponse{}, s.tag(ctx, nil, in.ResourceArn, in.Tags)
}

// UntagResource removes tags of a group that is named by its ARN.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceRequest) (*api.UntagResourceResponse, error) {
	return &api.UntagResourceResponse{}, s.untag(ctx, nil, in.ResourceArn, in.TagKeys)
}

// ListTagsForResource returns the tags of a group that is named by its ARN.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceRequest) (*api.ListTagsForResourceResponse, error) {
	tags, err := s.listTags(ctx, nil, in.ResourceArn)
	return &api.ListTagsForResourceResponse{Tags: tags}, err
}

// TagLogGroup is the old form of TagResource.
func (s *Service) TagLogGroup(ctx context.Context, in *api.TagLogGroupRequest) (*api.TagLogGroupResponse, error) {
	return &api.TagLogGroupResponse{}, s.tag(ctx, in.LogGroupName, nil, in.Tags)
}

// UntagLogGroup is the old form of UntagResource.
func (s *Service) UntagLogGroup(ctx context.Context, in *api.UntagLogGroupRequest) (*api.UntagLogGroupResponse, error) {
	return &api.UntagLogGroupResponse{}, s.untag(ctx, in.LogGroupName, nil, in.Tags)
}

// ListTagsLogGroup is the old form of ListTagsForResource.
func (s *Service) ListTagsLogGroup(ctx context.Context, in *api.ListTagsLogGroupRequest) (*api.ListTagsLogGroupResponse, error) {
	tags, err := s.listTags(ctx, in.LogGroupName, nil)
	return &api.ListTagsLogGroupResponse{Tags: tags}, err
}

func (s *Service) tag(ctx context.Context, name, arn *string, tags map[string]string) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.changeGroup(ctx, name, arn, func(g *Group) error {
		all := maps.Clone(g.Tags)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, tags)
		if len(all) > maxTags {
			if name == nil {
				return aws.Errorf("TooManyTagsException", "The number of tags exceeds the limit of %d.", maxTags)
			}
			return invalid("The number of tags exceeds the limit of %d.", maxTags)
		}
		g.Tags = all
		return nil
	})
}

func (s *Service) untag(ctx context.Context, name, arn *string, keys []string) error {
	return s.changeGroup(ctx, name, arn, func(g *Group) error {
		left := maps.Clone(g.Tags)
		maps.DeleteFunc(left, func(k, _ string) bool { return slices.Contains(keys, k) })
		g.Tags = left
		return nil
	})
}

func (s *Service) listTags(ctx context.Context, name, arn *string) (map[string]string, error) {
	g, err := s.group(ctx, s.Store.Read(), name, arn)
	if err != nil {
		return nil, err
	}
	if g.Tags == nil {
		return map[string]string{}, nil
	}
	return g.Tags, nil
}

func checkTags(tags map[string]string) error {
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return invalid("Tag keys starting with 'aws:' are reserved for system use")
		}
	}
	return nil
}

// hasTags says whether tags pass all filters; a filter without values asks for the key alone.
func hasTags(tags map[string]string, filters []api.TagFilter) bool {
	for _, f := range filters {
		v, ok := tags[aws.Value(f.Key)]
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, v) {
			return false
		}
	}
	return true
}

func tagScope(filters []api.TagFilter) string {
	var b strings.Builder
	for _, f := range filters {
		fmt.Fprintf(&b, "%q=%q ", aws.Value(f.Key), f.Values)
	}
	return b.String()
}
