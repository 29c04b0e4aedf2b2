package ecs

import (
	"context"
	"slices"
	"strconv"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// DescribeTaskDefinition shows one revision, whatever its status; a family alone means its latest ACTIVE one.
func (s *Service) DescribeTaskDefinition(ctx context.Context, in *api.DescribeTaskDefinitionRequest) (*api.DescribeTaskDefinitionResponse, error) {
	if value(in.TaskDefinition) == "" {
		return nil, clientError("TaskDefinition can not be blank.")
	}
	for _, i := range in.Include {
		if i != api.TaskDefinitionFieldTags {
			return nil, invalid("Invalid include '%s'. Valid values: [TAGS]", i)
		}
	}
	t, ok := findDefinition(s.store.Read(), aws.CallerFrom(ctx), *in.TaskDefinition)
	if !ok {
		return nil, clientError(msgDefinitionUndescribed)
	}
	out := &api.DescribeTaskDefinitionResponse{TaskDefinition: t.wire(), Tags: []api.Tag{}}
	if len(in.Include) > 0 {
		out.Tags = wireTags(t.Tags)
	}
	return out, nil
}

// DeregisterTaskDefinition makes a revision INACTIVE; running tasks stay. Doing it again changes nothing.
func (s *Service) DeregisterTaskDefinition(ctx context.Context, in *api.DeregisterTaskDefinitionRequest) (*api.DeregisterTaskDefinitionResponse, error) {
	caller := aws.CallerFrom(ctx)
	if value(in.TaskDefinition) == "" {
		return nil, clientError("TaskDefinition can not be blank.")
	}
	ref, ok := parseDefinitionRef(caller, *in.TaskDefinition)
	switch {
	case namePattern.MatchString(ref.family) && !ref.hasRevision:
		return nil, clientError("Revision is missing.")
	case !ok && ref.hasRevision && !isNumber(ref.revisionText):
		return nil, invalid("Invalid revision number. Number: %s", ref.revisionText)
	case !ok:
		return nil, clientError(msgDefinitionUndescribed)
	}
	now := MillisOf(s.now())
	var out TaskDefinition
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		out, ok = TaskDefinitions.Get(tx, TaskDefinitionKey(caller.Account, caller.Region, ref.family, ref.revision))
		if !ok || out.Gone {
			return clientError(msgDefinitionUndescribed)
		}
		if out.Status != definitionActive {
			return nil
		}
		out.Status, out.Deregistered = definitionInactive, now
		TaskDefinitions.Put(tx, out)
		forgetActive(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeregisterTaskDefinitionResponse{TaskDefinition: out.wire()}, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// forgetActive takes a revision that is no longer ACTIVE out of its family's counts.
func forgetActive(tx *store.Tx, t TaskDefinition) {
	family, ok := Families.Get(tx, familyKey(t.Account, t.Region, t.Family))
	if !ok {
		panic("unreachable: revision without family: " + t.Key())
	}
	family.Active--
	if family.Latest == t.Revision {
		family.Latest = 0
		for n := t.Revision - 1; n > 0 && family.Active > 0; n-- {
			if older, ok := TaskDefinitions.Get(tx, TaskDefinitionKey(t.Account, t.Region, t.Family, n)); ok && older.Status == definitionActive {
				family.Latest = n
				break
			}
		}
	}
	Families.Put(tx, family)
}

const maxDeleteDefinitions = 10

// DeleteTaskDefinitions marks INACTIVE revisions for deletion. The reconciler removes each once nothing refers to it.
func (s *Service) DeleteTaskDefinitions(ctx context.Context, in *api.DeleteTaskDefinitionsRequest) (*api.DeleteTaskDefinitionsResponse, error) {
	if len(in.TaskDefinitions) == 0 {
		return nil, invalid("size of TaskDefinition references list must be greater than 0")
	}
	if len(in.TaskDefinitions) > maxDeleteDefinitions {
		return nil, invalid("Size of TaskDefinition references list cannot exceed %d", maxDeleteDefinitions)
	}
	caller := aws.CallerFrom(ctx)
	now := MillisOf(s.now())
	var out *api.DeleteTaskDefinitionsResponse
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		out = &api.DeleteTaskDefinitionsResponse{TaskDefinitions: []api.TaskDefinition{}, Failures: []api.Failure{}}
		for _, ref := range in.TaskDefinitions {
			t, reason := deleteDefinition(tx, caller, ref, now)
			if reason != "" {
				out.Failures = append(out.Failures, api.Failure{Arn: new(definitionRefARN(caller, ref)), Reason: new(reason)})
				continue
			}
			out.TaskDefinitions = append(out.TaskDefinitions, *t.wire())
		}
		return nil
	})
	return out, err
}

func definitionRefARN(c aws.Caller, ref string) string {
	if aws.IsARN(ref) {
		return ref
	}
	return string(aws.NewARN("ecs", c.Region, c.Account, "task-definition/"+ref))
}

func deleteDefinition(tx *store.Tx, c aws.Caller, s string, now Millis) (t TaskDefinition, reason string) {
	ref, ok := parseDefinitionRef(c, s)
	if !ok || !ref.hasRevision {
		return t, "The specified task definition identifier is invalid. Specify a valid name or ARN and try again."
	}
	t, ok = TaskDefinitions.Get(tx, TaskDefinitionKey(c.Account, c.Region, ref.family, ref.revision))
	if !ok || t.Gone {
		return t, "The specified task definition does not exist. Specify a valid account, family, revision and try again."
	}
	switch t.Status {
	case definitionActive:
		return t, "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
	case definitionInactive:
		t.Status, t.DeleteRequested = definitionDeleting, now
		TaskDefinitions.Put(tx, t)
		if family, ok := Families.Get(tx, familyKey(t.Account, t.Region, t.Family)); ok {
			family.Listed--
			Families.Put(tx, family)
		}
	}
	return t, ""
}

// ListTaskDefinitions lists revisions by family, then number. familyPrefix is a whole family name, as in AWS.
func (s *Service) ListTaskDefinitions(ctx context.Context, in *api.ListTaskDefinitionsRequest) (*api.ListTaskDefinitionsResponse, error) {
	c := aws.CallerFrom(ctx)
	size, err := pageSize(in.MaxResults, maxPage)
	if err != nil {
		return nil, err
	}
	status, family := in.Status, value(in.FamilyPrefix)
	if status == "" {
		status = definitionActive
	}
	if !slices.Contains(status.Values(), string(status)) {
		return nil, invalid("Invalid status '%s'. Valid values: [ACTIVE,INACTIVE,DELETE_IN_PROGRESS]", status)
	}
	if in.Sort != "" && !slices.Contains(in.Sort.Values(), string(in.Sort)) {
		return nil, invalid("Invalid sort '%s'. Valid values: [ASC,DESC]", in.Sort)
	}
	scope := "ecs/ListTaskDefinitions/" + definitionStateKey(c.Account, c.Region, status, family) + "/" + string(in.Sort)
	cursor, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	r := s.store.Read()
	out := &api.ListTaskDefinitionsResponse{TaskDefinitionArns: []string{}}
	last := ""
	add := func(t TaskDefinition) bool {
		if len(out.TaskDefinitionArns) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			return false
		}
		out.TaskDefinitionArns = append(out.TaskDefinitionArns, string(t.ARN()))
		last = t.Key()
		return true
	}
	if in.Sort == api.SortOrderDesc {
		descending(r, c, status, family, cursor, add)
		return out, nil
	}
	for t := range TaskDefinitions.ByFrom(r, byDefinitionState, definitionStateKey(c.Account, c.Region, status, family), cursor) {
		if !add(t) {
			break
		}
	}
	return out, nil
}

