package ecs

import (
	api "berth/api/ecs"
	"berth/aws"
	"berth/store"
)

// Cluster is the record of one cluster.
type Cluster struct {
	// Written by: CreateCluster.
	Account string `json:"a"`
	Region  string `json:"r"`
	Name    string `json:"n"`
	Created Millis `json:"ct"`

	// Written by: CreateCluster, DeleteCluster.
	Inactive bool   `json:"in,omitzero"`
	Deleted  Millis `json:"dt,omitzero"`

	// What the user said. Written by: CreateCluster, UpdateCluster, UpdateClusterSettings.
	Settings      []api.ClusterSetting      `json:"s,omitzero"`
	Configuration *api.ClusterConfiguration `json:"cf,omitzero"`
	// Connect is the ARN of the default namespace of Service Connect; empty: none. Written by: CreateCluster, UpdateCluster.
	Connect string `json:"sc,omitzero"`

	// Written by: CreateCluster, TagResource, UntagResource.
	Tags map[string]string `json:"t,omitzero"`
}

// byClusterState is the index of Clusters by account, region and status.
const byClusterState = "state"

// Clusters has active clusters and, for a while, deleted ones.
var Clusters = store.NewTable("ecs/cluster", Cluster.Key,
	store.Index(byClusterState, func(c Cluster) []string { return []string{clusterStateKey(c.Account, c.Region, c.Status())} }),
)

// ClusterKey is the key of a cluster's record.
func ClusterKey(account, region, name string) string { return account + "/" + region + "/" + name }

// Key is account/region/name.
func (c Cluster) Key() string { return ClusterKey(c.Account, c.Region, c.Name) }

// ARN names the cluster.
func (c Cluster) ARN() aws.ARN { return clusterARN(c.Account, c.Region, c.Name) }

func clusterARN(account, region, name string) aws.ARN {
	return aws.NewARN("ecs", region, account, "cluster/"+name)
}

// Status is ACTIVE or INACTIVE.
func (c Cluster) Status() string {
	if c.Inactive {
		return statusInactive
	}
	return statusActive
}

const (
	statusActive   = "ACTIVE"
	statusInactive = "INACTIVE"
)

func clusterStateKey(account, region, status string) string {
	return account + "/" + region + "|" + status
}
