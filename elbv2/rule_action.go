package elbv2

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
	"berth/store"
)

// Limits of actions. Source: ELB API, TargetGroupTuple, TargetGroupStickinessConfig, FixedResponseActionConfig, RedirectActionConfig; user guide,
// quotas.
const (
	maxForwardGroups   = 5
	maxWeight          = 999
	maxStickiness      = 604800 // s
	maxBalancedGroups  = 100    // of a load balancer
	maxRedirectMembers = 128    // characters of each
)

func badAction(format string, args ...any) error { return aws.Errorf(codeBadAction, format, args...) }

// actionCheck is what actions of a listener or a rule are checked against.
type actionCheck struct {
	ctx      context.Context
	r        store.Reader
	lb       LoadBalancer
	protocol api.ProtocolEnum // of the listener
}

// actions checks the actions of a rule and fills in what they leave open, in the way in which the API shows them.
func (c actionCheck) actions(in []api.Action) ([]api.Action, error) {
	for _, a := range in {
		switch a.Type {
		case api.ActionTypeEnumAuthenticateCognito, api.ActionTypeEnumAuthenticateOidc, api.ActionTypeEnumJwtValidation:
			return nil, badAction("Actions of type '%s' are not supported by this Berth", a.Type)
		}
	}
	switch {
	case len(in) == 0:
		return nil, invalid("An action must be specified")
	case len(in) > 1:
		return nil, aws.Errorf("TooManyActions", "Exactly one action of type forward, redirect or fixed-response can be specified")
	}
	a := in[0]
	if err := oneConfig(a); err != nil {
		return nil, err
	}
	if c.lb.Kind == haproxy.Network && a.Type != api.ActionTypeEnumForward {
		return nil, badAction("Actions of type '%s' are not supported by network load balancers", a.Type)
	}
	var err error
	switch a.Type {
	case api.ActionTypeEnumForward:
		a, err = c.forward(a)
	case api.ActionTypeEnumRedirect:
		a.RedirectConfig, err = c.redirect(*a.RedirectConfig)
	case api.ActionTypeEnumFixedResponse:
		err = fixedResponse(*a.FixedResponseConfig)
	}
	return []api.Action{a}, err
}

// oneConfig checks that an action has the configuration of its type, and no other.
func oneConfig(a api.Action) error {
	for _, c := range []struct {
		kind  api.ActionTypeEnum
		name  string
		there bool
	}{
		{api.ActionTypeEnumForward, "TargetGroupArn", a.TargetGroupArn != nil},
		{api.ActionTypeEnumForward, "ForwardConfig", a.ForwardConfig != nil},
		{api.ActionTypeEnumRedirect, "RedirectConfig", a.RedirectConfig != nil},
		{api.ActionTypeEnumFixedResponse, "FixedResponseConfig", a.FixedResponseConfig != nil},
		{api.ActionTypeEnumAuthenticateOidc, "AuthenticateOidcConfig", a.AuthenticateOidcConfig != nil},
		{api.ActionTypeEnumAuthenticateCognito, "AuthenticateCognitoConfig", a.AuthenticateCognitoConfig != nil},
		{api.ActionTypeEnumJwtValidation, "JwtValidationConfig", a.JwtValidationConfig != nil},
	} {
		if c.there && c.kind != a.Type {
			return badAction("%s cannot be specified for an action of type '%s'", c.name, a.Type)
		}
		if !c.there && c.kind == a.Type && a.Type != api.ActionTypeEnumForward {
			return badAction("%s must be specified for an action of type '%s'", c.name, a.Type)
		}
	}
	return nil
}

