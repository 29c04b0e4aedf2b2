package etcd

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/client/v3/concurrency"

	"berth/store"
)

// leaseSeconds is how long an owner that died keeps its ownership.
const leaseSeconds = 10

// Ownership is held until Lost is closed or Resign is called.
type Ownership struct {
	// Fence makes writes depend on the ownership: Store.Owned(o.Fence).
	Fence store.Fence
	Lost  <-chan struct{}

	session  *concurrency.Session
	election *concurrency.Election
}

// Own waits until this server owns name, which one server at a time does.
func (l *Log) Own(ctx context.Context, name string) (*Ownership, error) {
	session, err := concurrency.NewSession(l.client, concurrency.WithTTL(leaseSeconds))
	if err != nil {
		return nil, fmt.Errorf("own %s: %w", name, plain(err))
	}
	election := concurrency.NewElection(session, root+"owner/"+name)
	if err := election.Campaign(ctx, l.epoch.ID); err != nil {
		_ = session.Close()
		return nil, fmt.Errorf("own %s: %w", name, err)
	}
	return &Ownership{
		Fence: store.Fence{Key: election.Key(), Revision: election.Rev()},
		Lost:  session.Done(), session: session, election: election,
	}, nil
}

// Resign lets another server own the name at once.
func (o *Ownership) Resign() error { return o.session.Close() }
