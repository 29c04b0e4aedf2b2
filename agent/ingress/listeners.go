package ingress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// listeners are HAProxy's listening sockets. While the agent has them too, a client that connects after HAProxy was killed waits for the next one and is
// not refused. They are kept as HAProxy hands them over at its runtime socket to a process that follows it, and given to the next one in the same way
// (option -x): a number of sockets, then parts of at most 252 descriptors with a description of each, which is of no interest here. Each part is
// acknowledged by 4 bytes. Source: seen with HAProxy 2.6.
type listeners struct {
	identity string // of the tasks' namespace, in which some of them are
	parts    []listenerPart
}

type listenerPart struct {
	text []byte
	fds  []int
}

// mostListeners are in one part.
const mostListeners = 252

// takeListeners asks the worker for its listeners.
func (c Config) takeListeners(ctx context.Context, pid int) (l listeners, err error) {
	_, l.identity = c.Network.TaskNamespace()
	whose, conn, err := c.greet(ctx)
	if err != nil {
		return l, err
	}
	defer conn.Close()
	if whose != pid {
		return l, fmt.Errorf("process %d still listens", whose)
	}
	if _, err := io.WriteString(conn, "_getsocks\n"); err != nil {
		return l, fmt.Errorf("tell HAProxy: %w", err)
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	var number [4]byte
	if _, err := io.ReadFull(conn, number[:]); err != nil {
		return l, fmt.Errorf("HAProxy does not hand over its listeners: %w", err)
	}
	for have, all := 0, int(binary.NativeEndian.Uint32(number[:])); have < all; {
		p, err := receiveListeners(conn.(*net.UnixConn))
		if err != nil {
			return l, err
		}
		l.parts = append(l.parts, p)
		if have += len(p.fds); have < all {
			if _, err := conn.Write(number[:]); err != nil {
				return l, fmt.Errorf("tell HAProxy: %w", err)
			}
		}
	}
	return l, nil
}

func receiveListeners(conn *net.UnixConn) (listenerPart, error) {
	text, control := make([]byte, 1<<20), make([]byte, unix.CmsgSpace(4*mostListeners))
	n, controls, _, _, err := conn.ReadMsgUnix(text, control) // the descriptors are closed on exec
	if err != nil {
		return listenerPart{}, fmt.Errorf("HAProxy does not hand over its listeners: %w", err)
	}
	p := listenerPart{text: append([]byte(nil), text[:n]...)}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	for _, m := range messages {
		fds, bad := unix.ParseUnixRights(&m)
		err = errors.Join(err, bad)
		p.fds = append(p.fds, fds...)
	}
	if err == nil && len(p.fds) == 0 {
		err = errors.New("HAProxy hands over no listeners")
	}
	return p, err
}

// offer answers the next HAProxy at a socket, once. The path is for its option -x; end stops.
func (l listeners) offer(path string) (end func(), err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := socket.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = l.send(conn) // HAProxy ends if it does not get them
	}()
	return func() { socket.Close(); <-done }, nil
}

func (l listeners) send(conn *net.UnixConn) error {
	if err := conn.SetDeadline(time.Now().Add(talkWait)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 64)); err != nil { // its question
		return err
	}
	all := 0
	for _, p := range l.parts {
		all += len(p.fds)
	}
	number := binary.NativeEndian.AppendUint32(nil, uint32(all))
	if _, err := conn.Write(number); err != nil {
		return err
	}
	for _, p := range l.parts {
		if _, _, err := conn.WriteMsgUnix(p.text, unix.UnixRights(p.fds...), nil); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, number); err != nil {
			return err
		}
	}
	return nil
}

func (l *listeners) close() {
	for _, p := range l.parts {
		for _, fd := range p.fds {
			unix.Close(fd)
		}
	}
	l.parts = nil
}
