package vpc

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/nftables"
	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// elementsPerMessage keeps one message's list of elements below the 64 KiB that a netlink attribute can have.
const elementsPerMessage = 400

// socketBuffer holds the messages and acknowledgements of one transaction of a few thousand elements.
const socketBuffer = 4 << 20

// ruleConn is a connection to nftables inside one network namespace. Each call is one atomic transaction.
type ruleConn struct {
	netns int

	mu   sync.Mutex // guards conn, and the transaction being collected in it
	conn *nftables.Conn
}

func (r *ruleConn) commit(fill func(c *nftables.Conn) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		conn, err := nftables.New(nftables.WithNetNSFd(r.netns), nftables.AsLasting(),
			nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
				return errors.Join(c.SetWriteBuffer(socketBuffer), c.SetReadBuffer(socketBuffer))
			}))
		if err != nil {
			return fmt.Errorf("open nftables: %w", err)
		}
		r.conn = conn
	}
	err := fill(r.conn)
	if err == nil {
		err = r.conn.Flush()
	}
	if err != nil { // what is left in its socket belongs to the failed transaction
		_ = r.conn.CloseLasting()
		r.conn = nil
		return fmt.Errorf("change nftables: %w", err)
	}
	return nil
}

func (r *ruleConn) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_ = r.conn.CloseLasting()
		r.conn = nil
	}
}

// replace puts a table in place of the one with its name, or makes it, with all of its contents at once: no packet
// meets a half-made table, and connections keep their translation.
func (r *ruleConn) replace(table string, sets []setRef, chains []chain, elements []element) error {
	return r.commit(func(c *nftables.Conn) error {
		t := &nftables.Table{Name: table, Family: nftables.TableFamilyIPv4}
		c.AddTable(t)
		c.DelTable(t)
		c.AddTable(t)
		for _, ref := range sets {
			if err := c.AddSet(setOf(t, ref), nil); err != nil {
				return err
			}
		}
		if err := addElements(c, t, elements); err != nil {
			return err
		}
		for _, ch := range chains {
			nc := c.AddChain(&nftables.Chain{Name: ch.name, Table: t, Type: ch.kind, Hooknum: ch.hook, Priority: ch.priority})
			for _, parts := range ch.rules {
				c.AddRule(&nftables.Rule{Table: t, Chain: nc, Exprs: rule(parts...)})
			}
		}
		return nil
	})
}

// remove deletes a table; one that is not there is no error.
func (r *ruleConn) remove(table string) error {
	return r.commit(func(c *nftables.Conn) error {
		t := &nftables.Table{Name: table, Family: nftables.TableFamilyIPv4}
		c.AddTable(t)
		c.DelTable(t)
		return nil
	})
}

// exists tells whether the table is there.
func (r *ruleConn) exists(table string) (bool, error) {
	var found bool
	err := r.commit(func(c *nftables.Conn) error {
		tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
		for _, t := range tables {
			found = found || t.Name == table
		}
		return err
	})
	return found, err
}

func (r *ruleConn) add(table string, elements []element) error {
	return r.commit(func(c *nftables.Conn) error {
		return addElements(c, &nftables.Table{Name: table, Family: nftables.TableFamilyIPv4}, elements)
	})
}

// delete removes elements; it fails as a whole with ENOENT when one of them is not there.
func (r *ruleConn) delete(table string, elements []element) error {
	return r.commit(func(c *nftables.Conn) error {
		t := &nftables.Table{Name: table, Family: nftables.TableFamilyIPv4}
		return bySet(elements, func(ref setRef, part []nftables.SetElement) error {
			s := setOf(t, ref)
			return c.SetDeleteElements(s, part)
		})
	})
}

func addElements(c *nftables.Conn, t *nftables.Table, elements []element) error {
	return bySet(elements, func(ref setRef, part []nftables.SetElement) error {
		return c.SetAddElements(setOf(t, ref), part)
	})
}

func bySet(elements []element, f func(setRef, []nftables.SetElement) error) error {
	parts := map[setRef][]nftables.SetElement{}
	for _, e := range elements {
		parts[e.set] = append(parts[e.set], nftables.SetElement{Key: e.key, Val: e.val})
		if len(parts[e.set]) == elementsPerMessage {
			if err := f(e.set, parts[e.set]); err != nil {
				return err
			}
			delete(parts, e.set)
		}
	}
	for ref, part := range parts {
		if err := f(ref, part); err != nil {
			return err
		}
	}
	return nil
}

func notFound(err error) bool { return errors.Is(err, unix.ENOENT) }
