package elbv2

import (
	"context"
	"strings"

	api "berth/api/elbv2"
	"berth/elbv2/haproxy"
	"berth/store"
)

// Notes of attributes.
const (
	noIPv6        = "there is no IPv6"
	noWAF         = "there is no WAF"
	noZonalShift  = "there is no zonal shift"
	noSuchLogs    = "not built yet; enabling it is refused"
	everyZone     = "each machine balances over the targets of all zones"
	noSecondaries = "a load balancer runs out of no ports; only 0 is accepted"
)

// What buckets and prefixes are made of, in words.
const (
	bucketWords = "must have at most 255 letters, digits, periods, hyphens and underscores"
	groupWords  = "must be the name of a log group: at most 512 letters, digits and . - _ / #"
	streamWords = "must have at most 400 characters of those that are safe in names of log streams, and no asterisk"
	prefixWords = "must have at most 512 characters of those that are safe in keys of S3"
)

// Attributes of access logs. Differs: there is no S3, so the bucket is a log group.
const (
	attrAccessLogs       = "access_logs.s3.enabled"
	attrAccessLogsBucket = "access_logs.s3.bucket"
	attrAccessLogsPrefix = "access_logs.s3.prefix"
)

// AccessLog is where lines of the access log of a load balancer go, by the end of its ARN; ok is false if it has none.
func AccessLog(r store.Reader, account, region, path string) (group, stream string, ok bool) {
	v, ok := LoadBalancers.Get(r, account+"/"+region+"/"+path)
	if !ok || v.Kind != haproxy.Application || v.Attributes[attrAccessLogs] != "true" {
		return "", "", false
	}
	stream = v.Path()
	if prefix := strings.Trim(v.Attributes[attrAccessLogsPrefix], "/"); prefix != "" {
		stream = prefix + "/" + stream
	}
	return v.Attributes[attrAccessLogsBucket], stream, true
}

// attrDeletionProtection is the attribute that keeps a load balancer from being deleted.
const attrDeletionProtection = "deletion_protection.enabled"

// loadBalancerAttributes has every attribute of application and network load balancers.
// Source: the model, LoadBalancerAttribute$Key.
var loadBalancerAttributes = attributeSet{
	{attrAccessLogs, onlyApplication, "false", isBoolean, ActedOn, "to a log group of CloudWatch Logs"},
	{attrAccessLogsBucket, onlyApplication, "", isLike(logGroup, groupWords), ActedOn, "the name of a log group, which is made if it is not there"},
	{attrAccessLogsPrefix, onlyApplication, "", isLike(streamPrefix, streamWords), ActedOn, "the log stream is PREFIX/app/NAME/ID"},
	{attrAccessLogs, onlyNetwork, "false", isOnly("false", "access logs of network load balancers are not built yet"), Refused, noSuchLogs},
	{attrAccessLogsBucket, onlyNetwork, "", isLike(logBucket, bucketWords), StoredOnly, noSuchLogs},
	{attrAccessLogsPrefix, onlyNetwork, "", isLike(logPrefix, prefixWords), StoredOnly, noSuchLogs},
	{attrDeletionProtection, bothTypes, "false", isBoolean, ActedOn, ""},
	{"ipv6.deny_all_igw_traffic", bothTypes, "false", isBoolean, StoredOnly, noIPv6},
	{"zonal_shift.config.enabled", bothTypes, "false", isBoolean, StoredOnly, noZonalShift},
	{"load_balancing.cross_zone.enabled", onlyApplication, "true", isOnly("true", "application load balancers always balance over all zones"), ActedOn, ""},
	{"load_balancing.cross_zone.enabled", onlyNetwork, "false", isBoolean, StoredOnly, everyZone},

	{"idle_timeout.timeout_seconds", onlyApplication, "60", isNumber(1, 4000), ActedOn, ""},
	{"client_keep_alive.seconds", onlyApplication, "3600", isNumber(60, 604800), ActedOn, ""},
	{"routing.http2.enabled", onlyApplication, "true", isBoolean, ActedOn, ""},
	{"routing.http.desync_mitigation_mode", onlyApplication, "defensive", isOneOf("monitor", "defensive", "strictest"), ActedOn, ""},
	{"routing.http.drop_invalid_header_fields.enabled", onlyApplication, "false", isBoolean, ActedOn, ""},
	{"routing.http.preserve_host_header.enabled", onlyApplication, "false", isBoolean, ActedOn, ""},
	{"routing.http.x_amzn_tls_version_and_cipher_suite.enabled", onlyApplication, "false", isBoolean, ActedOn, ""},
	{"routing.http.xff_client_port.enabled", onlyApplication, "false", isBoolean, ActedOn, ""},
	{"routing.http.xff_header_processing.mode", onlyApplication, "append", isOneOf("append", "preserve", "remove"), ActedOn, ""},
	{"waf.fail_open.enabled", onlyApplication, "false", isBoolean, StoredOnly, noWAF},

	{"connection_logs.s3.enabled", onlyApplication, "false", isOnly("false", "connection logs are not built yet"), Refused, noSuchLogs},
	{"connection_logs.s3.bucket", onlyApplication, "", isLike(logBucket, bucketWords), StoredOnly, noSuchLogs},
	{"connection_logs.s3.prefix", onlyApplication, "", isLike(logPrefix, prefixWords), StoredOnly, noSuchLogs},
	{"health_check_logs.s3.enabled", onlyApplication, "false", isOnly("false", "health check logs are not built yet"), Refused, noSuchLogs},
	{"health_check_logs.s3.bucket", onlyApplication, "", isLike(logBucket, bucketWords), StoredOnly, noSuchLogs},
	{"health_check_logs.s3.prefix", onlyApplication, "", isLike(logPrefix, prefixWords), StoredOnly, noSuchLogs},

	{"dns_record.client_routing_policy", onlyNetwork, "any_availability_zone", isOneOf("availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"), StoredOnly, everyZone},
	{"secondary_ips.auto_assigned.per_subnet", onlyNetwork, "0", isOnly("0", "a load balancer needs no further addresses"), Refused, noSecondaries},
}

