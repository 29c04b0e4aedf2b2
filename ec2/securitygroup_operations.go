package ec2

import (
	"context"
	"regexp"
	"slices"
	"strings"

	api "berth/api/ec2"
	"berth/aws"
	"berth/store"
)

// mostGroups is how many security groups an account may have in a region. Source: VPC user guide, "Amazon VPC quotas".
const mostGroups = 2500

// groupText is what names and descriptions of groups consist of. Source: EC2 API reference, CreateSecurityGroup.
var groupText = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)

// CreateSecurityGroup makes a group in the default VPC. Its members may reach everything, as AWS has it.
func (s *Service) CreateSecurityGroup(ctx context.Context, in *api.CreateSecurityGroupRequest) (*api.CreateSecurityGroupResult, error) {
	c := aws.CallerFrom(ctx)
	g := SecurityGroup{
		Account: c.Account, Region: c.Region, ID: newID(kindGroup.prefix), VPC: DefaultVPCID(c.Account, c.Region),
		Name: strings.TrimSpace(*in.GroupName), Description: *in.Description,
		Rules: []Rule{{ID: newID(kindRule.prefix), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: everywhere}},
	}
	if in.VpcId != nil && *in.VpcId != g.VPC {
		return nil, kindVPC.missing(*in.VpcId)
	}
	if err := g.checkText(); err != nil {
		return nil, err
	}
	tags, err := readSpecifications(in.TagSpecifications, kindGroup)
	if err != nil {
		return nil, err
	}
	out := &api.CreateSecurityGroupResult{GroupId: &g.ID, SecurityGroupArn: new(g.ARN().String())}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		if SecurityGroups.CountBy(tx, byGroupName, key(c.Account, c.Region, g.VPC+"/"+g.Name)) > 0 {
			return aws.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", g.Name, g.VPC)
		}
		if SecurityGroups.CountBy(tx, byGroupVPC, key(c.Account, c.Region, g.VPC)) >= mostGroups {
			return aws.Errorf("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
		}
		if err := putTags(tx, c, g.ID, tags); err != nil {
			return err
		}
		SecurityGroups.Put(tx, g)
		out.Tags = tagsOf(tx, c, g.ID)
		return dryRun(in.DryRun)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// checkText checks name and description.
func (g SecurityGroup) checkText() error {
	const set = "a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*"
	switch {
	case g.Name == "" || !groupText.MatchString(g.Name):
		return aws.Errorf("InvalidParameterValue", "Value (%s) for parameter groupName is invalid. It has 1 to 255 characters of %s.", g.Name, set)
	case strings.EqualFold(g.Name, defaultGroupName):
		return aws.Errorf("InvalidParameterValue", "Cannot use reserved security group name: %s", g.Name)
	case strings.HasPrefix(g.Name, "sg-"):
		return aws.Errorf("InvalidParameterValue", "Value (%s) for parameter groupName is invalid. It must not begin with sg-.", g.Name)
	case g.Description == "":
		return aws.Errorf("MissingParameter", "The request must contain the parameter GroupDescription")
	case !groupText.MatchString(g.Description):
		return aws.Errorf("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. It has up to 255 characters of %s.", g.Description, set)
	}
	return nil
}

// DescribeSecurityGroups lists groups, with their rules gathered by protocol and ports.
func (s *Service) DescribeSecurityGroups(ctx context.Context, in *api.DescribeSecurityGroupsRequest) (*api.DescribeSecurityGroupsResult, error) {
	c, r := aws.CallerFrom(ctx), s.Store.Read()
	var all []api.SecurityGroup
	for _, g := range groupsOf(r, c) {
		all = append(all, g.shape(r, c))
	}
	named := listing[api.SecurityGroup]{
		id: func(g api.SecurityGroup) string { return *g.GroupName },
		missing: func(name string) *aws.Error {
			return aws.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, DefaultVPCID(c.Account, c.Region))
		},
	}
	all, err := named.pick(all, in.GroupNames)
	if err != nil {
		return nil, err
	}
	q := query{ids: in.GroupIds, filters: in.Filters, max: in.MaxResults, token: in.NextToken, dryRun: in.DryRun}
	list, token, err := securityGroups.page(ctx, s, q, all)
	if err != nil {
		return nil, err
	}
	return &api.DescribeSecurityGroupsResult{SecurityGroups: list, NextToken: token}, nil
}

// groupsOf are all groups of the caller's account and region.
func groupsOf(r store.Reader, c aws.Caller) []SecurityGroup {
	g, _ := GroupByID(r, c.Account, c.Region, DefaultGroupID(c.Account, c.Region))
	out := []SecurityGroup{g}
	for v := range SecurityGroups.Prefix(r, key(c.Account, c.Region, "")) {
		if v.ID != g.ID {
			out = append(out, v)
		}
	}
	return out
}

// DeleteSecurityGroup removes a group that no network interface is in and no other group's rule names.
func (s *Service) DeleteSecurityGroup(ctx context.Context, in *api.DeleteSecurityGroupRequest) (*api.DeleteSecurityGroupResult, error) {
	c, out := aws.CallerFrom(ctx), &api.DeleteSecurityGroupResult{Return: new(true)}
	var rules []Rule
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, c, in.GroupId, in.GroupName)
		if err != nil {
			return err
		}
		out.GroupId = &g.ID
		if g.Name == defaultGroupName {
			return aws.Errorf("CannotDelete", "the specified group: \"%s\" name: \"%s\" cannot be deleted by a user", g.ID, g.Name)
		}
		used := Interfaces.CountBy(tx, byInterfaceGroup, g.Key()) > 0
		for other := range SecurityGroups.By(tx, byGroupPeer, g.Key()) {
			used = used || other.ID != g.ID
		}
		if used {
			return aws.Errorf("DependencyViolation", "resource %s has a dependent object", g.ID)
		}
		SecurityGroups.Delete(tx, g.Key())
		rules = g.Rules
		dropTags(tx, c, g.ID)
		return dryRun(in.DryRun)
	})
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(rules, mostAtOnce) {
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			for _, rule := range some {
				dropTags(tx, c, rule.ID)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findGroup finds the group that a request names by ID, or by its name in the default VPC.
func findGroup(r store.Reader, c aws.Caller, id, name *string) (SecurityGroup, error) {
	switch {
	case aws.Value(id) != "":
		if g, ok := GroupByID(r, c.Account, c.Region, *id); ok {
			return g, nil
		}
		return SecurityGroup{}, kindGroup.missing(*id)
	case aws.Value(name) != "":
		return groupByName(r, c, *name)
	}
	return SecurityGroup{}, aws.Errorf("MissingParameter", "The request must contain the parameter groupName or groupId")
}

func groupByName(r store.Reader, c aws.Caller, name string) (SecurityGroup, error) {
	vpc := DefaultVPCID(c.Account, c.Region)
	for g := range SecurityGroups.By(r, byGroupName, key(c.Account, c.Region, vpc+"/"+name)) {
		return g, nil
	}
	if name == defaultGroupName {
		return defaultGroup(c.Account, c.Region), nil
	}
	return SecurityGroup{}, aws.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, vpc)
}
