package ecs

import (
	"fmt"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// TaskDefinition is the record of one revision.
type TaskDefinition struct {
	// Written by: RegisterTaskDefinition.
	Account      string `json:"a"`
	Region       string `json:"r"`
	Family       string `json:"f"`
	Revision     int32  `json:"n"`
	Registered   Millis `json:"ct"`
	RegisteredBy string `json:"by"`
	// Definition is what the user said in normal form, with requiresAttributes and compatibilities. What is in
	// this record's other fields is not repeated in it.
	Definition api.TaskDefinition `json:"d"`

	// Written by: RegisterTaskDefinition, DeregisterTaskDefinition, DeleteTaskDefinitions, the reconciler.
	Status          api.TaskDefinitionStatus `json:"s"`
	Deregistered    Millis                   `json:"xt,omitzero"`
	DeleteRequested Millis                   `json:"dt,omitzero"`
	// Gone is set when a deleted revision is shown to nobody and kept only for stopped tasks that refer to it.
	Gone bool `json:"g,omitzero"`

	// Written by: RegisterTaskDefinition, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
}

// Family counts the revisions of one family. It outlives them all: revision numbers are never used again.
// Written by: RegisterTaskDefinition, DeregisterTaskDefinition, DeleteTaskDefinitions, the reconciler.
type Family struct {
	Account string `json:"a"`
	Region  string `json:"r"`
	Name    string `json:"n"`
	Last    int32  `json:"l"` // highest revision ever given
	Latest  int32  `json:"h"` // highest revision that is ACTIVE; 0 if none is
	Active  int32  `json:"c"` // revisions that are ACTIVE
	Listed  int32  `json:"t"` // revisions that are ACTIVE or INACTIVE
}

// byDefinitionState is the index of TaskDefinitions by account, region and status, and by family too.
const byDefinitionState = "state"

// TaskDefinitions has every revision; keys are ordered by family, then revision.
var TaskDefinitions = store.NewTable("ecs/taskdefinition", TaskDefinition.Key,
	store.Index(byDefinitionState, func(t TaskDefinition) []string {
		if t.Gone {
			return nil
		}
		return []string{
			definitionStateKey(t.Account, t.Region, t.Status, ""), definitionStateKey(t.Account, t.Region, t.Status, t.Family),
		}
	}),
)

// Families has every family that ever was.
var Families = store.NewTable("ecs/family", Family.Key)

// TaskDefinitionKey is the key of a revision's record. "#" sorts before every character of a family name.
func TaskDefinitionKey(account, region, family string, revision int32) string {
	return fmt.Sprintf("%s#%07d", familyKey(account, region, family), revision)
}

func familyKey(account, region, family string) string { return account + "/" + region + "/" + family }

// Key is account/region/family#revision.
func (t TaskDefinition) Key() string {
	return TaskDefinitionKey(t.Account, t.Region, t.Family, t.Revision)
}

// ARN names the revision.
func (t TaskDefinition) ARN() aws.ARN {
	return taskDefinitionARN(t.Account, t.Region, t.Family, t.Revision)
}

func taskDefinitionARN(account, region, family string, revision int32) aws.ARN {
	return aws.NewARN("ecs", region, account, fmt.Sprintf("task-definition/%s:%d", family, revision))
}

// Key is account/region/name.
func (f Family) Key() string { return familyKey(f.Account, f.Region, f.Name) }

func definitionStateKey(account, region string, status api.TaskDefinitionStatus, family string) string {
	return account + "/" + region + "|" + string(status) + "|" + family
}
