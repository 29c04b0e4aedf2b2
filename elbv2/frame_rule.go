package elbv2

import (
	"cmp"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
)

// condition takes the values of a condition from where its field has them: the short form has them in Values.
func condition(c api.RuleCondition) haproxy.Condition {
	out := haproxy.Condition{Field: aws.Value(c.Field), Values: c.Values, Regex: c.RegexValues}
	switch {
	case c.HostHeaderConfig != nil:
		out.Values, out.Regex = c.HostHeaderConfig.Values, c.HostHeaderConfig.RegexValues
	case c.PathPatternConfig != nil:
		out.Values, out.Regex = c.PathPatternConfig.Values, c.PathPatternConfig.RegexValues
	case c.HttpHeaderConfig != nil:
		out.Header, out.Values, out.Regex = aws.Value(c.HttpHeaderConfig.HttpHeaderName), c.HttpHeaderConfig.Values, c.HttpHeaderConfig.RegexValues
	case c.HttpRequestMethodConfig != nil:
		out.Values = c.HttpRequestMethodConfig.Values
	case c.SourceIpConfig != nil:
		out.Values = c.SourceIpConfig.Values
	case c.QueryStringConfig != nil:
		for _, p := range c.QueryStringConfig.Values {
			out.Query = append(out.Query, haproxy.Pair{Key: aws.Value(p.Key), Value: aws.Value(p.Value)})
		}
	}
	return out
}

func rewrites(transforms []api.RuleTransform) (out []haproxy.Rewrite) {
	for _, t := range transforms {
		var list []api.RewriteConfig
		if t.HostHeaderRewriteConfig != nil {
			list = append(list, t.HostHeaderRewriteConfig.Rewrites...)
		}
		if t.UrlRewriteConfig != nil {
			list = append(list, t.UrlRewriteConfig.Rewrites...)
		}
		for _, w := range list {
			out = append(out, haproxy.Rewrite{Type: string(t.Type), Regex: aws.Value(w.Regex), Replace: aws.Value(w.Replace)})
		}
	}
	return out
}

// redirect fills in what a redirect leaves as it was. Source: ELB API, RedirectActionConfig.
func redirect(c api.RedirectActionConfig) *haproxy.Redirect {
	out := &haproxy.Redirect{
		Protocol: cmp.Or(aws.Value(c.Protocol), "#{protocol}"), Host: cmp.Or(aws.Value(c.Host), "#{host}"), Port: cmp.Or(aws.Value(c.Port), "#{port}"),
		Path: cmp.Or(aws.Value(c.Path), "/#{path}"), Query: "#{query}", Status: 302,
	}
	if c.Query != nil { // an empty one drops the query
		out.Query = *c.Query
	}
	if c.StatusCode == api.RedirectActionStatusCodeEnumHTTP301 {
		out.Status = 301
	}
	return out
}
