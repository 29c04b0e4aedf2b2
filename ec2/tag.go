package ec2

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// tagSet is the record of the tags of one resource; there is none for a resource without tags.
type tagSet struct {
	// Written by: CreateTags, DeleteTags and what makes the resource.
	Account string            `json:"a"`
	Region  string            `json:"r"`
	ID      string            `json:"i"` // of the resource
	Tags    map[string]string `json:"t"`
}

// tagSets is the table of tags, by account/region/ID.
var tagSets = store.NewTable("ec2/tags", func(t tagSet) string { return key(t.Account, t.Region, t.ID) })

// Limits of tags. Source: EC2 user guide, "Tag restrictions".
const (
	mostTags     = 50
	longestKey   = 128
	longestValue = 256
)

// CreateTags adds tags to resources, or changes their values.
func (s *Service) CreateTags(ctx context.Context, in *api.CreateTagsRequest) (*api.CreateTagsResponse, error) {
	add, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	err = s.changeTags(ctx, in.Resources, in.DryRun, func(tx *store.Tx, c aws.Caller, id string) error { return putTags(tx, c, id, add) })
	if err != nil {
		return nil, err
	}
	return &api.CreateTagsResponse{}, nil
}

// DeleteTags removes tags by key, or by key and value, or all of them. Those that are not there are no error.
func (s *Service) DeleteTags(ctx context.Context, in *api.DeleteTagsRequest) (*api.DeleteTagsResponse, error) {
	err := s.changeTags(ctx, in.Resources, in.DryRun, func(tx *store.Tx, c aws.Caller, id string) error {
		set, ok := tagSets.Get(tx, key(c.Account, c.Region, id))
		if !ok {
			return nil
		}
		set.Tags = maps.Clone(set.Tags)
		maps.DeleteFunc(set.Tags, func(k, v string) bool {
			return len(in.Tags) == 0 || slices.ContainsFunc(in.Tags, func(t api.Tag) bool {
				return aws.Value(t.Key) == k && (t.Value == nil || *t.Value == v)
			})
		})
		if len(set.Tags) == 0 {
			tagSets.Delete(tx, tagSets.Key(set))
		} else {
			tagSets.Put(tx, set)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteTagsResponse{}, nil
}

// mostAtOnce is how many records one transaction changes: an external etcd takes few in one.
const mostAtOnce = 50

// changeTags does something to the tags of resources, which must all be there, a few in each transaction.
func (s *Service) changeTags(ctx context.Context, ids []string, dry *bool, do func(tx *store.Tx, c aws.Caller, id string) error) error {
	c := aws.CallerFrom(ctx)
	for _, id := range ids {
		if err := checkResource(s.Store.Read(), c, id); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(ids, mostAtOnce) {
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			for _, id := range some {
				if err := checkResource(tx, c, id); err != nil {
					return err
				}
				if err := do(tx, c, id); err != nil {
					return err
				}
			}
			return dryRun(dry)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropTags removes the tags of a resource that goes.
func dropTags(tx *store.Tx, c aws.Caller, id string) {
	if _, ok := tagSets.Get(tx, key(c.Account, c.Region, id)); ok {
		tagSets.Delete(tx, key(c.Account, c.Region, id))
	}
}

var tagDescriptions = listing[api.TagDescription]{
	operation: "DescribeTags",
	id:        func(t api.TagDescription) string { return *t.ResourceId + "\x00" + *t.Key },
	tags:      func(t api.TagDescription) []api.Tag { return []api.Tag{{Key: t.Key, Value: t.Value}} },
	filters: filters[api.TagDescription]{
		"key":           func(t api.TagDescription) []string { return text(t.Key) },
		"resource-id":   func(t api.TagDescription) []string { return text(t.ResourceId) },
		"resource-type": func(t api.TagDescription) []string { return []string{string(t.ResourceType)} },
		"value":         func(t api.TagDescription) []string { return text(t.Value) },
	},
}

// DescribeTags lists all tags of the account and region.
func (s *Service) DescribeTags(ctx context.Context, in *api.DescribeTagsRequest) (*api.DescribeTagsResult, error) {
	c, r := aws.CallerFrom(ctx), s.Store.Read()
	if n := in.MaxResults; n != nil && (*n < 1 || *n > mostResults) {
		return nil, aws.Errorf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between 1 and %d.", *n, mostResults)
	}
	var all []api.TagDescription
	for set := range tagSets.Prefix(r, key(c.Account, c.Region, "")) {
		for k, v := range set.Tags {
			all = append(all, api.TagDescription{ResourceId: &set.ID, ResourceType: kindOf(set.ID).tags, Key: &k, Value: &v})
		}
	}
	list, token, err := tagDescriptions.page(ctx, s, query{filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}, all)
	if err != nil {
		return nil, err
	}
	return &api.DescribeTagsResult{Tags: list, NextToken: token}, nil
}

// checkResource says whether there is something with the ID that can have tags.
func checkResource(r store.Reader, c aws.Caller, id string) error {
	k, found := kindOf(id), false
	switch k {
	case kindVPC:
		found = id == DefaultVPCID(c.Account, c.Region)
	case kindSubnet:
		_, found = SubnetByID(r, c.Account, c.Region, id)
	case kindTable:
		found = id == mainTableID(c.Account, c.Region)
	case kindGateway:
		found = id == gatewayID(c.Account, c.Region)
	case kindACL:
		found = id == defaultACLID(c.Account, c.Region)
	case kindDHCP:
		found = id == derive(kindDHCP.prefix, c.Account, c.Region)
	case kindGroup:
		_, found = GroupByID(r, c.Account, c.Region, id)
	case kindRule:
		_, _, found = ruleByID(r, c.Account, c.Region, id)
	case kindInterface:
		_, found = Interfaces.Get(r, key(c.Account, c.Region, id))
	default:
		return aws.Errorf("InvalidID", "The ID '%s' is not valid", id)
	}
	if !found {
		return k.missing(id)
	}
	return nil
}

// tagsOf are the tags of a resource, by key; empty, not nil, where there are none.
func tagsOf(r store.Reader, c aws.Caller, id string) []api.Tag {
	set, _ := tagSets.Get(r, key(c.Account, c.Region, id))
	out := make([]api.Tag, 0, len(set.Tags))
	for _, k := range slices.Sorted(maps.Keys(set.Tags)) {
		out = append(out, api.Tag{Key: &k, Value: new(set.Tags[k])})
	}
	return out
}

// putTags adds tags to a resource.
func putTags(tx *store.Tx, c aws.Caller, id string, add map[string]string) error {
	if len(add) == 0 {
		return nil
	}
	set, _ := tagSets.Get(tx, key(c.Account, c.Region, id))
	all := maps.Clone(set.Tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, add)
	if len(all) > mostTags {
		return aws.Errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	tagSets.Put(tx, tagSet{Account: c.Account, Region: c.Region, ID: id, Tags: all})
	return nil
}

// readTags checks tags of a request.
func readTags(tags []api.Tag) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range tags {
		k, v := aws.Value(t.Key), aws.Value(t.Value)
		_, twice := out[k]
		switch {
		case k == "":
			return nil, aws.Errorf("InvalidParameterValue", "Tag key cannot be null or empty")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return nil, aws.Errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case utf8.RuneCountInString(k) > longestKey:
			return nil, aws.Errorf("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", longestKey)
		case utf8.RuneCountInString(v) > longestValue:
			return nil, aws.Errorf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", longestValue)
		case twice:
			return nil, aws.Errorf("InvalidParameterValue", "Duplicate tag key '%s' specified.", k)
		}
		out[k] = v
	}
	return out, nil
}

// readSpecifications reads the tags of what a request makes, which is of one kind.
func readSpecifications(list []api.TagSpecification, k kind) (map[string]string, error) {
	var tags []api.Tag
	for _, spec := range list {
		if spec.ResourceType != k.tags {
			return nil, aws.Errorf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		tags = append(tags, spec.Tags...)
	}
	return readTags(tags)
}
