package ecs

import (
	"context"
	"slices"
	"strconv"
	"strings"

	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// AccountSetting is a setting that somebody made. Principal "" is the account's default.
// Written by: PutAccountSetting, PutAccountSettingDefault, DeleteAccountSetting.
type AccountSetting struct {
	Account   string          `json:"a"`
	Region    string          `json:"r"`
	Principal string          `json:"p,omitzero"` // ARN
	Name      api.SettingName `json:"n"`
	Value     string          `json:"x"`
}

// AccountSettings has the settings that were made; all others have their defaults.
var AccountSettings = store.NewTable("ecs/accountsetting", AccountSetting.Key)

func accountSettingKey(account, region, principal string, name api.SettingName) string {
	return account + "/" + region + "/" + principal + "|" + string(name)
}

// Key is account/region/principal|name.
func (a AccountSetting) Key() string {
	return accountSettingKey(a.Account, a.Region, a.Principal, a.Name)
}

const settingContainerInsights = api.SettingNameContainerInsights

// settingRule says what values a setting takes. The first value is the default.
type settingRule struct {
	name   api.SettingName
	values []string
	// readOnly settings are managed by AWS.
	readOnly bool
}

// settingRules has every setting, in the order in which they are listed.
// Source: ECS developer guide, "Access Amazon ECS features with account settings".
func settingRules() []settingRule {
	return []settingRule{
		{name: api.SettingNameServiceLongArnFormat, values: []string{"enabled"}},
		{name: api.SettingNameTaskLongArnFormat, values: []string{"enabled"}},
		{name: api.SettingNameContainerInstanceLongArnFormat, values: []string{"enabled"}},
		{name: api.SettingNameAwsvpcTrunking, values: []string{"disabled", "enabled"}},
		{name: settingContainerInsights, values: []string{"disabled", "enabled", "enhanced"}},
		{name: settingDualStackIPv6, values: []string{"enabled", "disabled"}},
		{name: api.SettingNameFargateFIPSMode, values: []string{"disabled", "enabled"}},
		{name: api.SettingNameTagResourceAuthorization, values: []string{"on", "off"}},
		{name: api.SettingNameFargateTaskRetirementWaitPeriod, values: []string{"7", "0", "14"}},
		{name: api.SettingNameFargateEventWindows, values: []string{"disabled", "enabled"}},
		{name: api.SettingNameGuardDutyActivate, values: []string{"off"}, readOnly: true},
		{name: api.SettingNameDefaultLogDriverMode, values: []string{"non-blocking", "blocking"}},
	}
}

// settingDualStackIPv6 is not in the model any more, but older clients set it.
const settingDualStackIPv6 api.SettingName = "dualStackIPv6"

func ruleOf(name api.SettingName) (settingRule, bool) {
	rules := settingRules()
	i := slices.IndexFunc(rules, func(r settingRule) bool { return r.name == name })
	if i < 0 {
		return settingRule{}, false
	}
	return rules[i], true
}

func settingNames() string {
	var names []string
	for _, r := range settingRules() {
		names = append(names, string(r.name))
	}
	return strings.Join(names, ",")
}

// effectiveSetting is what holds for the caller: its own value, the account's default, or the built-in one.
func effectiveSetting(r store.Reader, c aws.Caller, name api.SettingName) string {
	v, _ := lookUpSetting(r, c.Account, c.Region, string(c.ARN), name)
	return v
}

// lookUpSetting also tells whose value it is: the principal, or "" for the account's default and the built-in one.
func lookUpSetting(r store.Reader, account, region, principal string, name api.SettingName) (value, owner string) {
	for _, p := range []string{principal, ""} {
		if s, ok := AccountSettings.Get(r, accountSettingKey(account, region, p, name)); ok {
			return s.Value, p
		}
	}
	rule, ok := ruleOf(name)
	if !ok {
		return "", ""
	}
	return rule.values[0], ""
}

func checkSetting(name api.SettingName, val *string) error {
	rule, ok := ruleOf(name)
	if !ok {
		return invalid("%s should be one of [%s]", name, settingNames())
	}
	if rule.readOnly {
		return invalid("%s is managed by AWS and can't be changed.", name)
	}
	if !slices.Contains(rule.values, value(val)) {
		return invalid("Invalid value '%s' for %s. Valid values: [%s]", value(val), name, strings.Join(rule.values, ","))
	}
	return nil
}

// settingPrincipal reads principalArn: the caller may speak for itself, the account's root for everyone in it.
func settingPrincipal(c aws.Caller, arg *string) (string, error) {
	s := value(arg)
	if s == "" || s == string(c.ARN) {
		return string(c.ARN), nil
	}
	arn, err := aws.ParseARN(s)
	if err != nil || arn.Service() != "iam" || arn.Account() != c.Account {
		return "", invalid("Invalid principalArn '%s'.", s)
	}
	if c.ARN != rootARN(c.Account) {
		return "", aws.Errorf("AccessDeniedException", "User: %s is not authorized to perform: ecs:PutAccountSetting on behalf of %s", c.ARN, s)
	}
	return s, nil
}

func rootARN(account string) aws.ARN { return aws.NewARN("iam", "", account, "root") }

// PutAccountSetting sets a value for a principal. Root's own value is the account's default, as in AWS.
func (s *Service) PutAccountSetting(ctx context.Context, in *api.PutAccountSettingRequest) (*api.PutAccountSettingResponse, error) {
	if err := checkSetting(in.Name, in.Value); err != nil {
		return nil, err
	}
	principal, err := settingPrincipal(aws.CallerFrom(ctx), in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	setting, err := s.putSetting(ctx, principal, in.Name, *in.Value)
	return &api.PutAccountSettingResponse{Setting: setting}, err
}

// PutAccountSettingDefault sets the value for everyone in the account who has none of their own.
func (s *Service) PutAccountSettingDefault(ctx context.Context, in *api.PutAccountSettingDefaultRequest) (*api.PutAccountSettingDefaultResponse, error) {
	if err := checkSetting(in.Name, in.Value); err != nil {
		return nil, err
	}
	setting, err := s.putSetting(ctx, "", in.Name, *in.Value)
	return &api.PutAccountSettingDefaultResponse{Setting: setting}, err
}

func (s *Service) putSetting(ctx context.Context, principal string, name api.SettingName, val string) (*api.Setting, error) {
	c := aws.CallerFrom(ctx)
	if principal == string(rootARN(c.Account)) {
		principal = ""
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		AccountSettings.Put(tx, AccountSetting{Account: c.Account, Region: c.Region, Principal: principal, Name: name, Value: val})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return wireSetting(c, principal, name, val), nil
}

func wireSetting(c aws.Caller, principal string, name api.SettingName, val string) *api.Setting {
	if principal == "" {
		principal = string(rootARN(c.Account))
	}
	typ := api.SettingTypeUser
	if rule, _ := ruleOf(name); rule.readOnly {
		typ = api.SettingTypeAwsManaged
	}
	return &api.Setting{Name: name, Value: new(val), PrincipalArn: new(principal), Type: typ}
}

// DeleteAccountSetting removes a principal's value and answers with what holds from then on.
func (s *Service) DeleteAccountSetting(ctx context.Context, in *api.DeleteAccountSettingRequest) (*api.DeleteAccountSettingResponse, error) {
	if _, ok := ruleOf(in.Name); !ok {
		return nil, invalid("%s should be one of [%s]", in.Name, settingNames())
	}
	c := aws.CallerFrom(ctx)
	principal, err := settingPrincipal(c, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	stored := principal
	if principal == string(rootARN(c.Account)) {
		stored = ""
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		AccountSettings.Delete(tx, accountSettingKey(c.Account, c.Region, stored, in.Name))
		return nil
	})
	if err != nil {
		return nil, err
	}
	val, _ := lookUpSetting(s.store.Read(), c.Account, c.Region, stored, in.Name)
	return &api.DeleteAccountSettingResponse{Setting: wireSetting(c, principal, in.Name, val)}, nil
}

const maxSettingsPage = 10

// ListAccountSettings lists what the principal has set, or with effectiveSettings what holds for it.
func (s *Service) ListAccountSettings(ctx context.Context, in *api.ListAccountSettingsRequest) (*api.ListAccountSettingsResponse, error) {
	c := aws.CallerFrom(ctx)
	if _, ok := ruleOf(in.Name); !ok && in.Name != "" {
		return nil, invalid("%s should be one of [%s]", in.Name, settingNames())
	}
	if in.Value != nil && in.Name == "" {
		return nil, invalid("The value filter needs a setting name.")
	}
	size, err := pageSize(in.MaxResults, maxSettingsPage)
	if err != nil {
		return nil, err
	}
	principal, err := settingPrincipal(c, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	scope := strings.Join([]string{"ecs/ListAccountSettings", c.Account, c.Region, principal, string(in.Name), value(in.Value),
		strconv.FormatBool(value(in.EffectiveSettings))}, "/")
	after, err := s.openPage(scope, in.NextToken)
	if err != nil {
		return nil, err
	}
	all := listSettings(s.store.Read(), c, principal, after, in)
	out := &api.ListAccountSettingsResponse{Settings: all}
	if len(all) > size {
		out.Settings = all[:size]
		out.NextToken = new(s.pages.Seal(scope, string(all[size-1].Name)))
	}
	return out, nil
}

// listSettings has the settings that come after the one named after; "" means all.
func listSettings(r store.Reader, c aws.Caller, principal, after string, in *api.ListAccountSettingsRequest) []api.Setting {
	out := []api.Setting{}
	rules := settingRules()
	first := slices.IndexFunc(rules, func(r settingRule) bool { return string(r.name) == after }) + 1
	for _, rule := range rules[first:] {
		if in.Name != "" && in.Name != rule.name {
			continue
		}
		stored := principal
		if principal == string(rootARN(c.Account)) {
			stored = ""
		}
		val, owner := lookUpSetting(r, c.Account, c.Region, stored, rule.name)
		_, explicit := AccountSettings.Get(r, accountSettingKey(c.Account, c.Region, stored, rule.name))
		if !value(in.EffectiveSettings) {
			if !explicit {
				continue
			}
			owner = stored
		}
		if in.Value != nil && *in.Value != val {
			continue
		}
		out = append(out, *wireSetting(c, owner, rule.name, val))
	}
	return out
}