// attributesOf are all attributes of a load balancer, with defaults filled in.
func attributesOf(v LoadBalancer) map[string]string {
	return loadBalancerAttributes.of(v.Kind, v.Attributes)
}

// DescribeLoadBalancerAttributes shows every attribute that a load balancer of its type has.
func (s *Service) DescribeLoadBalancerAttributes(ctx context.Context, in *api.DescribeLoadBalancerAttributesInput) (*api.DescribeLoadBalancerAttributesOutput, error) {
	v, err := findLoadBalancer(ctx, s.Store.Read(), in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	return &api.DescribeLoadBalancerAttributesOutput{Attributes: shownAttributes(v)}, nil
}

func shownAttributes(v LoadBalancer) []api.LoadBalancerAttribute {
	out, all := []api.LoadBalancerAttribute{}, attributesOf(v)
	for _, key := range loadBalancerAttributes.keys(v.Kind) {
		out = append(out, api.LoadBalancerAttribute{Key: new(key), Value: new(all[key])})
	}
	return out
}

// ModifyLoadBalancerAttributes sets attributes; those that are not named stay.
func (s *Service) ModifyLoadBalancerAttributes(ctx context.Context, in *api.ModifyLoadBalancerAttributesInput) (*api.ModifyLoadBalancerAttributesOutput, error) {
	var pairs []pair
	for _, a := range in.Attributes {
		pairs = append(pairs, pair{a.Key, a.Value})
	}
	var out *api.ModifyLoadBalancerAttributesOutput
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		v, err := findLoadBalancer(ctx, tx, in.LoadBalancerArn)
		if err != nil {
			return err
		}
		if v.Attributes, err = loadBalancerAttributes.set(v.Attributes, v.Kind, "Load balancer", pairs); err != nil {
			return err
		}
		if v.Attributes[attrAccessLogs] == "true" && v.Attributes[attrAccessLogsBucket] == "" {
			return configuration("Load balancer attribute '%s' needs '%s', the name of a log group", attrAccessLogs, attrAccessLogsBucket)
		}
		LoadBalancers.Put(tx, v)
		out = &api.ModifyLoadBalancerAttributesOutput{Attributes: shownAttributes(v)}
		return nil
	})
	return out, err
}