// forward checks where an action sends traffic. The API shows one target group in both ways.
func (c actionCheck) forward(a api.Action) (api.Action, error) {
	config := aws.Value(a.ForwardConfig)
	config.TargetGroups = slices.Clone(config.TargetGroups)
	switch {
	case a.TargetGroupArn != nil && len(config.TargetGroups) == 0:
		config.TargetGroups = []api.TargetGroupTuple{{TargetGroupArn: a.TargetGroupArn}}
	case len(config.TargetGroups) == 0:
		return a, invalid("A target group ARN must be specified")
	case a.TargetGroupArn != nil && (len(config.TargetGroups) > 1 || aws.Value(config.TargetGroups[0].TargetGroupArn) != *a.TargetGroupArn):
		return a, invalid("If both TargetGroupArn and ForwardConfig are specified, they must specify the same single target group")
	case len(config.TargetGroups) > maxForwardGroups:
		return a, invalid("An action can forward to at most '%d' target groups", maxForwardGroups)
	}
	seen := map[string]bool{}
	for i, t := range config.TargetGroups {
		arn := aws.Value(t.TargetGroupArn)
		if seen[arn] {
			return a, invalid("Target group '%s' is specified more than once", short(arn))
		}
		seen[arn] = true
		if t.Weight == nil {
			config.TargetGroups[i].Weight = new(int32(1))
		} else if *t.Weight < 0 || *t.Weight > maxWeight {
			return a, invalid("Target group weight '%d' must be between 0 and %d", *t.Weight, maxWeight)
		}
		if err := c.group(t.TargetGroupArn); err != nil {
			return a, err
		}
	}
	sticky, err := c.stickiness(config.TargetGroupStickinessConfig)
	if err != nil {
		return a, err
	}
	config.TargetGroupStickinessConfig = sticky
	a.ForwardConfig, a.TargetGroupArn = &config, nil
	if len(config.TargetGroups) == 1 {
		a.TargetGroupArn = config.TargetGroups[0].TargetGroupArn
	}
	return a, nil
}

func (c actionCheck) stickiness(in *api.TargetGroupStickinessConfig) (*api.TargetGroupStickinessConfig, error) {
	switch {
	case in == nil && c.lb.Kind == haproxy.Network:
		return nil, nil
	case in == nil || !aws.Value(in.Enabled):
		if in != nil && in.DurationSeconds != nil && (*in.DurationSeconds < 1 || *in.DurationSeconds > maxStickiness) {
			return nil, invalid("Target group stickiness duration must be between 1 and %d seconds", maxStickiness)
		}
		out := api.TargetGroupStickinessConfig{Enabled: new(false)}
		if in != nil {
			out.DurationSeconds = in.DurationSeconds
		}
		return &out, nil
	case c.lb.Kind == haproxy.Network:
		return nil, badAction("Target group stickiness is not supported by network load balancers")
	case in.DurationSeconds == nil:
		return nil, invalid("A duration must be specified if target group stickiness is enabled")
	case *in.DurationSeconds < 1 || *in.DurationSeconds > maxStickiness:
		return nil, invalid("Target group stickiness duration must be between 1 and %d seconds", maxStickiness)
	}
	return in, nil
}

// compatible lists the protocols of target groups for each protocol of listeners. Source: ELB user guides, target groups, routing configuration.
var compatible = map[api.ProtocolEnum][]api.ProtocolEnum{
	api.ProtocolEnumHTTP:   {api.ProtocolEnumHTTP, api.ProtocolEnumHTTPS},
	api.ProtocolEnumHTTPS:  {api.ProtocolEnumHTTP, api.ProtocolEnumHTTPS},
	api.ProtocolEnumTCP:    {api.ProtocolEnumTCP, api.ProtocolEnumTCPUDP},
	api.ProtocolEnumTLS:    {api.ProtocolEnumTCP, api.ProtocolEnumTLS},
	api.ProtocolEnumUDP:    {api.ProtocolEnumUDP, api.ProtocolEnumTCPUDP},
	api.ProtocolEnumTCPUDP: {api.ProtocolEnumTCPUDP},
}

// group checks that the load balancer can send traffic to a target group.
func (c actionCheck) group(arn *string) error {
	g, err := findTargetGroup(c.ctx, c.r, arn)
	if err != nil {
		return err
	}
	switch {
	case g.VPC != "" && g.VPC != c.lb.VPC:
		return configuration("The target group '%s' is in a different VPC than load balancer '%s'", *arn, c.lb.ARN())
	case !slices.Contains(compatible[c.protocol], g.Protocol):
		return aws.Errorf("IncompatibleProtocols", "The listener and its associated target group '%s' have incompatible protocols: '%s' and '%s'", *arn, c.protocol, g.Protocol)
	case c.protocol == api.ProtocolEnumHTTP && (g.Version == "GRPC" || g.Version == "HTTP2"):
		return configuration("Listener protocol 'HTTP' is not supported with a target group with the protocol-version '%s'", g.Version)
	}
	for _, key := range balancersOf(c.r, *arn) {
		if key != c.lb.Key() {
			return aws.Errorf("TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: %s", *arn)
		}
	}
	return nil
}

// balancersOf are the keys of load balancers that forward to a target group; some may be there twice.
func balancersOf(r store.Reader, group string) (keys []string) {
	for l := range Listeners.By(r, "group", group) {
		keys = append(keys, l.LoadBalancer)
	}
	for v := range Rules.By(r, "group", group) {
		keys = append(keys, v.loadBalancer())
	}
	return keys
}

