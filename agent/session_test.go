package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"berth/agent/proto"
	ecs "berth/api/ecs"
)

// control is a control plane of one machine: it signs certificates, sends assignments and remembers reports.
type control struct {
	t      testing.TB
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	server *httptest.Server
	life   time.Duration

	mu       sync.Mutex
	joins    int
	renewals int
	sessions int
	newest   map[string]proto.TaskStatus
	lastSeq  uint64
	batches  []proto.LogBatch
	refuse   func(path string) int
	absent   bool // sessions are refused
	refused  int
	deaf     bool // reports and heartbeats get no answer
	conn     *websocket.Conn
	current  proto.Assignment
	changed  chan struct{}
}

const testSecret = "s3cret"

func newControl(t testing.TB) *control { return newControlOn(t, nil) }

// newControlOn listens on l, or on a port of its own.
func newControlOn(t testing.TB, l net.Listener) *control {
	t.Helper()
	c := &control{t: t, life: time.Hour, newest: map[string]proto.TaskStatus{}, changed: make(chan struct{}, 1)}
	var err error
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	c.ca = c.sign(ca, &c.key.PublicKey, ca)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := c.sign(&x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, &leafKey.PublicKey, c.ca)
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	mux := http.NewServeMux()
	mux.HandleFunc(proto.PathJoin, c.join)
	mux.HandleFunc(proto.PathRenew, c.renew)
	mux.HandleFunc(proto.PathSession, c.session)
	mux.HandleFunc(proto.PathLogs, c.logs)
	if l == nil {
		c.server = httptest.NewUnstartedServer(mux)
	} else {
		c.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	}
	c.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, c.ca.Raw}, PrivateKey: leafKey}},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	c.server.StartTLS()
	t.Cleanup(func() {
		c.hangUp()
		c.server.Close()
	})
	return c
}

func (c *control) sign(cert *x509.Certificate, public any, parent *x509.Certificate) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, public, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return signed
}

func (c *control) token() string {
	return fmt.Sprintf("berth1.%x.id.%s", sha256.Sum256(c.ca.Raw), testSecret)
}

func (c *control) join(w http.ResponseWriter, r *http.Request) {
	var req proto.JoinRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Token != c.token() {
		http.Error(w, "bad token", http.StatusForbidden)
		return
	}
	c.mu.Lock()
	c.joins++
	c.mu.Unlock()
	c.issue(w, req.CSR)
}

func (c *control) renew(w http.ResponseWriter, r *http.Request) {
	var req proto.RenewRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "no certificate", http.StatusForbidden)
		return
	}
	c.mu.Lock()
	c.renewals++
	c.life = time.Hour
	c.mu.Unlock()
	c.issue(w, req.CSR)
}

func (c *control) issue(w http.ResponseWriter, der []byte) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cert := c.sign(&x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now(), NotAfter: time.Now().Add(c.life),
		Subject: pkix.Name{CommonName: "machine"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, csr.PublicKey, c.ca)
	encode := func(raw []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}) }
	_ = json.NewEncoder(w).Encode(proto.JoinResponse{Certificate: encode(cert.Raw), Authorities: encode(c.ca.Raw)})
}

func (c *control) session(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "no certificate", http.StatusForbidden)
		return
	}
	c.mu.Lock()
	absent := c.absent
	if absent {
		c.refused++
	}
	c.mu.Unlock()
	if absent {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	var f proto.Frame
	if conn.ReadJSON(&f) != nil || f.Type != proto.TypeHello {
		return
	}
	c.mu.Lock()
	c.sessions++
	c.conn = conn
	acked := c.lastSeq
	c.mu.Unlock()
	c.send(proto.TypeWelcome, proto.Welcome{ContainerInstanceArn: "arn:instance", Heartbeat: time.Second, AckedSeq: acked})
	c.send(proto.TypeAssignment, c.current)
	for conn.ReadJSON(&f) == nil {
		c.mu.Lock()
		deaf := c.deaf
		c.mu.Unlock()
		switch {
		case deaf:
		case f.Type == proto.TypeHeartbeat:
			c.send(proto.TypeHeartbeatAck, struct{}{})
		case f.Type == proto.TypeReport:
			c.report(f.Body)
		}
	}
}

func (c *control) report(body []byte) {
	var rep proto.Report
	if err := json.Unmarshal(body, &rep); err != nil {
		c.t.Errorf("report: %v", err)
		return
	}
	c.mu.Lock()
	if rep.Seq <= c.lastSeq {
		c.t.Errorf("report %d after %d", rep.Seq, c.lastSeq)
	}
	c.lastSeq = rep.Seq
	for _, s := range rep.Tasks {
		c.newest[s.Arn] = s
	}
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	c.send(proto.TypeReportAck, proto.ReportAck{Seq: rep.Seq})
}

func (c *control) send(kind string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.WriteJSON(proto.Frame{Type: kind, Body: text}) // the session may have ended
	}
}

