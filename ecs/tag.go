package ecs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const (
	maxTags        = 50
	maxTagKey      = 128
	maxTagValue    = 256
	reservedPrefix = "aws:"
)

const (
	msgInvalidARN       = "The ARN provided is invalid."
	msgLongARN          = "Long arn format must be used for tagging operations"
	msgResourceMissing  = "The specified resource was not found."
	msgClusterTagged    = "The specified cluster is inactive. Specify an active cluster and try again."
	msgTaskTagged       = "The specified task is stopped. Specify a running task and try again."
	msgInstanceTagged   = "The specified container instance is inactive. Specify an active container instance and try again."
	msgServiceTagged    = "The specified service is inactive. Specify an active service and try again."
	msgReservedTag      = "Tag keys starting with aws: are reserved for system use"
	msgTagsEmpty        = "Tags can not be empty."
	msgTagKeysEmpty     = "Tag keys can not be empty."
	msgResourceARNBlank = "Resource ARN can not be blank."
)

// TagResource adds tags to a resource; values of keys that it has are replaced.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceRequest) (*api.TagResourceResponse, error) {
	if len(in.Tags) == 0 {
		return nil, invalid(msgTagsEmpty)
	}
	added, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	err = s.changeTags(ctx, in.ResourceArn, func(tags map[string]string) error {
		maps.Copy(tags, added)
		if userTags(tags) > maxTags {
			return aws.Errorf(codeLimitExceeded, "Number of tags exceeds limit %d", maxTags)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.TagResourceResponse{}, nil
}

func userTags(tags map[string]string) (n int) {
	for k := range tags {
		if !reservedTag(k) {
			n++
		}
	}
	return n
}

// UntagResource removes tags; keys that the resource does not have are ignored.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceRequest) (*api.UntagResourceResponse, error) {
	if len(in.TagKeys) == 0 {
		return nil, invalid(msgTagKeysEmpty)
	}
	for _, k := range in.TagKeys {
		if reservedTag(k) {
			return nil, invalid(msgReservedTag)
		}
	}
	err := s.changeTags(ctx, in.ResourceArn, func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UntagResourceResponse{}, nil
}

// ListTagsForResource shows a resource's tags in order of keys.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceRequest) (*api.ListTagsForResourceResponse, error) {
	found, err := findTagged(s.store.Read(), aws.CallerFrom(ctx), in.ResourceArn)
	if e, ok := errors.AsType[*aws.Error](err); ok && e.Code == codeNotFound {
		return nil, invalid("%s", e.Message) // the model gives this operation no ResourceNotFoundException
	}
	if err != nil {
		return nil, err
	}
	return &api.ListTagsForResourceResponse{Tags: wireTags(found.tags)}, nil
}

func (s *Service) changeTags(ctx context.Context, arn *string, change func(map[string]string) error) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		found, err := findTagged(tx, aws.CallerFrom(ctx), arn)
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
		return nil
	})
}

// tagged is a resource that can have tags.
type tagged struct {
	tags map[string]string
	put  func(*store.Tx, map[string]string)
}

// findTagged finds what the ARN names.
func findTagged(r store.Reader, c aws.Caller, s *string) (tagged, error) {
	if value(s) == "" {
		return tagged{}, invalid(msgResourceARNBlank)
	}
	arn, err := aws.ParseARN(*s)
	if err != nil || arn.Service() != "ecs" || arn.Account() != c.Account || arn.Region() != c.Region {
		return tagged{}, invalid(msgInvalidARN)
	}
	kind, rest, ok := strings.Cut(arn.Resource(), "/")
	if !ok || rest == "" {
		return tagged{}, invalid(msgInvalidARN)
	}
	switch kind {
	case "cluster":
		return taggedCluster(r, c, rest)
	case "task-definition":
		return taggedDefinition(r, c, *s)
	case "task", "container-instance":
		if !strings.Contains(rest, "/") {
			return tagged{}, invalid(msgLongARN)
		}
		if kind == "task" {
			return taggedTask(r, c, rest)
		}
		return taggedInstance(r, c, rest)
	case "service":
		if !strings.Contains(rest, "/") {
			return tagged{}, invalid(msgLongARN)
		}
		return taggedService(r, c, rest)
	case "task-set":
		return taggedSet(r, c, rest)
	}
	return tagged{}, aws.Errorf(codeNotFound, msgResourceMissing)
}

