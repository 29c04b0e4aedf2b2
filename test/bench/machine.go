package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"berth/agent/proto"
	own "berth/api/berth"
	"berth/api/ecs"
)

// machine is a simulated machine: it speaks the agent's protocol and says of every task that it runs, at once.
type machine struct {
	name, cluster, server string
	attributes            []ecs.Attribute
	client                *tls.Config

	writing sync.Mutex // one frame is written at a time
	conn    *websocket.Conn
	seq     uint64          // of the session's goroutine, as is running
	running map[string]bool // tasks that were reported
}

// joinMachine buys a certificate for a machine and starts its agent, which ends with ctx; ended gets why it ended before.
func (b *berth) joinMachine(ctx context.Context, cluster, name string, attributes []ecs.Attribute, ended chan<- error) error {
	out, err := b.command(ctx, "token", "create", "--cluster", cluster, "-o", "json")
	if err != nil {
		return err
	}
	var token own.CreateJoinTokenResponse
	if err := json.Unmarshal([]byte(out), &token); err != nil {
		return err
	}
	m := &machine{name: name, cluster: cluster, server: token.Server, attributes: attributes, running: map[string]bool{}}
	if err := m.certify(ctx, token.Token); err != nil {
		return fmt.Errorf("join %s: %w", name, err)
	}
	began := make(chan error, 1)
	go func() {
		err := m.session(ctx, began)
		select {
		case began <- err: // it ended before it began
		default:
		}
		select {
		case ended <- err:
		case <-ctx.Done():
		}
	}()
	return <-began
}

func (m *machine) certify(ctx context.Context, token string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	body, err := json.Marshal(proto.JoinRequest{Token: token, CSR: csr, Name: m.name})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+m.server+proto.PathJoin, bytes.NewReader(body))
	if err != nil {
		return err
	}
	// The server is this program's own, on loopback.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var out proto.JoinResponse
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(out.Certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	m.client = &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}} //nolint:gosec // see above
	return err
}

// session is one connection; began gets nil when the server has let the machine in.
func (m *machine) session(ctx context.Context, began chan<- error) error {
	dialer := websocket.Dialer{TLSClientConfig: m.client, HandshakeTimeout: 10 * time.Second}
	conn, resp, err := dialer.DialContext(ctx, "wss://"+m.server+proto.PathSession, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })()
	m.conn = conn
	hello := proto.Hello{ProtocolVersion: proto.Version, BerthVersion: "bench", BootID: m.name, Cluster: m.cluster, CPU: 1 << 20, Memory: 1 << 20, Attributes: m.attributes}
	if err := m.send(proto.TypeHello, hello); err != nil {
		return err
	}
	for {
		var f proto.Frame
		if err := conn.ReadJSON(&f); err != nil {
			return err
		}
		switch f.Type {
		case proto.TypeWelcome:
			var in proto.Welcome
			if err := json.Unmarshal(f.Body, &in); err != nil {
				return err
			}
			m.seq = in.AckedSeq
			go m.beat(ctx, in.Heartbeat)
			if err := m.report(true, nil); err != nil {
				return err
			}
			began <- nil
		case proto.TypeAssignment:
			var in proto.Assignment
			if err := json.Unmarshal(f.Body, &in); err != nil {
				return err
			}
			if err := m.report(false, in.Tasks); err != nil {
				return err
			}
		case proto.TypeClose:
			return fmt.Errorf("machine %s: the server closed the session: %s", m.name, f.Body)
		}
	}
}

// report says of tasks what they are told to be.
func (m *machine) report(full bool, tasks []proto.Task) error {
	r := proto.Report{Full: full, Tasks: []proto.TaskStatus{}}
	now := time.Now()
	for _, t := range tasks {
		last := "RUNNING"
		if t.DesiredStatus == "STOPPED" {
			last = "STOPPED"
			delete(m.running, t.Arn)
		} else if m.running[t.Arn] {
			continue
		} else {
			m.running[t.Arn] = true
		}
		s := proto.TaskStatus{Arn: t.Arn, LastStatus: last, StartedAt: now}
		for name := range t.ContainerArns {
			s.Containers = append(s.Containers, proto.ContainerStatus{Name: name, LastStatus: last, StartedAt: now})
		}
		r.Tasks = append(r.Tasks, s)
	}
	if !full && len(r.Tasks) == 0 {
		return nil
	}
	m.seq++
	r.Seq = m.seq
	return m.send(proto.TypeReport, r)
}

// beat sends heartbeats until the session ends.
func (m *machine) beat(ctx context.Context, every time.Duration) {
	for pause(ctx, every) == nil && m.send(proto.TypeHeartbeat, proto.Heartbeat{}) == nil {
		continue
	}
}

func (m *machine) send(kind string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	return m.conn.WriteJSON(proto.Frame{Type: kind, Body: data})
}
