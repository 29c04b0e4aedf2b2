package ecs

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"berth/aws"
	"berth/store"
)

const defaultCluster = "default"

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	idPattern      = regexp.MustCompile(`^[0-9a-f]{32}$`)
	uuidPattern    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	startedPattern = regexp.MustCompile(`^[A-Za-z0-9_/-]*$`)
)

func value[T any](p *T) T { return aws.Value(p) }

// ecsResource takes apart an ECS ARN of the caller's account and region: arn:aws:ecs:region:account:<kind>/<rest>.
// ok is false if it is not such an ARN or names another kind, account or region.
func ecsResource(c aws.Caller, s, kind string) (rest string, ok bool) {
	arn, err := aws.ParseARN(s)
	if err != nil || arn.Service() != "ecs" || arn.Account() != c.Account || arn.Region() != c.Region {
		return "", false
	}
	return strings.CutPrefix(arn.Resource(), kind+"/")
}

// clusterName reads a cluster argument: absent or empty means "default", else a name or an ARN. A foreign ARN does
// not resolve.
func clusterName(c aws.Caller, arg *string) (string, error) {
	s := value(arg)
	if s == "" {
		return defaultCluster, nil
	}
	if aws.IsARN(s) {
		name, ok := ecsResource(c, s, "cluster")
		if !ok || !namePattern.MatchString(name) {
			return "", aws.Errorf(codeClusterNotFound, msgClusterNotFound)
		}
		return name, nil
	}
	if strings.ContainsAny(s, "/:") {
		return "", invalid("Invalid identifier: Unexpected number of separators")
	}
	if !namePattern.MatchString(s) {
		return "", invalid("Identifier contains invalid characters.")
	}
	return s, nil
}

// activeCluster resolves a cluster argument to a cluster that things can be created in.
func activeCluster(ctx context.Context, r store.Reader, arg *string) (Cluster, error) {
	caller := aws.CallerFrom(ctx)
	name, err := clusterName(caller, arg)
	if err != nil {
		return Cluster{}, err
	}
	cluster, ok := Clusters.Get(r, ClusterKey(caller.Account, caller.Region, name))
	if !ok {
		return Cluster{}, aws.Errorf(codeClusterNotFound, msgClusterNotFound)
	}
	if cluster.Inactive {
		return Cluster{}, aws.Errorf(codeClusterNotFound, msgClusterInactive)
	}
	return cluster, nil
}

// memberID reads a reference to a thing inside a cluster (a task or a container instance): an ID, a UUID, an ARN
// with the cluster or an old ARN without it. cluster is empty if the reference does not name one.
// ok is false for anything that cannot exist in the caller's account and region.
func memberID(c aws.Caller, kind, ref string) (cluster, id string, ok bool) {
	rest := ref
	if aws.IsARN(ref) {
		if rest, ok = ecsResource(c, ref, kind); !ok {
			return "", "", false
		}
		if before, after, found := strings.Cut(rest, "/"); found {
			cluster, rest = before, after
		}
	}
	if uuidPattern.MatchString(rest) {
		rest = strings.ReplaceAll(rest, "-", "")
	}
	return cluster, rest, idPattern.MatchString(rest)
}

// memberARN is the ARN shown in a failure for a reference that was not found: a given ARN as it is, an ID completed.
func memberARN(c aws.Caller, kind, cluster, ref string) string {
	if aws.IsARN(ref) {
		return ref
	}
	return string(aws.NewARN("ecs", c.Region, c.Account, kind+"/"+cluster+"/"+ref))
}

// definitionRef is a reference to a task definition. Revision 0 means the latest ACTIVE one.
type definitionRef struct {
	family   string
	revision int32
	// hasRevision and revisionText keep what was written after the colon.
	hasRevision  bool
	revisionText string
}

// parseDefinitionRef reads family, family:revision or an ARN. ok is false if it cannot name a definition of the
// caller's account and region.
func parseDefinitionRef(c aws.Caller, s string) (ref definitionRef, ok bool) {
	rest := s
	if aws.IsARN(s) {
		if rest, ok = ecsResource(c, s, "task-definition"); !ok {
			return ref, false
		}
	}
	ref.family, ref.revisionText, ref.hasRevision = strings.Cut(rest, ":")
	if !namePattern.MatchString(ref.family) {
		return ref, false
	}
	if !ref.hasRevision {
		return ref, true
	}
	n, err := strconv.ParseInt(ref.revisionText, 10, 32)
	if err != nil || n < 1 {
		return ref, false
	}
	ref.revision = int32(n)
	return ref, true
}

// latestActive finds the highest ACTIVE revision of a family.
func latestActive(r store.Reader, c aws.Caller, family string) (TaskDefinition, bool) {
	f, ok := Families.Get(r, familyKey(c.Account, c.Region, family))
	if !ok || f.Latest == 0 {
		return TaskDefinition{}, false
	}
	return TaskDefinitions.Get(r, TaskDefinitionKey(c.Account, c.Region, family, f.Latest))
}

// findDefinition resolves a reference for Describe: any status but gone.
func findDefinition(r store.Reader, c aws.Caller, s string) (TaskDefinition, bool) {
	ref, ok := parseDefinitionRef(c, s)
	if !ok {
		return TaskDefinition{}, false
	}
	if !ref.hasRevision {
		return latestActive(r, c, ref.family)
	}
	t, ok := TaskDefinitions.Get(r, TaskDefinitionKey(c.Account, c.Region, ref.family, ref.revision))
	return t, ok && !t.Gone
}

// runnableDefinition resolves a reference for RunTask and StartTask: it must be ACTIVE.
func runnableDefinition(r store.Reader, c aws.Caller, arg *string) (TaskDefinition, error) {
	if value(arg) == "" {
		return TaskDefinition{}, invalid("TaskDefinition can not be blank.")
	}
	t, ok := findDefinition(r, c, *arg)
	if !ok {
		return TaskDefinition{}, clientError(msgDefinitionNotFound)
	}
	if t.Status != definitionActive {
		return TaskDefinition{}, clientError(msgDefinitionInactive)
	}
	return t, nil
}

// pageSize checks maxResults against 1..most; absent means most.
func pageSize(maxResults *int32, most int32) (int, error) {
	if maxResults == nil {
		return int(most), nil
	}
	if *maxResults < 1 || *maxResults > most {
		return 0, invalid("maxResults should be in range [1, %d]", most)
	}
	return int(*maxResults), nil
}

// openPage reads a page token; absent or empty means the first page.
func (s *Service) openPage(scope string, token *string) (string, error) {
	if value(token) == "" {
		return "", nil
	}
	cursor, err := s.pages.Open(scope, *token)
	if err != nil {
		return "", invalid("Invalid token %s", *token)
	}
	return cursor, nil
}

func tooLong(s string, most int) bool { return utf8.RuneCountInString(s) > most }
