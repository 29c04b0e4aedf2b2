package sim

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
	"hash/crc32"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"berth/agent/proto"
	api "berth/api/ecs"
)

const (
	startTime = 2 * time.Second // from an assignment to RUNNING
	stopTime  = time.Second     // from the wish to STOPPED
	redial    = time.Second
)

// machine is a simulated machine with an agent. It does what the assignment says, remembers what it did, and can be
// told to fail.
type machine struct {
	w     *world
	name  string
	cable *cable
	// ingress carries load balancers' traffic; nil if the machine has no such role.
	ingress *ingress
	cert    tls.Certificate
	pool    *x509.CertPool
	dead    context.CancelFunc
	done    chan struct{}

	reporting sync.Mutex // held from a report's number until it is sent, so that they arrive in their order

	mu       sync.Mutex // guards what follows
	conn     *websocket.Conn
	write    *sync.Mutex // one frame at a time
	instance string
	seq      uint64
	state    map[string]string // the agent's memory: task ARN to last status
	forgot   map[string]bool   // tasks that it does not know of any more
	refused  string            // why the server closed the session for good

	// What really happened on the machine; no agent forgets it.
	started, stopped map[string]int
	told             []proto.Task // tasks of assignments that were to be stopped, as they came
	sent             []proto.Report
}

// join makes a machine with its certificate and starts its agent.
func (w *world) join(name string) *machine {
	w.Helper()
	return w.joinWith(name, nil)
}

func (w *world) joinWith(name string, i *ingress) *machine {
	w.Helper()
	m := &machine{w: w, name: name, ingress: i, cable: &cable{}, started: map[string]int{}, stopped: map[string]int{}, state: map[string]string{}, forgot: map[string]bool{}}
	if i != nil {
		i.m = m
	}
	m.certify()
	w.machines = append(w.machines, m)
	m.boot()
	w.settle(0)
	if m.arn() == "" {
		w.Fatalf("machine %s was not let in: %s", name, m.refusal())
	}
	return m
}

func (m *machine) certify() {
	m.w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.w.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		m.w.Fatal(err)
	}
	body, _ := json.Marshal(proto.JoinRequest{Token: m.w.token(), CSR: csr, Name: m.name})
	// The token's fingerprint, which a real agent checks, is not what these tests are about.
	transport := &http.Transport{DisableKeepAlives: true, DialContext: m.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post("https://agents.sim"+proto.PathJoin, "application/json", bytes.NewReader(body))
	if err != nil {
		m.w.Fatal(err)
	}
	defer resp.Body.Close()
	var out proto.JoinResponse
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		m.w.Fatalf("join: %d %v", resp.StatusCode, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.w.Fatal(err)
	}
	if m.cert, err = tls.X509KeyPair(out.Certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		m.w.Fatal(err)
	}
	m.pool = x509.NewCertPool()
	m.pool.AppendCertsFromPEM(out.Authorities)
}

func (m *machine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return m.w.agents.dial(ctx, m.cable)
}

func (m *machine) tls() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{m.cert}, VerifyConnection: func(s tls.ConnectionState) error {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: m.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return err
	}}
}

// boot starts the agent; it calls again until it is halted or refused for good.
func (m *machine) boot() {
	ctx, cancel := context.WithCancel(context.Background())
	m.dead, m.done = cancel, make(chan struct{})
	done := m.done
	go func() {
		defer close(done)
		for ctx.Err() == nil && m.refusal() == "" {
			m.session(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(redial):
			}
		}
	}()
}

// halt ends the agent; the machine's tasks go on.
func (m *machine) halt() {
	m.dead()
	<-m.done
}

// session is one connection from hello to its end.
func (m *machine) session(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialer := websocket.Dialer{NetDialContext: m.dial, TLSClientConfig: m.tls(), HandshakeTimeout: 10 * time.Second}
	conn, resp, err := dialer.DialContext(ctx, "wss://agents.sim"+proto.PathSession, nil)
	if err != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	defer stop()
	m.mu.Lock()
	m.conn, m.write = conn, &sync.Mutex{}
	m.mu.Unlock()
	defer func() { m.mu.Lock(); m.conn = nil; m.mu.Unlock() }()
	if m.ingress != nil {
		m.ingress.begin()
	}
	m.send(proto.TypeHello, m.hello())
	beat := 10 * time.Second
	for {
		_ = conn.SetReadDeadline(time.Now().Add(3 * beat))
		var f proto.Frame
		_, text, err := conn.ReadMessage()
		if err != nil || json.Unmarshal(text, &f) != nil {
			return
		}
		switch f.Type {
		case proto.TypeWelcome:
			m.welcome(ctx, f.Body)
		case proto.TypeAssignment:
			m.assigned(f.Body)
		case proto.TypeIngress:
			m.ingress.follow(f.Body)
		case proto.TypeClose:
			m.closed(f.Body)
			return
		}
	}
}

func (m *machine) hello() proto.Hello {
	h := proto.Hello{ProtocolVersion: proto.Version, BerthVersion: "sim", BootID: m.name, Zone: m.w.zones[m.name], CPU: 1024, Memory: 1024}
	for _, v := range []string{"1.18", "1.19", "1.21", "1.24"} {
		h.Attributes = append(h.Attributes, api.Attribute{Name: new("com.amazonaws.ecs.capability.docker-remote-api." + v)})
	}
	h.Attributes = append(h.Attributes, api.Attribute{Name: new("ecs.capability.task-cpu-mem-limit")})
	if m.ingress != nil {
		h.Ingress, h.Address = true, m.ingress.address
	}
	return h
}

