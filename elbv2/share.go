package elbv2

import (
	api "berth/api/elbv2"
	"berth/store"
)

// Share is a target group with its part of the traffic.
type Share struct {
	Group  string // ARN
	Weight int    // 0 to 999
}

// Shares is where a listener's default action or a rule sends traffic, as Forward has it.
func Shares(r store.Reader, arn string) (out []Share, ok bool) {
	groups, ok := Forward(r, arn)
	for _, g := range groups {
		s := Share{Weight: 1}
		if g.TargetGroupArn != nil {
			s.Group = *g.TargetGroupArn
		}
		if g.Weight != nil {
			s.Weight = int(*g.Weight)
		}
		out = append(out, s)
	}
	return out, ok
}

// SetShares makes a listener's default action or a rule send traffic so. It is SetForward for callers that don't know the API's shapes.
func SetShares(tx *store.Tx, arn string, shares []Share) error {
	var groups []api.TargetGroupTuple
	for _, s := range shares {
		groups = append(groups, api.TargetGroupTuple{TargetGroupArn: new(s.Group), Weight: new(int32(s.Weight))})
	}
	return SetForward(tx, arn, groups)
}