// tooManyGroups refuses what makes a load balancer forward to more target groups than it can.
func tooManyGroups(r store.Reader, lb LoadBalancer) error {
	groups := map[string]bool{}
	add := func(list []string) {
		for _, g := range list {
			groups[g] = true
		}
	}
	for l := range Listeners.Prefix(r, lb.Key()+"/") {
		add(groupsOf(l.DefaultActions))
	}
	for v := range Rules.Prefix(r, lb.Key()+"/") {
		add(groupsOf(v.Actions))
	}
	if len(groups) > maxBalancedGroups {
		return aws.Errorf("TooManyUniqueTargetGroupsPerLoadBalancer", "A load balancer can forward to at most '%d' target groups", maxBalancedGroups)
	}
	return nil
}

var (
	redirectWord  = regexp.MustCompile(`#\{[^}]*\}?`)
	redirectWords = []string{"#{protocol}", "#{host}", "#{port}", "#{path}", "#{query}"}
	redirectHost  = regexp.MustCompile(`^[A-Za-z0-9._*?\[\]:-]*$`)
)

// redirect checks a redirect and fills in what it leaves as it was.
func (c actionCheck) redirect(v api.RedirectActionConfig) (*api.RedirectActionConfig, error) {
	for _, m := range []struct {
		name  string
		value *string
		words []string
	}{
		{"protocol", v.Protocol, redirectWords[:1]}, {"host", v.Host, redirectWords[1:2]}, {"port", v.Port, redirectWords[2:3]},
		{"path", v.Path, redirectWords[1:4]}, {"query", v.Query, redirectWords},
	} {
		text := aws.Value(m.value)
		if len(text) > maxRedirectMembers || isHeaderValue(text) != "" || strings.Contains(text, " ") {
			return nil, badAction("The redirect %s '%s' must have at most %d printable ASCII characters without spaces", m.name, short(text), maxRedirectMembers)
		}
		for _, word := range redirectWord.FindAllString(text, -1) {
			if !slices.Contains(m.words, word) {
				return nil, badAction("The redirect %s cannot have the keyword '%s'", m.name, word)
			}
		}
	}
	out := api.RedirectActionConfig{
		Protocol: new(cmp.Or(aws.Value(v.Protocol), "#{protocol}")), Host: new(cmp.Or(aws.Value(v.Host), "#{host}")),
		Port: new(cmp.Or(aws.Value(v.Port), "#{port}")), Path: new(cmp.Or(aws.Value(v.Path), "/#{path}")), Query: v.Query, StatusCode: v.StatusCode,
	}
	if v.Query == nil {
		out.Query = new("#{query}")
	}
	port, err := strconv.Atoi(*out.Port)
	switch {
	case *out.Port != "#{port}" && (err != nil || port < 1 || port > 65535):
		return nil, badAction("The redirect port '%s' must be a number from 1 to 65535 or #{port}", *out.Port)
	case !strings.HasPrefix(*out.Path, "/"):
		return nil, badAction("The redirect path '%s' must begin with '/'", *out.Path)
	case !redirectHost.MatchString(strings.ReplaceAll(*out.Host, "#{host}", "")):
		return nil, badAction("The redirect host '%s' is not valid", *out.Host)
	case c.protocol == api.ProtocolEnumHTTPS && *out.Protocol == "HTTP":
		return nil, badAction("The redirect configuration is not valid because HTTPS cannot be redirected to HTTP")
	case *out.Host == "#{host}" && *out.Port == "#{port}" && *out.Path == "/#{path}" && (*out.Protocol == "#{protocol}" || *out.Protocol == string(c.protocol)):
		return nil, badAction("The redirect configuration is not valid because it creates a loop.")
	}
	return &out, nil
}

var contentTypes = []string{"text/plain", "text/css", "text/html", "application/javascript", "application/json"}

// fixedResponse checks an answer. The model has checked status and lengths.
func fixedResponse(v api.FixedResponseActionConfig) error {
	if t := aws.Value(v.ContentType); v.ContentType != nil && !slices.Contains(contentTypes, t) {
		return badAction("The content type '%s' must be one of '%s'", t, strings.Join(contentTypes, ", "))
	}
	if strings.ContainsFunc(aws.Value(v.MessageBody), func(c rune) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f }) {
		return badAction("The message body has control characters")
	}
	return nil
}
