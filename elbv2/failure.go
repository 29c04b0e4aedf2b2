package elbv2

import (
	"context"

	"berth/aws"
	"berth/store"
)

// Codes of errors. ValidationError is the Query protocol's; the others are in the model.
const (
	codeInvalid              = "ValidationError"
	codeConfiguration        = "InvalidConfigurationRequest"
	codeNotPermitted         = "OperationNotPermitted"
	codeLoadBalancerNotFound = "LoadBalancerNotFound"
	codeListenerNotFound     = "ListenerNotFound"
	codeRuleNotFound         = "RuleNotFound"
	codeTargetGroupNotFound  = "TargetGroupNotFound"
	codeTrustStoreNotFound   = "TrustStoreNotFound"
	codeCertificateNotFound  = "CertificateNotFound"
	codeGroupName            = "DuplicateTargetGroupName"
	codeInUse                = "ResourceInUse"
	codeTarget               = "InvalidTarget"
	codeBadAction            = "InvalidLoadBalancerAction"
)

// invalid refuses a value that can't be right.
func invalid(format string, args ...any) *aws.Error { return aws.Errorf(codeInvalid, format, args...) }

// configuration refuses what does not fit together, or what Berth can't do.
func configuration(format string, args ...any) *aws.Error {
	return aws.Errorf(codeConfiguration, format, args...)
}

// resource is a kind of thing that has an ARN.
type resource struct {
	kind string // beginning of the ARN's resource
	word string // as texts name it
	code string // when there is none
}

// Kinds of resources.
var (
	aLoadBalancer = resource{"loadbalancer", "load balancer", codeLoadBalancerNotFound}
	aListener     = resource{"listener", "listener", codeListenerNotFound}
	aRule         = resource{"listener-rule", "listener rule", codeRuleNotFound}
	aTargetGroup  = resource{"targetgroup", "target group", codeTargetGroupNotFound}
	aTrustStore   = resource{"truststore", "trust store", codeTrustStoreNotFound}
)

// key is the key in an ARN of the caller's account and region.
func (k resource) key(ctx context.Context, arn *string) (string, error) {
	text := aws.Value(arn)
	key := keyOf(text, k.kind)
	if key == "" {
		return "", invalid("'%s' is not a valid %s ARN", short(text), k.word)
	}
	if a, c := aws.ARN(text), aws.CallerFrom(ctx); a.Account() != c.Account || a.Region() != c.Region {
		return "", k.missing(text)
	}
	return key, nil
}

// missing is the answer for an ARN that names nothing.
func (k resource) missing(arn string) error {
	return aws.Errorf(k.code, "%s '%s' not found", upper(k.word), short(arn))
}

// upper begins a text with a capital letter.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

func findLoadBalancer(ctx context.Context, r store.Reader, arn *string) (v LoadBalancer, err error) {
	return findIn(ctx, r, aLoadBalancer, LoadBalancers, arn)
}

func findListener(ctx context.Context, r store.Reader, arn *string) (v Listener, err error) {
	return findIn(ctx, r, aListener, Listeners, arn)
}

func findRule(ctx context.Context, r store.Reader, arn *string) (v Rule, err error) {
	return findIn(ctx, r, aRule, Rules, arn)
}

// findTargetGroup finds a target group of the caller by its ARN.
func findTargetGroup(ctx context.Context, r store.Reader, arn *string) (v TargetGroup, err error) {
	return findIn(ctx, r, aTargetGroup, TargetGroups, arn)
}

func findIn[T any](ctx context.Context, r store.Reader, k resource, table *store.Table[T], arn *string) (v T, err error) {
	key, err := k.key(ctx, arn)
	if err != nil {
		return v, err
	}
	v, ok := table.Get(r, key)
	if !ok {
		return v, k.missing(*arn)
	}
	return v, nil
}