// hangUp ends the present session.
func (c *control) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *control) assign(desired, def string) {
	d := parseDefinition(def)
	for i := range d.ContainerDefinitions {
		d.ContainerDefinitions[i].LogConfiguration = &ecs.LogConfiguration{LogDriver: ecs.LogDriverJsonFile}
	}
	a := proto.Assignment{Revision: c.current.Revision + 1, Tasks: []proto.Task{{Arn: simArn, DesiredStatus: desired, Definition: "d", StopCode: "UserInitiated"}},
		Definitions: map[string]ecs.TaskDefinition{"d": *d}}
	c.mu.Lock()
	c.current = a
	c.mu.Unlock()
	c.send(proto.TypeAssignment, a)
}

// await waits until the server knows the task with that status.
func (c *control) await(status string) proto.TaskStatus {
	c.t.Helper()
	deadline := time.After(time.Minute)
	for {
		c.mu.Lock()
		s := c.newest[simArn]
		c.mu.Unlock()
		if s.LastStatus == status {
			return s
		}
		select {
		case <-c.changed:
		case <-deadline:
			c.t.Fatalf("status is %q, want %q", s.LastStatus, status)
		}
	}
}

// runAgent runs a whole agent on m until the returned function is called.
func (c *control) runAgent(m *machine, dir, token string) (stop func()) {
	c.t.Helper()
	cfg := testConfig(c.t, m, dir)
	cfg.Server, cfg.Token, cfg.PauseCommand = c.server.URL, token, []string{"/bin/false"}
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, *cfg) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil && ctx.Err() == nil {
				c.t.Errorf("agent: %v", err)
			}
		})
	}
	c.t.Cleanup(stop)
	return stop
}

func TestAssignmentToStoppedOverASession(t *testing.T) {
	c, m := newControl(t), newMachine()
	c.runAgent(m, t.TempDir(), c.token())
	c.assign("RUNNING", "web")
	c.await(statusRunning)
	c.assign("STOPPED", "web")
	s := c.await(statusStopped)
	if s.Containers[0].ExitCode == nil || *s.Containers[0].ExitCode != 143 {
		t.Errorf("got %+v", s.Containers[0])
	}
}

func TestReconnectSendsEverythingAgain(t *testing.T) {
	c, m := newControl(t), newMachine()
	c.runAgent(m, t.TempDir(), c.token())
	c.assign("RUNNING", "web")
	c.await(statusRunning)
	c.mu.Lock()
	clear(c.newest)
	c.mu.Unlock()
	c.hangUp()
	c.await(statusRunning)
	if m.count("start web") != 1 {
		t.Errorf("calls: %v", m.calls)
	}
}

func TestRestartedAgentNeedsNoTokenAndKeepsCounting(t *testing.T) {
	c, m, dir := newControl(t), newMachine(), t.TempDir()
	stop := c.runAgent(m, dir, c.token())
	c.assign("RUNNING", "web")
	c.await(statusRunning)
	stop()
	m.end("web", 7)
	info, err := os.Stat(filepath.Join(dir, "identity.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("identity: %v %v", info, err)
	}
	c.runAgent(m, dir, "")
	s := c.await(statusStopped)
	if c.joins != 1 || *s.Containers[0].ExitCode != 7 {
		t.Errorf("joins %d, %+v", c.joins, s)
	}
}

func TestJoinBelievesOnlyTheAuthorityOfTheToken(t *testing.T) {
	good, evil := newControl(t), newControl(t)
	cfg := testConfig(t, newMachine(), t.TempDir())
	cfg.Server, cfg.Token = evil.server.URL, good.token()
	id := &Identity{cfg: cfg, path: filepath.Join(cfg.DataDir, "identity.json")}
	if err := id.join(t.Context()); err == nil || evil.joins != 0 {
		t.Fatalf("joined a server with another authority: %v", err)
	}
}

func TestJoinRefusedIsAnError(t *testing.T) {
	c := newControl(t)
	cfg := testConfig(t, newMachine(), t.TempDir())
	cfg.Server, cfg.Token = c.server.URL, c.token()+"x"
	if _, err := Join(t.Context(), *cfg); err == nil {
		t.Fatal("joined with a bad token")
	}
}

func TestCertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	c, m := newControl(t), newMachine()
	c.life = 3 * time.Second
	c.runAgent(m, t.TempDir(), c.token())
	deadline := time.Now().Add(10 * time.Second)
	for {
		c.mu.Lock()
		n := c.renewals
		c.mu.Unlock()
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("not renewed")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *control) logs(w http.ResponseWriter, r *http.Request) {
	var b proto.LogBatch
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	refuse := c.refuse
	c.mu.Unlock()
	if refuse != nil {
		if code := refuse(proto.PathLogs); code != 0 {
			http.Error(w, "ResourceNotFoundException: The specified log group does not exist.", code)
			return
		}
	}
	c.mu.Lock()
	c.batches = append(c.batches, b)
	c.mu.Unlock()
}
