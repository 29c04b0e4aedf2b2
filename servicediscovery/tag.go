package servicediscovery

import (
	"context"
	"maps"
	"slices"
	"strings"

	api "berth/api/servicediscovery"
	"berth/aws"
	"berth/store"
)

// tagMap checks tags; nil for none.
func tagMap(tags []api.Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(*t.Key), "aws:") {
			return nil, invalid("The tag key %s is reserved: keys must not begin with aws:.", *t.Key)
		}
		if _, twice := out[*t.Key]; twice {
			return nil, invalid("The tag key %s is given twice.", *t.Key)
		}
		out[*t.Key] = aws.Value(t.Value)
	}
	if len(out) > maxTags {
		return nil, tooManyTags("")
	}
	return out, nil
}

func tooManyTags(arn string) error {
	err := aws.Errorf("TooManyTagsException", "A resource can have at most %d tags.", maxTags)
	if arn != "" {
		err = err.With("ResourceName", arn)
	}
	return err
}

// TagResource adds tags to a namespace or service; values of keys that it has are replaced.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceRequest) (*api.TagResourceResponse, error) {
	added, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.TagResourceResponse{}, s.changeTags(ctx, *in.ResourceARN, func(tags map[string]string) { maps.Copy(tags, added) })
}

// UntagResource removes tags; keys that the resource does not have are ignored.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceRequest) (*api.UntagResourceResponse, error) {
	return &api.UntagResourceResponse{}, s.changeTags(ctx, *in.ResourceARN, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

func (s *Service) changeTags(ctx context.Context, arn string, change func(map[string]string)) error {
	apply := func(old map[string]string) (map[string]string, error) {
		tags := map[string]string{}
		maps.Copy(tags, old)
		change(tags)
		if len(tags) > maxTags {
			return nil, tooManyTags(arn)
		}
		return tags, nil
	}
	at := callerPlace(ctx)
	return s.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if n, ok := Namespaces.Get(tx, arnKey(at, "namespace", arn)); ok {
			n.Tags, err = apply(n.Tags)
			Namespaces.Put(tx, n)
			return err
		}
		if v, ok := Services.Get(tx, arnKey(at, "service", arn)); ok {
			v.Tags, err = apply(v.Tags)
			Services.Put(tx, v)
			return err
		}
		return noResource(arn)
	})
}

// ListTagsForResource lists the tags in the order of their keys.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceRequest) (*api.ListTagsForResourceResponse, error) {
	r, at := s.Store.Read(), callerPlace(ctx)
	n, isNamespace := Namespaces.Get(r, arnKey(at, "namespace", *in.ResourceARN))
	v, isService := Services.Get(r, arnKey(at, "service", *in.ResourceARN))
	if !isNamespace && !isService {
		return nil, noResource(*in.ResourceARN)
	}
	tags := n.Tags
	if isService {
		tags = v.Tags
	}
	out := &api.ListTagsForResourceResponse{Tags: []api.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, api.Tag{Key: new(k), Value: new(tags[k])})
	}
	return out, nil
}

// arnKey is keyOf for what must be named by its ARN.
func arnKey(place, kind, arn string) string {
	if !aws.IsARN(arn) {
		return ""
	}
	return keyOf(place, kind, arn)
}

func noResource(arn string) error {
	return aws.Errorf("ResourceNotFoundException", "The resource %s was not found.", arn)
}
