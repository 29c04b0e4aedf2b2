package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"berth/agent/proto"
	"berth/elbv2"
	"berth/servicediscovery"
	"berth/store"
)

// nameTables are those of which a machine's names are made.
func nameTables() []store.AnyTable {
	return []store.AnyTable{servicediscovery.Namespaces, servicediscovery.Services, servicediscovery.Instances, elbv2.LoadBalancers}
}

// naming makes the names of each account and region, once for all of its machines.
type naming struct {
	mu     sync.Mutex // guards places; held while names are made, which takes no I/O
	places map[string]*placeNames
}

// placeNames are the newest names of one account and region.
type placeNames struct {
	stale bool
	body  []byte      // encoded names of revision 0
	names proto.Names // its revision rises whenever body changes
}

// namesOf are the newest names of the place, account/region.
func (s *Server) namesOf(place string) proto.Names {
	n := &s.naming
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.places[place]
	if p == nil {
		p = &placeNames{stale: true}
		n.places[place] = p
	}
	if !p.stale {
		return p.names
	}
	account, region, _ := strings.Cut(place, "/")
	r := s.Store.Read()
	names := proto.Names{Zones: servicediscovery.ZonesFor(r, account, region)}
	for lb := range elbv2.LoadBalancers.Prefix(r, place+"/") {
		b := proto.BalancerName{Name: lb.DNSName(), Number: lb.Number}
		for _, z := range lb.Zones {
			b.Addresses = append(b.Addresses, z.Address)
		}
		names.Balancers = append(names.Balancers, b)
	}
	body, err := json.Marshal(names)
	if err != nil {
		panic("unreachable: names of our own cannot be encoded: " + err.Error())
	}
	if p.stale = false; p.names.Revision == 0 || !bytes.Equal(body, p.body) {
		names.Revision = p.names.Revision + 1
		p.names, p.body = names, body
	}
	return p.names
}

// watchNames wakes the sessions of places whose names change.
func (s *Server) watchNames(ctx context.Context) {
	w := s.Store.Watch(ctx, nameTables()...)
	for range w.Ready() {
		changed := map[string]bool{}
		for _, c := range w.Take() {
			parts := strings.SplitN(c.Key, "/", 3) // account, region, the rest
			changed[parts[0]+"/"+parts[1]] = true
		}
		s.rename(changed)
		select {
		case <-ctx.Done():
		case <-time.After(framePause):
		}
	}
}

// rename makes the names of the places anew, for the sessions that want them.
func (s *Server) rename(places map[string]bool) {
	s.naming.mu.Lock()
	for place := range places {
		if p := s.naming.places[place]; p != nil {
			p.stale = true
		}
	}
	s.naming.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sessions {
		if places[one.namesPlace] {
			poke(one.renamed)
		}
	}
}

// sendNames sends what the machine's DNS should answer, if it is not what was sent last.
func (one *session) sendNames() error {
	names := one.server.namesOf(one.namesPlace)
	if names.Revision == one.named {
		return nil
	}
	one.named = names.Revision
	return one.send(frame(proto.TypeNames, names))
}