func taggedCluster(r store.Reader, c aws.Caller, name string) (tagged, error) {
	v, ok := Clusters.Get(r, ClusterKey(c.Account, c.Region, name))
	if !ok {
		return tagged{}, aws.Errorf(codeClusterNotFound, msgClusterNotFound)
	}
	if v.Inactive {
		return tagged{}, invalid(msgClusterTagged)
	}
	return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; Clusters.Put(tx, v) }}, nil
}

func taggedDefinition(r store.Reader, c aws.Caller, arn string) (tagged, error) {
	ref, ok := parseDefinitionRef(c, arn)
	if !ok || !ref.hasRevision {
		return tagged{}, invalid(msgInvalidARN)
	}
	v, ok := TaskDefinitions.Get(r, TaskDefinitionKey(c.Account, c.Region, ref.family, ref.revision))
	if !ok || v.Gone {
		return tagged{}, aws.Errorf(codeNotFound, msgResourceMissing)
	}
	return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; TaskDefinitions.Put(tx, v) }}, nil
}

func taggedTask(r store.Reader, c aws.Caller, rest string) (tagged, error) {
	v, ok := Tasks.Get(r, c.Account+"/"+c.Region+"/"+rest)
	if !ok {
		return tagged{}, aws.Errorf(codeNotFound, msgResourceMissing)
	}
	if !v.Active() {
		return tagged{}, invalid(msgTaskTagged)
	}
	return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; Tasks.Put(tx, v) }}, nil
}

func taggedInstance(r store.Reader, c aws.Caller, rest string) (tagged, error) {
	v, ok := ContainerInstances.Get(r, c.Account+"/"+c.Region+"/"+rest)
	if !ok {
		return tagged{}, aws.Errorf(codeNotFound, msgResourceMissing)
	}
	if v.Status == InstanceInactive {
		return tagged{}, invalid(msgInstanceTagged)
	}
	return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; ContainerInstances.Put(tx, v) }}, nil
}

func taggedService(r store.Reader, c aws.Caller, rest string) (tagged, error) {
	v, ok := Services.Get(r, c.Account+"/"+c.Region+"/"+rest)
	if !ok {
		return tagged{}, aws.Errorf(codeNotFound, msgResourceMissing)
	}
	if v.Ended != 0 {
		return tagged{}, invalid(msgServiceTagged)
	}
	return tagged{v.Tags, func(tx *store.Tx, tags map[string]string) { v.Tags = tags; Services.Put(tx, v) }}, nil
}

func taggedSet(r store.Reader, c aws.Caller, rest string) (tagged, error) {
	service, number, _ := strings.Cut(rest, "/"+deploymentPrefix)
	d, ok := Deployments.Get(r, c.Account+"/"+c.Region+"/"+service+"/"+number)
	if !ok || d.Set == nil || d.Gone {
		return tagged{}, aws.Errorf(codeNotFound, msgResourceMissing)
	}
	return tagged{d.Set.Tags, func(tx *store.Tx, tags map[string]string) {
		d.Set = new(*d.Set)
		d.Set.Tags = tags
		Deployments.Put(tx, d)
	}}, nil
}

// checkTags turns the tags of a request into a map. Tag keys are unique, without the prefix aws:, and at most 50.
func checkTags(tags []api.Tag) (map[string]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	if len(tags) > maxTags {
		return nil, invalid("Number of tags exceeds limit %d", maxTags)
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		key := value(t.Key)
		switch {
		case key == "":
			return nil, invalid("Tag key can not be empty.")
		case tooLong(key, maxTagKey):
			return nil, invalid("Tag key exceeds the maximum length of %d characters.", maxTagKey)
		case tooLong(value(t.Value), maxTagValue):
			return nil, invalid("Tag value exceeds the maximum length of %d characters.", maxTagValue)
		case reservedTag(key):
			return nil, invalid(msgReservedTag)
		}
		if _, twice := out[key]; twice {
			return nil, invalid("Duplicate tag keys found.")
		}
		out[key] = value(t.Value)
	}
	return out, nil
}

// reservedTag says whether only the system may set the key.
func reservedTag(key string) bool {
	return len(key) >= len(reservedPrefix) && strings.EqualFold(key[:len(reservedPrefix)], reservedPrefix)
}

// wireTags are tags in order of keys; never nil.
func wireTags(tags map[string]string) []api.Tag {
	out := make([]api.Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, api.Tag{Key: new(k), Value: new(tags[k])})
	}
	return out
}
