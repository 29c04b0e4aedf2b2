package ecs

import (
	"context"
	"encoding/json"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

const (
	definitionActive   = api.TaskDefinitionStatusActive
	definitionInactive = api.TaskDefinitionStatusInactive
	definitionDeleting = api.TaskDefinitionStatusDeleteInProgress
	// maxRevisions is the quota of revisions in one family.
	maxRevisions = 1_000_000
	// maxDefinitionBytes is the quota on the size of one definition as JSON.
	maxDefinitionBytes = 64 << 10
)

// RegisterTaskDefinition makes the next revision of a family.
func (s *Service) RegisterTaskDefinition(ctx context.Context, in *api.RegisterTaskDefinitionRequest) (*api.RegisterTaskDefinitionResponse, error) {
	caller := aws.CallerFrom(ctx)
	definition, tags, err := newDefinition(caller, in)
	if err != nil {
		return nil, err
	}
	now := MillisOf(s.now())
	var out TaskDefinition
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		family, ok := Families.Get(tx, familyKey(caller.Account, caller.Region, *in.Family))
		if !ok {
			family = Family{Account: caller.Account, Region: caller.Region, Name: *in.Family}
		}
		if family.Last >= maxRevisions {
			return aws.Errorf(codeLimitExceeded, "The maximum number of revisions of family '%s' has been reached.", family.Name)
		}
		family.Last++
		family.Active++
		family.Listed++
		family.Latest = family.Last
		out = TaskDefinition{
			Account: caller.Account, Region: caller.Region, Family: family.Name, Revision: family.Last,
			Registered: now, RegisteredBy: string(caller.ARN), Definition: definition, Status: definitionActive, Tags: tags,
		}
		Families.Put(tx, family)
		TaskDefinitions.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.RegisterTaskDefinitionResponse{TaskDefinition: out.wire(), Tags: wireTags(out.Tags)}, nil
}

// newDefinition checks a registration and brings it into normal form.
func newDefinition(c aws.Caller, in *api.RegisterTaskDefinitionRequest) (api.TaskDefinition, map[string]string, error) {
	var none api.TaskDefinition
	if in.Tags != nil && len(in.Tags) == 0 {
		return none, nil, clientError("Tags can not be empty.")
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return none, nil, err
	}
	if raw, err := json.Marshal(in); err == nil && len(raw) > maxDefinitionBytes {
		return none, nil, clientError("Actual length: '%d'. Max allowed length is '%d' bytes.", len(raw), maxDefinitionBytes)
	}
	for _, check := range []func(*api.RegisterTaskDefinitionRequest) error{
		checkFamily, checkDefinitionEnums, checkContainers, checkSizes, checkPorts, checkNetworking, checkVolumes, checkDependencies,
		checkConstraints, checkDefinitionSupport,
	} {
		if err := check(in); err != nil {
			return none, nil, err
		}
	}
	d, err := normalDefinition(c, in)
	if err != nil {
		return none, nil, err
	}
	if d.Compatibilities, err = compatibilities(&d); err != nil {
		return none, nil, err
	}
	d.RequiresAttributes = requiredAttributes(&d)
	return d, tags, nil
}

// wire is the definition as the API shows it.
func (t TaskDefinition) wire() *api.TaskDefinition {
	out := t.Definition
	out.TaskDefinitionArn = new(string(t.ARN()))
	out.Family, out.Revision, out.Status = new(t.Family), new(t.Revision), t.Status
	out.RegisteredAt, out.RegisteredBy = t.Registered.wire(), new(t.RegisteredBy)
	out.DeregisteredAt, out.DeleteRequestedAt = t.Deregistered.wire(), t.DeleteRequested.wire()
	return &out
}
