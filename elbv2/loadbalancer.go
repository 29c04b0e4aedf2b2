package elbv2

import (
	"net/netip"

	api "berth/api/elbv2"
	"berth/aws"
	"berth/store"
)

// LoadBalancer is the record of one load balancer.
type LoadBalancer struct {
	// Written by: CreateLoadBalancer.
	Account string                     `json:"a"`
	Region  string                     `json:"r"`
	Kind    string                     `json:"k"` // haproxy.Application, haproxy.Network
	Name    string                     `json:"n"`
	ID      string                     `json:"i"` // 16 hex digits
	Created int64                      `json:"c"` // ms since the epoch
	Scheme  api.LoadBalancerSchemeEnum `json:"s"`
	VPC     string                     `json:"vpc"`
	// Number is unique on this control plane, from 1 to haproxy.MaxNumber; the lowest that is free.
	Number int `json:"no"`

	// Written by: CreateLoadBalancer, SetSubnets.
	Zones []LoadBalancerZone `json:"z"`
	// Written by: CreateLoadBalancer, SetSecurityGroups.
	SecurityGroups []string `json:"sg,omitzero"`
	// Written by: CreateLoadBalancer, SetIpAddressType.
	AddressType api.IpAddressType `json:"at"`
	// Attributes are those that were set; the others have their defaults. Written by: ModifyLoadBalancerAttributes.
	Attributes map[string]string `json:"at2,omitzero"`
	// Written by: CreateLoadBalancer, AddTags, RemoveTags.
	Tags map[string]string `json:"t,omitzero"`
}

// LoadBalancerZone is a zone with the load balancer's network interface in it.
type LoadBalancerZone struct {
	Zone      string     `json:"z"`
	Subnet    string     `json:"s"`
	Interface string     `json:"i"` // ID of the network interface
	Address   netip.Addr `json:"a"` // its private address; unique on this control plane
}

// Indexes of LoadBalancers.
const (
	byLoadBalancerName   = "name"   // account/region/name
	byLoadBalancerNumber = "number" // number, in decimal
)

// LoadBalancers is the table of load balancers, by account/region/path (see Path).
var LoadBalancers = store.NewTable("elbv2/load-balancer", LoadBalancer.Key,
	store.Index(byLoadBalancerName, func(v LoadBalancer) []string { return []string{v.Account + "/" + v.Region + "/" + v.Name} }),
)

// Path is the end of the ARN: app/NAME/ID or net/NAME/ID.
func (v LoadBalancer) Path() string {
	if v.Kind == "network" {
		return "net/" + v.Name + "/" + v.ID
	}
	return "app/" + v.Name + "/" + v.ID
}

// Key is account/region/path.
func (v LoadBalancer) Key() string { return v.Account + "/" + v.Region + "/" + v.Path() }

// ARN names the load balancer.
func (v LoadBalancer) ARN() aws.ARN {
	return aws.NewARN("elasticloadbalancing", v.Region, v.Account, "loadbalancer/"+v.Path())
}
