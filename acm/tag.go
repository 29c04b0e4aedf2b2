package acm

import (
	"context"
	"maps"
	"slices"
	"strings"

	api "berth/api/acm"
	"berth/aws"
	"berth/store"
)

const (
	maxTags        = 50
	reservedPrefix = "aws:"
)

// AddTagsToCertificate adds tags; values of keys that the certificate has are replaced.
func (s *Service) AddTagsToCertificate(ctx context.Context, in *api.AddTagsToCertificateRequest) (*api.AddTagsToCertificateResponse, error) {
	added, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.AddTagsToCertificateResponse{}, s.changeTags(ctx, in.CertificateArn, func(tags map[string]string) error {
		maps.Copy(tags, added)
		if len(tags) > maxTags {
			return tooManyTags()
		}
		return nil
	})
}

// RemoveTagsFromCertificate removes tags by key, or only where the value is as well, if one is given.
func (s *Service) RemoveTagsFromCertificate(ctx context.Context, in *api.RemoveTagsFromCertificateRequest) (*api.RemoveTagsFromCertificateResponse, error) {
	return &api.RemoveTagsFromCertificateResponse{}, s.changeTags(ctx, in.CertificateArn, func(tags map[string]string) error {
		for _, t := range in.Tags {
			if value, ok := tags[*t.Key]; ok && (t.Value == nil || *t.Value == value) {
				delete(tags, *t.Key)
			}
		}
		return nil
	})
}

// ListTagsForCertificate shows a certificate's tags in order of keys.
func (s *Service) ListTagsForCertificate(ctx context.Context, in *api.ListTagsForCertificateRequest) (*api.ListTagsForCertificateResponse, error) {
	c, err := find(s.Store.Read(), aws.CallerFrom(ctx), in.CertificateArn)
	if err != nil {
		return nil, err
	}
	out := &api.ListTagsForCertificateResponse{Tags: []api.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(c.Tags)) {
		out.Tags = append(out.Tags, api.Tag{Key: new(k), Value: new(c.Tags[k])})
	}
	return out, nil
}

func (s *Service) changeTags(ctx context.Context, arn *string, change func(map[string]string) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := find(tx, aws.CallerFrom(ctx), arn)
		if err != nil {
			return err
		}
		if c.Tags = maps.Clone(c.Tags); c.Tags == nil {
			c.Tags = map[string]string{}
		}
		if err := change(c.Tags); err != nil {
			return err
		}
		Certificates.Put(tx, c)
		return nil
	})
}

// tagMap checks the tags of a request. The model has checked length and characters.
func tagMap(tags []api.Tag) (map[string]string, error) {
	if len(tags) > maxTags {
		return nil, tooManyTags()
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		if k := *t.Key; len(k) >= len(reservedPrefix) && strings.EqualFold(k[:len(reservedPrefix)], reservedPrefix) {
			return nil, aws.Errorf(codeBadTag, "Tag keys that begin with aws: are reserved: %s", k)
		}
		out[*t.Key] = aws.Value(t.Value)
	}
	return out, nil
}

func tooManyTags() error {
	return aws.Errorf(codeManyTags, "A certificate can have at most %d tags.", maxTags)
}
