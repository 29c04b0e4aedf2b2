package dispatch

import (
	"context"
	"errors"
	"fmt"

	"berth/aws"
	"berth/ecs"
	"berth/store"
)

// Machine is what the control plane knows of an agent, apart from its container instance.
type Machine struct {
	ID string `json:"id"`
	// Where it was let in. Written by: session.
	Account string `json:"a"`
	Region  string `json:"r"`
	Cluster string `json:"c"`

	// Session is the one whose reports are taken. Written by: session.
	Session string `json:"s,omitzero"`
	// Seq is the highest report that was applied. Written by: report.
	Seq uint64 `json:"q,omitzero"`
	// Revoked machines are refused for good. Written by: Revoke.
	Revoked bool `json:"x,omitzero"`
}

// Machines has every machine that ever had a session, by ID.
var Machines = store.NewTable("dispatch/machine", func(m Machine) string { return m.ID })

// Errors that end a session.
var (
	errRevoked  = aws.Errorf("AccessDeniedException", "This machine was shut out.")
	errReplaced = errors.New("the machine has a newer session")
)

// Revoke shuts a machine out for good: its certificate buys nothing any more, and once Revoke has returned, nothing
// that its session had on its way changes the store (I-29). It can join again with a new token, as a new machine.
func (s *Server) Revoke(ctx context.Context, id string) error {
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		m, ok := Machines.Get(tx, id)
		if !ok {
			return fmt.Errorf("no machine %s", id)
		}
		m.Revoked, m.Session = true, ""
		Machines.Put(tx, m)
		return nil
	})
	if one := s.of(id); err == nil && one != nil {
		one.end(errRevoked.Error())
	}
	return err
}

func (s *Server) revoked(id string) bool {
	m, _ := Machines.Get(s.Store.Read(), id)
	return m.Revoked
}

// takeSession makes session the machine's only one and returns the highest report that was applied.
func (s *Server) takeSession(ctx context.Context, who ecs.Machine, session string) (seq uint64, err error) {
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		m, ok := Machines.Get(tx, who.ID)
		if !ok {
			m = Machine{ID: who.ID, Account: who.Account, Region: who.Region, Cluster: who.Cluster}
		}
		if m.Revoked {
			return errRevoked
		}
		m.Session = session
		Machines.Put(tx, m)
		seq = m.Seq
		return nil
	})
	return seq, err
}

// holds checks, inside the transaction of what a session writes, that the session is the machine's.
func holds(tx *store.Tx, machine, session string) (Machine, error) {
	m, ok := Machines.Get(tx, machine)
	switch {
	case !ok || m.Revoked:
		return m, errRevoked
	case m.Session != session:
		return m, errReplaced
	}
	return m, nil
}
