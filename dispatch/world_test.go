package dispatch_test

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
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"berth/acm"
	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/dispatch"
	"berth/ecs"
	"berth/elbv2"
	"berth/servicediscovery"
	"berth/store"
)

const (
	account = "111122223333"
	region  = "eu-west-1"
)

// patience bounds every wait of these tests.
const patience = 10 * time.Second

// world is a control plane's end with a listener on loopback.
type world struct {
	*testing.T
	ctx     context.Context // of a caller of the API
	store   *store.Store
	ecs     *ecs.Service
	ca      *dispatch.Authority
	caDir   string
	tokens  dispatch.Tokens
	server  *dispatch.Server
	logs    *fakeLogs
	metrics *fakeMetrics
	addr    string
}

// fakeLogs remembers batches and can be told to fail.
type fakeLogs struct {
	mu      sync.Mutex // guards the fields below
	batches []proto.LogBatch
	where   []string
	fail    error
}

func (f *fakeLogs) PutLogEvents(_ context.Context, account, region string, b proto.LogBatch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.batches, f.where = append(f.batches, b), append(f.where, account+"/"+region)
	return nil
}

func newWorld(t *testing.T) *world { return newWorldAt(t, time.Minute) }

// newWorldAt is a world with this time between heartbeats.
func newWorldAt(t *testing.T, heartbeat time.Duration) *world {
	t.Helper()
	st, err := store.Open(store.Config{Tables: slices.Concat(ecs.Tables(), elbv2.Tables(), acm.Tables(), servicediscovery.Tables(), dispatch.Tables())})
	if err != nil {
		t.Fatal(err)
	}
	caDir := filepath.Join(t.TempDir(), "ca")
	ca, err := dispatch.OpenAuthority(caDir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		T: t, store: st, ca: ca, caDir: caDir, logs: &fakeLogs{}, metrics: &fakeMetrics{}, tokens: dispatch.Tokens{Store: st, Authority: ca},
		ctx: aws.WithCaller(t.Context(), aws.RootCaller(account, region, "AKIDEXAMPLE")),
		ecs: ecs.New(ecs.Deps{Store: st, Pages: aws.NewPages([]byte("test"))}),
	}
	w.server = dispatch.New(dispatch.Config{
		Store: st, ECS: w.ecs, Authority: ca, Tokens: w.tokens, Logs: w.logs, Metrics: w.metrics, Heartbeat: heartbeat,
		Registry:     http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, "registry "+r.URL.Path) }),
		RegistryHost: func() string { return "registry.test:1" },
		Log:          slog.New(slog.DiscardHandler),
	})
	w.serve(w.server)
	return w
}

// serve runs the server on a listener of its own until the test ends.
func (w *world) serve(s *dispatch.Server) (stop func()) {
	w.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("serve: %v", err)
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) token(cluster string, uses int) string {
	w.Helper()
	text, _, err := w.tokens.Create(w.Context(), ecs.Machine{Account: account, Region: region, Cluster: cluster}, 0, uses, time.Now())
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

func newKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

// client speaks HTTPS with the certificate, if it has one.
func (w *world) client(cert *tls.Certificate) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: w.tls(cert), DisableKeepAlives: true}}
}

func (w *world) tls(cert *tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.ca.PEM())
	conf := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return err
	}}
	if cert != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return conf
}

