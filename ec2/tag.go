package ec2

import "berth/store"

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
