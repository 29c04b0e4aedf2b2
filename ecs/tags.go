package ecs

import (
	"maps"
	"slices"
	"strings"

	api "berth/api/ecs"
)

const (
	maxTags        = 50
	maxTagKey      = 128
	maxTagValue    = 256
	reservedPrefix = "aws:"
)

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
			return nil, invalid("Tag keys starting with aws: are reserved for system use")
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