// post returns the answer's status and body; status 0 means that there was no answer.
func (w *world) post(cert *tls.Certificate, path string, body []byte) (int, string) {
	w.Helper()
	resp, err := w.client(cert).Post("https://"+w.addr+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (w *world) json(v any) []byte {
	w.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	return text
}

// join makes a machine of the cluster.
func (w *world) join(cluster string) *tls.Certificate {
	w.Helper()
	key, csr := newKey(w.T)
	status, body := w.post(nil, proto.PathJoin, w.json(proto.JoinRequest{Token: w.token(cluster, 1), CSR: csr}))
	if status != http.StatusOK {
		w.Fatalf("join: %d %s", status, body)
	}
	return w.certificate(key, body)
}

func (w *world) certificate(key *ecdsa.PrivateKey, body string) *tls.Certificate {
	w.Helper()
	var resp proto.JoinResponse
	if err := json.Unmarshal([]byte(body), &resp); err != nil {
		w.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.Fatal(err)
	}
	cert, err := tls.X509KeyPair(resp.Certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		w.Fatal(err)
	}
	return &cert
}

// agent is one end of a session.
type agent struct {
	w    *world
	conn *websocket.Conn
	seq  uint64
	held []proto.Frame
}

func (w *world) dial(cert *tls.Certificate) (*agent, *http.Response, error) {
	w.Helper()
	d := websocket.Dialer{TLSClientConfig: w.tls(cert), HandshakeTimeout: patience}
	conn, resp, err := d.DialContext(w.Context(), "wss://"+w.addr+proto.PathSession, nil)
	if err != nil {
		return nil, resp, err
	}
	w.Cleanup(func() { _ = conn.Close() })
	return &agent{w: w, conn: conn}, resp, nil
}

func hello() proto.Hello {
	h := proto.Hello{ProtocolVersion: proto.Version, BerthVersion: "test", BootID: "b", CPU: 4096, Memory: 8192}
	for _, a := range []string{"remote-api.1.18", "remote-api.1.19", "remote-api.1.21", "remote-api.1.24"} {
		h.Attributes = append(h.Attributes, api.Attribute{Name: new("com.amazonaws.ecs.capability.docker-" + a)})
	}
	return h
}

// connect opens a session and returns it after the welcome and the first assignment.
func (w *world) connect(cert *tls.Certificate) (*agent, proto.Welcome, proto.Assignment) {
	w.Helper()
	a, _, err := w.dial(cert)
	if err != nil {
		w.Fatal(err)
	}
	a.send(proto.TypeHello, hello())
	var welcome proto.Welcome
	a.want(proto.TypeWelcome, &welcome)
	var first proto.Assignment
	a.want(proto.TypeAssignment, &first)
	return a, welcome, first
}

func (a *agent) send(kind string, body any) {
	a.w.Helper()
	a.raw(websocket.TextMessage, a.w.json(proto.Frame{Type: kind, Body: a.w.json(body)}))
}

func (a *agent) raw(kind int, text []byte) {
	a.w.Helper()
	if err := a.conn.WriteMessage(kind, text); err != nil {
		a.w.Fatal(err)
	}
}

// next reads one frame; an error means that the session has ended.
func (a *agent) next() (proto.Frame, error) {
	_ = a.conn.SetReadDeadline(time.Now().Add(patience))
	var f proto.Frame
	_, text, err := a.conn.ReadMessage()
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
}

// want waits for a frame of this type; others that come before it are held for later calls.
func (a *agent) want(kind string, into any) {
	a.w.Helper()
	for i, f := range a.held {
		if f.Type == kind {
			a.held = append(a.held[:i:i], a.held[i+1:]...)
			a.decode(f, into)
			return
		}
	}
	for {
		f, err := a.next()
		if err != nil {
			a.w.Fatalf("wait for %s: %v", kind, err)
		}
		if f.Type == kind {
			a.decode(f, into)
			return
		}
		a.held = append(a.held, f)
	}
}

func (a *agent) decode(f proto.Frame, into any) {
	a.w.Helper()
	if err := json.Unmarshal(f.Body, into); err != nil {
		a.w.Fatal(err)
	}
}

// report sends the states and waits for the acknowledgement.
func (a *agent) report(states ...proto.TaskStatus) {
	a.w.Helper()
	a.seq++
	a.send(proto.TypeReport, proto.Report{Seq: a.seq, Tasks: states})
	var ack proto.ReportAck
	a.want(proto.TypeReportAck, &ack)
	if ack.Seq != a.seq {
		a.w.Errorf("report %d was acknowledged as %d", a.seq, ack.Seq)
	}
}

// ended waits until the server has closed the session and returns its reason, if it gave one.
func (a *agent) ended() string {
	a.w.Helper()
	reason := ""
	for {
		f, err := a.next()
		if err != nil {
			if n, is := errors.AsType[net.Error](err); is && n.Timeout() {
				a.w.Error("the session did not end")
			}
			return reason
		}
		var c proto.Close
		if f.Type == proto.TypeClose && json.Unmarshal(f.Body, &c) == nil {
			reason = c.Reason
		}
	}
}

// run starts a task in the cluster and returns its ARN.
func (w *world) run(cluster string) string {
	w.Helper()
	in := &api.RegisterTaskDefinitionRequest{Family: new("web"), ContainerDefinitions: []api.ContainerDefinition{
		{Name: new("app"), Image: new("app:1"), Memory: new(int32(64))},
	}}
	if _, err := w.ecs.RegisterTaskDefinition(w.ctx, in); err != nil {
		w.Fatal(err)
	}
	out, err := w.ecs.RunTask(w.ctx, &api.RunTaskRequest{Cluster: new(cluster), TaskDefinition: new("web")})
	if err != nil || len(out.Tasks) != 1 {
		w.Fatalf("run task: %v, failures %+v", err, out)
	}
	return *out.Tasks[0].TaskArn
}

func (w *world) task(cluster, arn string) api.Task {
	w.Helper()
	out, err := w.ecs.DescribeTasks(w.ctx, &api.DescribeTasksRequest{Cluster: new(cluster), Tasks: []string{arn}})
	if err != nil || len(out.Tasks) != 1 {
		w.Fatalf("describe %s: %v", arn, err)
	}
	return out.Tasks[0]
}

func (w *world) connected(arn string) bool {
	for c := range ecs.ContainerInstances.All(w.store.Read()) {
		if c.ARN().String() == arn {
			return c.Connected
		}
	}
	w.Fatalf("no instance %s", arn)
	return false
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			w.Fatalf("never: %s", what)
		}
	}
}

func status(arn, last string) proto.TaskStatus {
	return proto.TaskStatus{Arn: arn, LastStatus: last, Containers: []proto.ContainerStatus{{Name: "app", LastStatus: map[bool]string{true: last, false: "PENDING"}[last == "RUNNING" || last == "STOPPED"]}}}
}
