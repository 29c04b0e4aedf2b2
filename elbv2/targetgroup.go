package elbv2

import (
	"strconv"
	"time"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// TargetGroup is the record of one target group.
type TargetGroup struct {
	// Written by: CreateTargetGroup.
	Account     string                           `json:"a"`
	Region      string                           `json:"r"`
	Name        string                           `json:"n"`
	ID          string                           `json:"i"` // 16 hex digits
	Protocol    api.ProtocolEnum                 `json:"p,omitzero"`
	Version     string                           `json:"pv,omitzero"` // HTTP1, HTTP2, GRPC
	Port        int32                            `json:"po,omitzero"`
	VPC         string                           `json:"vpc,omitzero"`
	TargetType  api.TargetTypeEnum               `json:"tt"`
	AddressType api.TargetGroupIpAddressTypeEnum `json:"at,omitzero"`

	// Check has the HealthCheck members and the Matcher, with defaults filled in. Written by: CreateTargetGroup, ModifyTargetGroup.
	Check api.TargetGroup `json:"hc"`
	// Attributes are those that were set. Written by: ModifyTargetGroupAttributes.
	Attributes map[string]string `json:"ats,omitzero"`
	// Written by: CreateTargetGroup, AddTags, RemoveTags.
	Tags map[string]string `json:"t,omitzero"`

	connect bool // it is made of a ConnectPort and has no record
}

// TargetGroups is the table of target groups, by account/region/NAME/ID.
var TargetGroups = store.NewTable("elbv2/target-group", TargetGroup.Key,
	store.Index(byGroupName, func(g TargetGroup) []string { return []string{g.Account + "/" + g.Region + "/" + g.Name} }),
)

// byGroupName is an index by account/region/name.
const byGroupName = "name"

// Path is the end of the ARN: NAME/ID.
func (g TargetGroup) Path() string { return g.Name + "/" + g.ID }

// Key is account/region/NAME/ID.
func (g TargetGroup) Key() string { return g.Account + "/" + g.Region + "/" + g.Path() }

// ARN names the target group.
func (g TargetGroup) ARN() aws.ARN {
	return aws.NewARN("elasticloadbalancing", g.Region, g.Account, "targetgroup/"+g.Path())
}

// GroupByARN finds a target group.
func GroupByARN(r store.Reader, arn string) (TargetGroup, bool) {
	return TargetGroups.Get(r, keyOf(arn, "targetgroup"))
}

// defaultDeregistrationDelay is how long open connections get. Source: ELB user guide, deregistration_delay.timeout_seconds.
const defaultDeregistrationDelay = 300 * time.Second

// DeregistrationDelay is how long connections to a target that leaves may stay open.
func (g TargetGroup) DeregistrationDelay() time.Duration {
	if n, err := strconv.Atoi(g.Attributes[attrDelay]); err == nil {
		return time.Duration(n) * time.Second
	}
	return defaultDeregistrationDelay
}

// InUse says whether a listener or a rule forwards to the group.
func (g TargetGroup) InUse(r store.Reader) bool {
	if g.connect {
		return true
	}
	arn := g.ARN().String()
	return Listeners.CountBy(r, "group", arn)+Rules.CountBy(r, "group", arn) > 0
}
