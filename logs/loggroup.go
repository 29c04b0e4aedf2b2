package logs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	api "berth/api/logs"
	"berth/aws"
	"berth/store"
)

// Group is the record of a log group. Written by: the group's operations.
type Group struct {
	Account   string            `json:"a"`
	Region    string            `json:"r"`
	Name      string            `json:"n"`
	ID        uint64            `json:"id"`
	Created   int64             `json:"c"`          // ms since the epoch
	Retention int32             `json:"d,omitzero"` // days; 0 means for ever
	Class     api.LogGroupClass `json:"k,omitzero"`
	Protected bool              `json:"p,omitzero"`
	Tags      map[string]string `json:"t,omitzero"`
}

// Key is account/region/name.
func (g Group) Key() string { return groupKey(g.Account, g.Region, g.Name) }

func groupKey(account, region, name string) string { return account + "/" + region + "/" + name }

// Groups is the table of log groups.
var Groups = store.NewTable("logs/group", Group.Key)

// ARN is without the ":*" that some answers append.
func (g Group) ARN() string {
	return aws.NewARN("logs", g.Region, g.Account, "log-group:"+g.Name).String()
}

// oldest is the lowest timestamp (ms) that the group still keeps at now.
func (g Group) oldest(now time.Time) int64 {
	if g.Retention == 0 {
		return 0
	}
	return millis(now.Add(-time.Duration(g.Retention) * day))
}

const maxTags = 50

// CreateLogGroup makes an empty group.
func (s *Service) CreateLogGroup(ctx context.Context, in *api.CreateLogGroupRequest) (*api.CreateLogGroupResponse, error) {
	c := aws.CallerFrom(ctx)
	name := aws.Value(in.LogGroupName)
	switch {
	case in.KmsKeyId != nil:
		return nil, invalid("kmsKeyId is not supported: Berth does not encrypt log groups.")
	case in.LogGroupClass == api.LogGroupClassDelivery:
		return nil, invalid("The log group class DELIVERY is not supported.")
	case strings.HasPrefix(name, "aws/"):
		return nil, invalid("Log group name cannot start with 'aws/'")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	g := Group{
		Account: c.Account, Region: c.Region, Name: name, ID: newID(), Created: millis(time.Now()),
		Class: in.LogGroupClass, Protected: aws.Value(in.DeletionProtectionEnabled), Tags: in.Tags,
	}
	return &api.CreateLogGroupResponse{}, s.createGroup(ctx, g)
}

func (s *Service) createGroup(ctx context.Context, g Group) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if _, there := Groups.Get(tx, g.Key()); there {
			return aws.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
		}
		Groups.Put(tx, g)
		return nil
	})
}

// DescribeLogGroups lists groups in the order of their names.
func (s *Service) DescribeLogGroups(ctx context.Context, in *api.DescribeLogGroupsRequest) (*api.DescribeLogGroupsResponse, error) {
	c := aws.CallerFrom(ctx)
	prefix, part := aws.Value(in.LogGroupNamePrefix), aws.Value(in.LogGroupNamePattern)
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	if err := onlyOwnAccount(c, in.AccountIdentifiers); err != nil {
		return nil, err
	}
	if in.LogGroupIdentifiers != nil {
		if prefix+part != "" || in.LogGroupClass != "" {
			return nil, invalid("logGroupIdentifiers cannot be used with another filter.")
		}
		return s.describeNamed(ctx, in.LogGroupIdentifiers)
	}
	keep := func(g Group) bool {
		return strings.Contains(g.Name, part) && (in.LogGroupClass == "" || g.class() == in.LogGroupClass)
	}
	scope := fmt.Sprintf("DescribeLogGroups %s %s %q %q %s", c.Account, c.Region, prefix, part, in.LogGroupClass)
	groups, next, err := s.groupPage(c, scope, prefix, in.NextToken, limit(in.Limit, 50), keep)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeLogGroupsResponse{LogGroups: []api.LogGroup{}, NextToken: next}
	for _, g := range groups {
		out.LogGroups = append(out.LogGroups, s.groupShape(g))
	}
	return out, nil
}

