package ecs

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const (
	maxAttributesPerCall = 10
	maxCustomAttributes  = 10
)

var (
	attributeName  = regexp.MustCompile(`^[A-Za-z0-9\-_./\\]{1,128}$`)
	attributeValue = regexp.MustCompile(`^[A-Za-z0-9\-_.@/\\: ]{1,128}$`)
)

// checkAttribute checks the form of an attribute's name and value.
func checkAttribute(a api.Attribute) error {
	name, v := value(a.Name), value(a.Value)
	if !attributeName.MatchString(name) {
		return invalid("Invalid attribute name '%s': 1 to 128 letters, numbers, hyphens, underscores, periods and slashes are allowed.", name)
	}
	if v != "" && (!attributeValue.MatchString(v) || strings.TrimSpace(v) != v) {
		return invalid("Invalid value '%s' of attribute '%s'.", v, name)
	}
	if name == attributeLostAfter {
		_, _, err := parseLostAfter(v)
		return err
	}
	return nil
}

// builtIn tells whether only Berth and its agents may set the attribute.
func builtIn(name string) bool {
	return strings.HasPrefix(name, "ecs.") || strings.HasPrefix(name, "com.amazonaws.ecs.")
}

// PutAttributes sets custom attributes of instances.
func (s *Service) PutAttributes(ctx context.Context, in *api.PutAttributesRequest) (*api.PutAttributesResponse, error) {
	if err := checkAttributeList(in.Attributes); err != nil {
		return nil, err
	}
	out := []api.Attribute{}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		out = out[:0]
		cluster, err := activeCluster(ctx, tx, in.Cluster)
		if err != nil {
			return err
		}
		for _, a := range in.Attributes {
			arn, d, err := attributeTarget(ctx, tx, cluster, a)
			if err != nil {
				return err
			}
			name := value(a.Name)
			d.Custom = maps.Clone(d.Custom)
			if d.Custom == nil {
				d.Custom = map[string]string{}
			}
			d.Custom[name] = value(a.Value)
			if len(d.Custom) > maxCustomAttributes {
				return aws.Errorf("AttributeLimitExceededException", "You can apply up to %d custom attributes for each resource.", maxCustomAttributes)
			}
			d.Version++
			InstanceDescriptions.Put(tx, d)
			out = append(out, attributeWire(arn, name, value(a.Value)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutAttributesResponse{Attributes: out}, nil
}

// DeleteAttributes removes custom attributes of instances. Those that are not there are left out of the answer.
func (s *Service) DeleteAttributes(ctx context.Context, in *api.DeleteAttributesRequest) (*api.DeleteAttributesResponse, error) {
	if err := checkAttributeList(in.Attributes); err != nil {
		return nil, err
	}
	out := []api.Attribute{}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		out = out[:0]
		cluster, err := activeCluster(ctx, tx, in.Cluster)
		if err != nil {
			return err
		}
		for _, a := range in.Attributes {
			arn, d, err := attributeTarget(ctx, tx, cluster, a)
			if err != nil {
				return err
			}
			name := value(a.Name)
			had, ok := d.Custom[name]
			if !ok || a.Value != nil && *a.Value != had {
				continue
			}
			d.Custom = maps.Clone(d.Custom)
			delete(d.Custom, name)
			d.Version++
			InstanceDescriptions.Put(tx, d)
			out = append(out, attributeWire(arn, name, had))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteAttributesResponse{Attributes: out}, nil
}

func checkAttributeList(list []api.Attribute) error {
	if len(list) == 0 {
		return invalid("attributes can not be empty")
	}
	if len(list) > maxAttributesPerCall {
		return invalid("attributes can have at most %d items.", maxAttributesPerCall)
	}
	for _, a := range list {
		if err := checkAttribute(a); err != nil {
			return err
		}
		if builtIn(value(a.Name)) {
			return invalid("Attribute '%s' is reserved and can not be changed.", value(a.Name))
		}
		if a.TargetType != "" && a.TargetType != api.TargetTypeContainerInstance {
			return invalid("Invalid target type '%s'. Valid values: [container-instance]", a.TargetType)
		}
		if value(a.TargetId) == "" {
			return invalid("TargetId can not be blank.")
		}
		if a.TargetType == "" && !aws.IsARN(value(a.TargetId)) {
			return invalid("Target type can not be blank when the target is not an ARN.")
		}
	}
	return nil
}

// attributeTarget finds the instance that an attribute is for.
func attributeTarget(ctx context.Context, tx *store.Tx, cluster Cluster, a api.Attribute) (aws.ARN, InstanceDescription, error) {
	c, ok := findInstance(tx, aws.CallerFrom(ctx), cluster, value(a.TargetId))
	if !ok || c.Status == InstanceInactive {
		return "", InstanceDescription{}, aws.Errorf("TargetNotFoundException", "Could not find %s", value(a.TargetId))
	}
	d, _ := InstanceDescriptions.Get(tx, c.Key())
	d.Key = c.Key()
	return c.ARN(), d, nil
}

func attributeWire(target aws.ARN, name, v string) api.Attribute {
	return api.Attribute{Name: new(name), Value: optional(v), TargetId: new(string(target))}
}

// ListAttributes lists the attributes of a cluster's instances, in order of registration and name.
func (s *Service) ListAttributes(ctx context.Context, in *api.ListAttributesRequest) (*api.ListAttributesResponse, error) {
	name, v := value(in.AttributeName), value(in.AttributeValue)
	if in.TargetType != api.TargetTypeContainerInstance {
		return nil, invalid("Invalid target type '%s'. Valid values: [container-instance]", in.TargetType)
	}
	if in.AttributeValue != nil && name == "" {
		return nil, invalid("Attribute name can not be blank when an attribute value is given.")
	}
	size, err := pageSize(in.MaxResults, maxPage)
	if err != nil {
		return nil, err
	}
	r := s.store.Read()
	cluster, err := activeCluster(ctx, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	scope := "ecs/ListAttributes/" + cluster.Key()
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	// The cursor is the instance's key and the attribute's name of the last entry.
	key, done, _ := strings.Cut(after, "|")
	out, last := &api.ListAttributesResponse{Attributes: []api.Attribute{}}, ""
	for c, a := range instanceAttributes(r, cluster, key, done) {
		if name != "" && value(a.Name) != name || in.AttributeValue != nil && value(a.Value) != v {
			continue
		}
		if len(out.Attributes) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		out.Attributes = append(out.Attributes, attributeWire(c.ARN(), value(a.Name), value(a.Value)))
		last = c.Key() + "|" + value(a.Name)
	}
	return out, nil
}

// instanceAttributes yields the attributes of a cluster's instances that come after the attribute done of the
// instance with the key.
func instanceAttributes(r store.Reader, cluster Cluster, key, done string) func(yield func(ContainerInstance, api.Attribute) bool) {
	return func(yield func(ContainerInstance, api.Attribute) bool) {
		each := func(c ContainerInstance, after string) bool {
			d, _ := InstanceDescriptions.Get(r, c.Key())
			all := d.wire()
			first, found := slices.BinarySearchFunc(all, after, func(a api.Attribute, name string) int { return strings.Compare(*a.Name, name) })
			if found {
				first++
			}
			for _, a := range all[first:] {
				if !yield(c, a) {
					return false
				}
			}
			return true
		}
		if c, ok := ContainerInstances.Get(r, key); key != "" && ok && c.Status != InstanceInactive && !each(c, done) {
			return
		}
		for c := range ContainerInstances.ByFrom(r, byInstanceStatus, instanceStatusKey(cluster.Key(), anyStatus), key) {
			if !each(c, "") {
				return
			}
		}
	}
}