func (m *machine) welcome(ctx context.Context, body []byte) {
	var in proto.Welcome
	if err := json.Unmarshal(body, &in); err != nil {
		m.w.Errorf("welcome: %v", err)
	}
	m.mu.Lock()
	m.instance, m.seq = in.ContainerInstanceArn, max(m.seq, in.AckedSeq)
	known := slices.Sorted(maps.Keys(m.state))
	m.mu.Unlock()
	m.report(true, known...)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(in.Heartbeat):
				m.send(proto.TypeHeartbeat, proto.Heartbeat{})
			}
		}
	}()
}

// assigned starts and stops what the assignment names, and nothing else.
func (m *machine) assigned(body []byte) {
	var in proto.Assignment
	if err := json.Unmarshal(body, &in); err != nil {
		m.w.Errorf("assignment: %v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range in.Tasks {
		delete(m.forgot, t.Arn)
		last, known := m.state[t.Arn]
		running := m.started[t.Arn] > m.stopped[t.Arn]
		switch {
		case t.DesiredStatus == "STOPPED":
			m.told = append(m.told, t)
			if last == "STOPPING" {
				continue
			}
			m.state[t.Arn] = "STOPPING"
			if !running {
				m.state[t.Arn] = "STOPPED"
			}
			go m.later(stopTime, t.Arn, "STOPPED")
		case known:
		case running: // forgotten, and found again by its containers
			m.state[t.Arn] = "RUNNING"
			go m.later(0, t.Arn, "RUNNING")
		default:
			m.state[t.Arn] = "PENDING"
			go m.later(startTime, t.Arn, "RUNNING")
		}
	}
}

// later lets the task come to a state and reports it.
func (m *machine) later(after time.Duration, arn, state string) {
	time.Sleep(after)
	m.mu.Lock()
	if state == "RUNNING" && m.state[arn] == "PENDING" {
		m.started[arn]++
		m.state[arn] = state
	}
	if state == "STOPPED" {
		m.stopped[arn] = m.started[arn]
		m.state[arn] = state
	}
	m.mu.Unlock()
	m.report(false, arn)
}

func (m *machine) closed(body []byte) {
	var in proto.Close
	_ = json.Unmarshal(body, &in)
	m.mu.Lock()
	defer m.mu.Unlock()
	if in.Deregistered {
		m.refused = in.Reason
	}
}

// report tells the states of the tasks.
func (m *machine) report(full bool, arns ...string) {
	m.reporting.Lock()
	defer m.reporting.Unlock()
	m.mu.Lock()
	m.seq++
	r := proto.Report{Seq: m.seq, Full: full, Tasks: []proto.TaskStatus{}}
	for _, arn := range arns {
		if last := m.state[arn]; last != "" { // else it was forgotten
			r.Tasks = append(r.Tasks, status(arn, last))
		}
	}
	m.sent = append(m.sent, r)
	m.mu.Unlock()
	m.send(proto.TypeReport, r)
}

// claim reports a state whatever the truth is.
func (m *machine) claim(arn, last string) {
	m.reporting.Lock()
	defer m.reporting.Unlock()
	m.mu.Lock()
	m.seq++
	r := proto.Report{Seq: m.seq, Tasks: []proto.TaskStatus{status(arn, last)}}
	m.mu.Unlock()
	m.send(proto.TypeReport, r)
}

// repeat sends every report once more, the last one first: as they were, and then as if they were new.
func (m *machine) repeat() {
	m.reporting.Lock()
	defer m.reporting.Unlock()
	m.mu.Lock()
	sent := slices.Clone(m.sent)
	m.mu.Unlock()
	slices.Reverse(sent)
	for _, r := range sent {
		m.send(proto.TypeReport, r)
	}
	for _, r := range sent {
		m.mu.Lock()
		m.seq++
		r.Seq, r.Full = m.seq, false
		m.mu.Unlock()
		m.send(proto.TypeReport, r)
	}
}

func status(arn, last string) proto.TaskStatus {
	container := "PENDING"
	if last == "RUNNING" || last == "STOPPED" {
		container = last
	}
	out := proto.TaskStatus{Arn: arn, LastStatus: last, Containers: []proto.ContainerStatus{{Name: "app", LastStatus: container}}}
	if container == "RUNNING" {
		out.Containers[0].NetworkBindings = []api.NetworkBinding{{
			BindIP: new("0.0.0.0"), ContainerPort: new(int32(80)), HostPort: new(portOf(arn)), Protocol: api.TransportProtocolTcp,
		}}
	}
	return out
}

// portOf is the port of its machine at which a task's port 80 answers.
func portOf(arn string) int32 { return 32768 + int32(crc32.ChecksumIEEE([]byte(arn))%28000) }

// send writes a frame if there is a session; what an agent cannot send it tells in the next session's full report.
func (m *machine) send(kind string, body any) {
	m.mu.Lock()
	conn, write := m.conn, m.write
	m.mu.Unlock()
	if conn == nil {
		return
	}
	write.Lock()
	defer write.Unlock()
	data, err := json.Marshal(body)
	if err != nil {
		m.w.Errorf("%s: %v", kind, err)
	}
	_ = conn.WriteJSON(proto.Frame{Type: kind, Body: data})
}

// forget makes the agent lose its memory; the machine goes on.
func (m *machine) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for arn := range m.state {
		m.forgot[arn] = true
	}
	m.state, m.seq = map[string]string{}, 0
}

func (m *machine) forgotten(arn string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgot[arn]
}

func (m *machine) arn() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instance
}

func (m *machine) refusal() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// toldToStop lists the tasks that an assignment ever named to be stopped.
func (m *machine) toldToStop() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []string{}
	for _, t := range m.told {
		out = append(out, t.Arn)
	}
	return out
}

// counts says how often the machine started and stopped a task.
func (m *machine) counts(arn string) (starts, stops int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started[arn], m.stopped[arn]
}