// onlyOwnAccount refuses to look into other accounts: accounts can't be linked.
func onlyOwnAccount(c aws.Caller, accounts []string) error {
	if slices.ContainsFunc(accounts, func(a string) bool { return a != c.Account }) {
		return invalid("accountIdentifiers can have only your own account %s: this Berth does not link accounts.", c.Account)
	}
	return nil
}

func (s *Service) describeNamed(ctx context.Context, identifiers []string) (*api.DescribeLogGroupsResponse, error) {
	out := &api.DescribeLogGroupsResponse{LogGroups: []api.LogGroup{}}
	r := s.Store.Read()
	for _, id := range identifiers {
		if g, err := s.group(ctx, r, nil, &id); err == nil {
			out.LogGroups = append(out.LogGroups, s.groupShape(g))
		}
	}
	slices.SortFunc(out.LogGroups, func(a, b api.LogGroup) int { return strings.Compare(*a.LogGroupName, *b.LogGroupName) })
	return out, nil
}

// groupPage is one page of the caller's groups and the token for the next one, nil at the end.
func (s *Service) groupPage(c aws.Caller, scope, prefix string, token *string, n int, keep func(Group) bool) ([]Group, *string, error) {
	after, ok, err := s.openToken(scope, token)
	if err != nil {
		return nil, nil, err
	}
	if ok {
		after = groupKey(c.Account, c.Region, after)
	}
	var page []Group
	for g := range Groups.From(s.Store.Read(), groupKey(c.Account, c.Region, prefix), after) {
		if !keep(g) {
			continue
		}
		if len(page) == n {
			return page, new(s.Pages.Seal(scope, page[n-1].Name)), nil
		}
		page = append(page, g)
	}
	return page, nil, nil
}

// ListLogGroups lists names, ARNs and classes of groups.
func (s *Service) ListLogGroups(ctx context.Context, in *api.ListLogGroupsRequest) (*api.ListLogGroupsResponse, error) {
	c := aws.CallerFrom(ctx)
	if len(in.DataSources) > 0 || len(in.FieldIndexNames) > 0 {
		return nil, invalid("dataSources and fieldIndexNames are not supported.")
	}
	if err := onlyOwnAccount(c, in.AccountIdentifiers); err != nil {
		return nil, err
	}
	alternatives := strings.Split(aws.Value(in.LogGroupNamePattern), "|")
	keep := func(g Group) bool {
		named := slices.ContainsFunc(alternatives, func(a string) bool {
			if rest, anchored := strings.CutPrefix(a, "^"); anchored {
				return strings.HasPrefix(g.Name, rest)
			}
			return strings.Contains(g.Name, a)
		})
		return named && (in.LogGroupClass == "" || g.class() == in.LogGroupClass) && hasTags(g.Tags, in.LogGroupTags)
	}
	scope := fmt.Sprintf("ListLogGroups %s %s %q %s %v", c.Account, c.Region, aws.Value(in.LogGroupNamePattern), in.LogGroupClass, tagScope(in.LogGroupTags))
	groups, next, err := s.groupPage(c, scope, "", in.NextToken, limit(in.Limit, 50), keep)
	if err != nil {
		return nil, err
	}
	out := &api.ListLogGroupsResponse{LogGroups: []api.LogGroupSummary{}, NextToken: next}
	for _, g := range groups {
		out.LogGroups = append(out.LogGroups, api.LogGroupSummary{LogGroupName: new(g.Name), LogGroupArn: new(g.ARN()), LogGroupClass: g.class()})
	}
	return out, nil
}

// retentions are the numbers of days that AWS admits. Source: API reference of PutRetentionPolicy.
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// PutRetentionPolicy sets for how many days events are kept. Older ones are not shown from now on, and are deleted.
func (s *Service) PutRetentionPolicy(ctx context.Context, in *api.PutRetentionPolicyRequest) (*api.PutRetentionPolicyResponse, error) {
	days := aws.Value(in.RetentionInDays)
	if !slices.Contains(retentions, days) {
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: "+
			"Member must satisfy enum value set: [%s]", days, strings.Trim(strings.ReplaceAll(fmt.Sprint(retentions), " ", ", "), "[]"))
	}
	return &api.PutRetentionPolicyResponse{}, s.changeGroup(ctx, in.LogGroupName, nil, func(g *Group) error {
		g.Retention = days
		return nil
	})
}

