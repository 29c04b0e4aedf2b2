package elbv2

import (
	"context"
	"fmt"
	"slices"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/elbv2/haproxy"
)

// defaultSSLPolicy is the policy of listeners that are made without one. Source: ELB API, CreateListener.
const defaultSSLPolicy = "ELBSecurityPolicy-2016-08"

// sslPolicies are the names of security policies. What they mean is read off their names by package haproxy.
// Source: ELB user guide, security policies.
var sslPolicies = []string{
	"ELBSecurityPolicy-2016-08",
	"ELBSecurityPolicy-FS-1-1-2019-08",
	"ELBSecurityPolicy-FS-1-2-2019-08",
	"ELBSecurityPolicy-FS-1-2-Res-2019-08",
	"ELBSecurityPolicy-FS-1-2-Res-2020-10",
	"ELBSecurityPolicy-FS-2018-06",
	"ELBSecurityPolicy-TLS-1-1-2017-01",
	"ELBSecurityPolicy-TLS-1-2-2017-01",
	"ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
	"ELBSecurityPolicy-TLS13-1-0-2021-06",
	"ELBSecurityPolicy-TLS13-1-1-2021-06",
	"ELBSecurityPolicy-TLS13-1-2-2021-06",
	"ELBSecurityPolicy-TLS13-1-2-Ext0-2021-06",
	"ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
	"ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
	"ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
	"ELBSecurityPolicy-TLS13-1-3-2021-06",
}

func knownPolicy(name string) bool { return slices.Contains(sslPolicies, name) }

// DescribeSSLPolicies shows what HAProxy makes of the security policies.
func (s *Service) DescribeSSLPolicies(ctx context.Context, in *api.DescribeSSLPoliciesInput) (*api.DescribeSSLPoliciesOutput, error) {
	names := sslPolicies
	if len(in.Names) > 0 {
		for _, name := range in.Names {
			if !knownPolicy(name) {
				return nil, aws.Errorf("SSLPolicyNotFound", "SSL policy '%s' not found", short(name))
			}
		}
		names = slices.Compact(slices.Sorted(slices.Values(in.Names)))
	}
	if in.LoadBalancerType == api.LoadBalancerTypeEnumGateway {
		names = nil
	}
	scope := scopeOf("DescribeSSLPolicies", aws.CallerFrom(ctx)) + fmt.Sprint(in.Names, in.LoadBalancerType)
	page, next, err := paged(s, scope, in.Marker, in.PageSize, names, func(name string) string { return name })
	if err != nil {
		return nil, err
	}
	out := &api.DescribeSSLPoliciesOutput{SslPolicies: []api.SslPolicy{}, NextMarker: next}
	for _, name := range page {
		p := api.SslPolicy{Name: new(name), SupportedLoadBalancerTypes: bothTypes}
		versions, ciphers := haproxy.Policy(name)
		p.SslProtocols = versions
		for i, c := range ciphers {
			p.Ciphers = append(p.Ciphers, api.Cipher{Name: new(c), Priority: new(int32(i + 1))})
		}
		out.SslPolicies = append(out.SslPolicies, p)
	}
	return out, nil
}