// descending yields revisions from the last family and the highest number down, below the cursor.
func descending(r store.Reader, c aws.Caller, status api.TaskDefinitionStatus, family, cursor string, yield func(TaskDefinition) bool) {
	var families []Family
	if f, ok := Families.Get(r, familyKey(c.Account, c.Region, family)); ok && family != "" {
		families = append(families, f)
	}
	if family == "" {
		families = slices.Collect(Families.Prefix(r, c.Account+"/"+c.Region+"/"))
	}
	slices.Reverse(families)
	for _, f := range families {
		if first := TaskDefinitionKey(c.Account, c.Region, f.Name, 1); cursor != "" && first >= cursor {
			continue
		}
		for n := f.Last; n > 0; n-- {
			key := TaskDefinitionKey(c.Account, c.Region, f.Name, n)
			if cursor != "" && key >= cursor {
				continue
			}
			if t, ok := TaskDefinitions.Get(r, key); ok && t.Status == status && !t.Gone && !yield(t) {
				return
			}
		}
	}
}

// ListTaskDefinitionFamilies lists family names by prefix.
func (s *Service) ListTaskDefinitionFamilies(ctx context.Context, in *api.ListTaskDefinitionFamiliesRequest) (*api.ListTaskDefinitionFamiliesResponse, error) {
	c := aws.CallerFrom(ctx)
	size, err := pageSize(in.MaxResults, maxPage)
	if err != nil {
		return nil, err
	}
	status := in.Status
	if status == "" {
		status = api.TaskDefinitionFamilyStatusAll
	}
	if !slices.Contains(status.Values(), string(status)) {
		return nil, invalid("Invalid status '%s'. Valid values: [ACTIVE,INACTIVE,ALL]", status)
	}
	prefix := familyKey(c.Account, c.Region, value(in.FamilyPrefix))
	scope := "ecs/ListTaskDefinitionFamilies/" + prefix + "|" + string(status)
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &api.ListTaskDefinitionFamiliesResponse{Families: []string{}}
	last := ""
	for f := range Families.From(s.store.Read(), prefix, after) {
		if !f.matches(status) {
			continue
		}
		if len(out.Families) == size {
			out.NextToken = new(s.pages.Seal(scope, last))
			break
		}
		out.Families = append(out.Families, f.Name)
		last = f.Key()
	}
	return out, nil
}

// matches says whether the family is listed under the status: ACTIVE has an ACTIVE revision, INACTIVE only others.
func (f Family) matches(status api.TaskDefinitionFamilyStatus) bool {
	switch status {
	case api.TaskDefinitionFamilyStatusActive:
		return f.Active > 0
	case api.TaskDefinitionFamilyStatusInactive:
		return f.Active == 0 && f.Listed > 0
	}
	return f.Listed > 0
}
