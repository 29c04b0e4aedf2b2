package elbv2

import (
	"math"

	"berth/store"
)

// Written is the revision of the store at which a load balancer, listener or rule of the account and region was last written. A frame is
// published anew when it rises, even if it says the same, so that machines come to follow what was written.
func Written(r store.Reader, account, region string) (newest int64) {
	prefix := account + "/" + region + "/"
	for v := range LoadBalancers.Prefix(r, prefix) {
		newest = max(newest, LoadBalancers.Revision(r, v.Key()))
	}
	for v := range Listeners.Prefix(r, prefix) {
		newest = max(newest, Listeners.Revision(r, v.Key()))
	}
	for v := range Rules.Prefix(r, prefix) {
		newest = max(newest, Rules.Revision(r, v.Key()))
	}
	return newest
}

// Says names the machine, with what it says hinders it.
func (i Ingress) Says() string {
	if i.Problem == "" {
		return "machine " + i.ID()
	}
	return "machine " + i.ID() + " (" + i.Problem + ")"
}

// Behind lists the connected machines whose traffic does not go by a listener or rule as it is written, by the ARN of either. There are none
// if it does not exist.
func Behind(r store.Reader, arn string) (out []Ingress) {
	written, place := int64(0), ""
	if l, ok := listenerOf(r, arn); ok {
		written, place = Listeners.Revision(r, l.Key()), placeOf(l.Key())
	} else if v, ok := Rules.Get(r, keyOf(arn, aRule.kind)); ok {
		written, place = Rules.Revision(r, v.Key()), placeOf(v.Key())
	} else {
		return nil
	}
	if written == 0 {
		written = math.MaxInt64 // not durable yet
	}
	for i := range Ingresses.By(r, byPlace, place) {
		if i.Connected && i.Revision < uint64(written) {
			out = append(out, i)
		}
	}
	return out
}
