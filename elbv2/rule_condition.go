package elbv2

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
)

// Limits of conditions. Source: ELB API, RuleCondition and its configurations; user guide, quotas.
const (
	maxConditionValues = 5   // of a rule
	maxWildcards       = 6   // of a rule
	maxConditionValue  = 128 // characters
	maxHeaderName      = 40
	maxMethod          = 40
)

// Fields of conditions.
const (
	fieldHost   = "host-header"
	fieldPath   = "path-pattern"
	fieldHeader = "http-header"
	fieldMethod = "http-request-method"
	fieldQuery  = "query-string"
	fieldSource = "source-ip"
)

var (
	conditionFields = []string{fieldPath, fieldHost, fieldHeader, fieldMethod, fieldQuery, fieldSource}
	// singleFields may be in a rule once.
	singleFields = []string{fieldMethod, fieldHost, fieldPath, fieldSource}
	withRegex    = []string{fieldHost, fieldPath, fieldHeader}

	hostValue    = regexp.MustCompile(`^[A-Za-z0-9._*?:-]+$`)
	methodValue  = regexp.MustCompile(`^[A-Z_-]+$`)
	headerTokens = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

// checkConditions checks the conditions of a rule and gives them as the API shows them: those of hosts and paths have their values in
// both places.
func checkConditions(in []api.RuleCondition) ([]api.RuleCondition, error) {
	if len(in) == 0 {
		return nil, invalid("A condition must be specified")
	}
	var out []api.RuleCondition
	seen, values, wild := map[string]bool{}, 0, 0
	for _, c := range in {
		field := aws.Value(c.Field)
		if !slices.Contains(conditionFields, field) {
			return nil, invalid("Condition field '%s' must be one of '[%s]'", short(field), strings.Join(conditionFields, ", "))
		}
		if seen[field] && slices.Contains(singleFields, field) {
			return nil, invalid("A rule can only have '1' condition of field '%s'", field)
		}
		seen[field] = true
		full, err := fullCondition(c)
		if err != nil {
			return nil, err
		}
		flat := condition(full)
		if len(flat.Values)+len(flat.Regex)+len(flat.Query) == 0 {
			return nil, invalid("A condition value must be specified")
		}
		if err := checkCondition(flat); err != nil {
			return nil, err
		}
		values += len(flat.Values) + len(flat.Regex) + len(flat.Query)
		wild += wildcards(flat)
		out = append(out, full)
	}
	if values > maxConditionValues {
		return nil, invalid("A rule can only have '%d' condition values", maxConditionValues)
	}
	if wild > maxWildcards {
		return nil, invalid("A rule can only have '%d' condition wildcards", maxWildcards)
	}
	return out, nil
}

// fullCondition takes a condition in its short or its long form and gives it in both.
func fullCondition(c api.RuleCondition) (api.RuleCondition, error) {
	field := *c.Field
	configs := map[string]bool{
		fieldHost: c.HostHeaderConfig != nil, fieldPath: c.PathPatternConfig != nil, fieldHeader: c.HttpHeaderConfig != nil,
		fieldMethod: c.HttpRequestMethodConfig != nil, fieldQuery: c.QueryStringConfig != nil, fieldSource: c.SourceIpConfig != nil,
	}
	for _, other := range conditionFields {
		if configs[other] && other != field {
			return c, invalid("A configuration for '%s' cannot be specified for a condition of field '%s'", other, field)
		}
	}
	short := field == fieldHost || field == fieldPath
	if len(c.Values) > 0 && !short {
		return c, invalid("Values can only be specified for conditions of field 'host-header' and 'path-pattern'")
	}
	if len(c.RegexValues) > 0 && !slices.Contains(withRegex, field) {
		return c, invalid("Regular expressions can only be specified for conditions of field '%s'", strings.Join(withRegex, "', '"))
	}
	if !configs[field] && !short {
		return c, invalid("A condition of field '%s' must have its configuration", field)
	}
	out := api.RuleCondition{
		Field: c.Field, HttpRequestMethodConfig: c.HttpRequestMethodConfig, QueryStringConfig: c.QueryStringConfig, SourceIpConfig: c.SourceIpConfig,
	}
	values, regex := c.Values, c.RegexValues
	for _, config := range []struct{ values, regex []string }{
		{aws.Value(c.HostHeaderConfig).Values, aws.Value(c.HostHeaderConfig).RegexValues},
		{aws.Value(c.PathPatternConfig).Values, aws.Value(c.PathPatternConfig).RegexValues},
		{aws.Value(c.HttpHeaderConfig).Values, aws.Value(c.HttpHeaderConfig).RegexValues},
	} {
		var err error
		if values, err = oneOfBoth(field, values, config.values); err != nil {
			return c, err
		}
		if regex, err = oneOfBoth(field, regex, config.regex); err != nil {
			return c, err
		}
	}
	if len(values) > 0 && len(regex) > 0 {
		return c, invalid("A condition can have either values or regular expressions, but not both")
	}
	switch field {
	case fieldHost:
		out.Values, out.RegexValues = values, regex
		out.HostHeaderConfig = &api.HostHeaderConditionConfig{Values: values, RegexValues: regex}
	case fieldPath:
		out.Values, out.RegexValues = values, regex
		out.PathPatternConfig = &api.PathPatternConditionConfig{Values: values, RegexValues: regex}
	case fieldHeader:
		out.RegexValues = regex
		out.HttpHeaderConfig = &api.HttpHeaderConditionConfig{HttpHeaderName: c.HttpHeaderConfig.HttpHeaderName, Values: values, RegexValues: regex}
	}
	return out, nil
}

// oneOfBoth takes values that may stand in two places. Clients send back what they were shown, so the same in both is fine.
func oneOfBoth(field string, short, long []string) ([]string, error) {
	switch {
	case len(long) == 0:
		return short, nil
	case len(short) > 0 && !slices.Equal(short, long):
		return nil, invalid("The values of a condition of field '%s' can be specified in one place only", field)
	}
	return long, nil
}

// checkCondition checks the values of one condition.
func checkCondition(c haproxy.Condition) error {
	all := slices.Concat(c.Values, c.Regex)
	for _, p := range c.Query {
		if p.Value == "" {
			return invalid("A condition value must be specified")
		}
		all = append(all, p.Key, p.Value)
	}
	for _, v := range slices.Concat(c.Values, c.Regex) {
		if v == "" {
			return invalid("A condition value must be specified")
		}
	}
	for _, v := range all {
		if utf8.RuneCountInString(v) > maxConditionValue {
			return invalid("Condition value '%s' must be at most '%d' characters", short(v), maxConditionValue)
		}
		if isHeaderValue(v) != "" {
			return invalid("Condition value '%s' contains an invalid character", short(v))
		}
	}
	for _, v := range c.Values {
		if !goodValue(c.Field, v) {
			return invalid("Condition value '%s' is not valid for field '%s'", v, c.Field)
		}
	}
	if c.Field == fieldHeader {
		switch {
		case c.Header == "" || len(c.Header) > maxHeaderName || !headerTokens.MatchString(c.Header):
			return invalid("The HTTP header name '%s' is not valid: it must be a token of at most '%d' characters", short(c.Header), maxHeaderName)
		case strings.EqualFold(c.Header, "host"):
			return invalid("The HTTP header name cannot be 'host': use a condition of field 'host-header'")
		}
	}
	for _, v := range c.Regex {
		if why := backtracks(v); why != "" {
			return invalid("Condition value '%s' is not valid for field '%s': %s", short(v), c.Field, why)
		}
	}
	if err := haproxy.CheckCondition(c); err != nil {
		return invalid("The condition of field '%s' is not valid: %s", c.Field, err)
	}
	return nil
}

// goodValue checks what a field asks of its values beyond printable characters. Differs: a host need not have a dot, so that names of a local
// network can be matched.
func goodValue(field, v string) bool {
	switch field {
	case fieldHost:
		return hostValue.MatchString(v)
	case fieldPath:
		return !strings.ContainsAny(v, " \\")
	case fieldMethod:
		return len(v) <= maxMethod && methodValue.MatchString(v)
	}
	return true
}

// wildcards counts the * and ? in a condition that stand for other characters.
func wildcards(c haproxy.Condition) (n int) {
	if c.Field == fieldMethod || c.Field == fieldSource {
		return 0
	}
	count := func(s string) {
		s = strings.NewReplacer(`\*`, "", `\?`, "").Replace(s)
		n += strings.Count(s, "*") + strings.Count(s, "?")
	}
	for _, v := range c.Values {
		count(v)
	}
	for _, p := range c.Query {
		count(p.Key)
		count(p.Value)
	}
	return n
}

// Limits of transforms. Source: ELB API, RuleTransform and RewriteConfig.
const (
	maxTransforms = 2
	maxRewrite    = 1024 // characters of a regular expression or a replacement
)

// checkTransforms checks what rules change in requests: host and URL, each once.
func checkTransforms(in []api.RuleTransform) error {
	if len(in) > maxTransforms {
		return invalid("A rule can only have '%d' transforms", maxTransforms)
	}
	seen := map[api.TransformTypeEnum]bool{}
	for _, t := range in {
		if seen[t.Type] {
			return invalid("A rule can only have '1' transform of type '%s'", t.Type)
		}
		seen[t.Type] = true
		host, url := t.HostHeaderRewriteConfig != nil, t.UrlRewriteConfig != nil
		if host != (t.Type == api.TransformTypeEnumHostHeaderRewrite) || url != (t.Type == api.TransformTypeEnumUrlRewrite) {
			return invalid("A transform of type '%s' must have the configuration of its type, and no other", t.Type)
		}
		list := rewrites([]api.RuleTransform{t})
		if len(list) != 1 {
			return invalid("A transform of type '%s' must have exactly one rewrite", t.Type)
		}
		for _, w := range list {
			if w.Regex == "" || len(w.Regex) > maxRewrite || len(w.Replace) > maxRewrite {
				return invalid("The regular expression and the replacement of a transform must have at most '%d' characters", maxRewrite)
			}
			if why := backtracks(w.Regex); why != "" {
				return invalid("The regular expression '%s' of a transform is not valid: %s", short(w.Regex), why)
			}
			if err := haproxy.CheckRewrite(w); err != nil {
				return invalid("The transform of type '%s' is not valid: %s", t.Type, err)
			}
		}
	}
	return nil
}