// DeleteRetentionPolicy keeps events for ever.
func (s *Service) DeleteRetentionPolicy(ctx context.Context, in *api.DeleteRetentionPolicyRequest) (*api.DeleteRetentionPolicyResponse, error) {
	return &api.DeleteRetentionPolicyResponse{}, s.changeGroup(ctx, in.LogGroupName, nil, func(g *Group) error {
		g.Retention = 0
		return nil
	})
}

// PutLogGroupDeletionProtection lets DeleteLogGroup fail, or not.
func (s *Service) PutLogGroupDeletionProtection(ctx context.Context, in *api.PutLogGroupDeletionProtectionRequest) (*api.PutLogGroupDeletionProtectionResponse, error) {
	return &api.PutLogGroupDeletionProtectionResponse{}, s.changeGroup(ctx, nil, in.LogGroupIdentifier, func(g *Group) error {
		g.Protected = aws.Value(in.DeletionProtectionEnabled)
		return nil
	})
}

// DeleteLogGroup removes the group with its streams and events.
func (s *Service) DeleteLogGroup(ctx context.Context, in *api.DeleteLogGroupRequest) (*api.DeleteLogGroupResponse, error) {
	return &api.DeleteLogGroupResponse{}, s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := s.group(ctx, tx, in.LogGroupName, nil)
		if err != nil {
			return err
		}
		if g.Protected {
			return aws.Errorf("ValidationException", "The log group %s has deletion protection enabled.", g.Name)
		}
		Groups.Delete(tx, g.Key())
		Deletions.Put(tx, Deleted{ID: g.ID, Account: g.Account, Region: g.Region, Group: true})
		return nil
	})
}

// changeGroup applies change to the caller's group.
func (s *Service) changeGroup(ctx context.Context, name, identifier *string, change func(*Group) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := s.group(ctx, tx, name, identifier)
		if err != nil {
			return err
		}
		if err := change(&g); err != nil {
			return err
		}
		Groups.Put(tx, g)
		return nil
	})
}

// group finds the caller's group by its name, or by an identifier that is a name or an ARN.
func (s *Service) group(ctx context.Context, r store.Reader, name, identifier *string) (Group, error) {
	c := aws.CallerFrom(ctx)
	switch {
	case name != nil && identifier != nil:
		return Group{}, invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	case name == nil && identifier == nil:
		return Group{}, invalid("At least one of logGroupName or logGroupIdentifier is required.")
	case name == nil:
		name = identifier
	}
	plain := *name
	if identifier != nil && aws.IsARN(plain) {
		arn, err := aws.ParseARN(plain)
		if err != nil || arn.Service() != "logs" || !strings.HasPrefix(arn.Resource(), "log-group:") {
			return Group{}, invalid("Invalid log group ARN: %s", plain)
		}
		if arn.Account() != c.Account || arn.Region() != c.Region {
			return Group{}, noGroup()
		}
		plain = strings.TrimSuffix(strings.TrimPrefix(arn.Resource(), "log-group:"), ":*")
	}
	g, ok := Groups.Get(r, groupKey(c.Account, c.Region, plain))
	if !ok {
		return Group{}, noGroup()
	}
	return g, nil
}

func (g Group) class() api.LogGroupClass {
	if g.Class == "" {
		return api.LogGroupClassStandard
	}
	return g.Class
}

func (s *Service) groupShape(g Group) api.LogGroup {
	out := api.LogGroup{
		LogGroupName: new(g.Name), CreationTime: new(g.Created), MetricFilterCount: new(int32(0)),
		Arn: new(g.ARN() + ":*"), LogGroupArn: new(g.ARN()), StoredBytes: new(s.Events.GroupBytes(g.ID)),
		LogGroupClass: g.class(), DeletionProtectionEnabled: new(g.Protected),
	}
	if g.Retention != 0 {
		out.RetentionInDays = new(g.Retention)
	}
	return out
}

// limit is the asked-for page size, or usual.
func limit(n *int32, usual int) int {
	if n == nil {
		return usual
	}
	return int(*n)
}

// idText is an ID as it stands in keys.
func idText(id uint64) string {
	t := strconv.FormatUint(id, 16)
	return strings.Repeat("0", 16-len(t)) + t
}
