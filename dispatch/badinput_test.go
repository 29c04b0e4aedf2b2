package dispatch_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/dispatch"
	"berth/ecs"
	"berth/elbv2"
	"berth/store"
)

const noTask = "arn:aws:ecs:" + region + ":" + account + ":task/default/0123456789abcdef0123456789abcdef"

func TestBadJoins(t *testing.T) {
	w := newWorld(t)
	_, csr := newKey(t)
	broken := append([]byte(nil), csr...)
	broken[len(broken)-1] ^= 1
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakCSR, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	if err != nil {
		t.Fatal(err)
	}
	expired, _, err := w.tokens.Create(t.Context(), ecs.Machine{Account: account, Region: region, Cluster: "default"}, time.Minute, 1, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	good, used := w.token("default", 1), w.token("default", 1)
	if code, body := w.post(nil, proto.PathJoin, w.json(proto.JoinRequest{Token: used, CSR: csr})); code != http.StatusOK {
		t.Fatalf("join: %d %s", code, body)
	}
	part := strings.Split(good, ".")
	join := func(token string, csr []byte) []byte { return w.json(proto.JoinRequest{Token: token, CSR: csr}) }
	for _, row := range []struct {
		name string
		body []byte
		code int
		text string
	}{
		{"no body", nil, 400, "not valid JSON"},
		{"garbage", []byte("\x00\xff{"), 400, "not valid JSON"},
		{"wrong types", []byte(`{"token":7}`), 400, "not valid JSON"},
		{"too large", []byte(`{"token":"` + strings.Repeat("x", 1<<17) + `"}`), 413, "too large"},
		{"no request for a certificate", join(good, nil), 400, "certificate request"},
		{"request that is no DER", join(good, []byte("hello")), 400, "certificate request"},
		{"request with a broken signature", join(good, broken), 400, "certificate request"},
		{"weak key", join(good, weakCSR), 400, "key"},
		{"no token", join("", csr), 403, "token"},
		{"token of another form", join("berth0."+part[1]+"."+part[2]+"."+part[3], csr), 403, "token"},
		{"token cut short", join(strings.Join(part[:3], "."), csr), 403, "token"},
		{"unknown token", join(part[0]+"."+part[1]+".0000000000000000."+part[3], csr), 403, "token"},
		{"wrong secret", join(part[0]+"."+part[1]+"."+part[2]+"."+strings.Repeat("A", len(part[3])), csr), 403, "token"},
		{"no secret", join(part[0]+"."+part[1]+"."+part[2]+".", csr), 403, "token"},
		{"used token", join(used, csr), 403, "token"},
		{"expired token", join(string(expired), csr), 403, "token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if code, body := w.post(nil, proto.PathJoin, row.body); code != row.code || !strings.Contains(body, row.text) {
				t.Errorf("got %d %q, want %d with %q", code, body, row.code, row.text)
			}
		})
	}
	if code, body := w.post(nil, proto.PathJoin, join(good, csr)); code != http.StatusOK {
		t.Errorf("the bad requests used the good token up: %d %s", code, body)
	}
}

func TestTooManyJoinsAreHeldOff(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		if code, _ := w.post(nil, proto.PathJoin, []byte("{}")); code == http.StatusServiceUnavailable {
			return
		}
	}
	t.Error("100 attempts in a row were all looked at")
}

// forge makes a client certificate that the issuer signs; change makes it wrong.
func forge(t *testing.T, issuer *tls.Certificate, change func(c *x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{identity(strings.Repeat("a", 32))},
	}
	change(template)
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func identity(machine string) *url.URL {
	return &url.URL{Scheme: "berth", Host: "agent", Path: "/" + account + "/" + region + "/default/" + machine}
}

func TestBadCertificates(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := dispatch.OpenAuthority(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	ours, err := tls.LoadX509KeyPair(w.caFiles())
	if err != nil {
		t.Fatal(err)
	}
	other, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	joined := w.join("default")
	uris := func(us ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for _, u := range us {
				parsed, err := url.Parse(u)
				if err != nil {
					t.Fatal(err)
				}
				c.URIs = append(c.URIs, parsed)
			}
		}
	}
	good := identity(strings.Repeat("a", 32)).String()
	for _, row := range []struct {
		name string
		cert *tls.Certificate
		code int // 0: the handshake fails
	}{
		{"none", nil, 401},
		{"of another authority", forge(t, &other, func(*x509.Certificate) {}), 0},
		{"signed by itself", forge(t, nil, func(*x509.Certificate) {}), 0},
		{"signed by a machine", forge(t, joined, func(*x509.Certificate) {}), 0},
		{"expired", forge(t, &ours, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), 0},
		{"not yet valid", forge(t, &ours, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), 0},
		{"for servers", forge(t, &ours, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), 0},
		{"without identity", forge(t, &ours, uris()), 401},
		{"with two identities", forge(t, &ours, uris(good, identity(strings.Repeat("b", 32)).String())), 401},
		{"with another scheme", forge(t, &ours, uris("spiffe"+strings.TrimPrefix(good, "berth"))), 401},
		{"with another host", forge(t, &ours, uris(strings.Replace(good, "//agent", "//server", 1))), 401},
		{"with a short path", forge(t, &ours, uris("berth://agent/"+account+"/"+region+"/default")), 401},
		{"with a long path", forge(t, &ours, uris(good+"/x")), 401},
		{"with an account that is none", forge(t, &ours, uris(strings.Replace(good, account, "root", 1))), 401},
		{"with an empty cluster", forge(t, &ours, uris(strings.Replace(good, "/default/", "//", 1))), 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, csr := newKey(t)
			for path, body := range map[string][]byte{
				proto.PathRenew: w.json(proto.RenewRequest{CSR: csr}), proto.PathLogs: w.json(proto.LogBatch{Task: noTask}),
			} {
				if code, body := w.post(row.cert, path, body); code != row.code {
					t.Errorf("%s: got %d %q, want %d", path, code, body, row.code)
				}
			}
			_, resp, err := w.dial(row.cert)
			if err == nil || resp != nil && resp.StatusCode != row.code || resp == nil && row.code != 0 {
				t.Errorf("session: %v %v, want %d", resp, err, row.code)
			}
		})
	}
	if w.server.Sessions() != 0 {
		t.Error("a bad certificate has a session")
	}
}

func (w *world) caFiles() (cert, key string) {
	return filepath.Join(w.caDir, "ca.pem"), filepath.Join(w.caDir, "ca-key.pem")
}

func TestBadHellos(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	change := func(fn func(h *proto.Hello)) []byte {
		h := hello()
		fn(&h)
		return w.json(proto.Frame{Type: proto.TypeHello, Body: w.json(h)})
	}
	for _, row := range []struct {
		name   string
		kind   int
		text   []byte
		reason string // part of the server's; "" means that it ends without
	}{
		{"garbage", websocket.TextMessage, []byte("\xff\xfe{{{"), "SerializationException"},
		{"a number", websocket.TextMessage, []byte("7"), "SerializationException"},
		{"null", websocket.TextMessage, []byte("null"), "SerializationException"},
		{"an empty object", websocket.TextMessage, []byte("{}"), "SerializationException"},
		{"binary", websocket.BinaryMessage, change(func(*proto.Hello) {}), "SerializationException"},
		{"null body", websocket.TextMessage, []byte(`{"type":"hello","body":null}`), "SerializationException"},
		{"wrong types", websocket.TextMessage, []byte(`{"type":"hello","body":{"cpu":"many"}}`), "SerializationException"},
		{"nested too deeply", websocket.TextMessage, []byte(`{"type":"hello","body":` + strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000) + "}"), "SerializationException"},
		{"report first", websocket.TextMessage, w.json(proto.Frame{Type: proto.TypeReport, Body: w.json(proto.Report{Seq: 1})}), "not a hello"},
		{"heartbeat first", websocket.TextMessage, w.json(proto.Frame{Type: proto.TypeHeartbeat, Body: []byte("{}")}), "not a hello"},
		{"a server's frame", websocket.TextMessage, w.json(proto.Frame{Type: proto.TypeWelcome, Body: []byte("{}")}), "SerializationException"},
		{"larger than a hello", websocket.TextMessage, change(func(h *proto.Hello) { h.Zone = strings.Repeat("z", 2<<20) }), ""},
		{"too many ports", websocket.TextMessage, change(func(h *proto.Hello) { h.Ports = make([]string, 20000) }), "SerializationException"},
		{"an older protocol", websocket.TextMessage, change(func(h *proto.Hello) { h.ProtocolVersion = 0 }), "version"},
		{"a newer protocol", websocket.TextMessage, change(func(h *proto.Hello) { h.ProtocolVersion = 99 }), "version"},
		{"another account", websocket.TextMessage, change(func(h *proto.Hello) { h.Account = "999999999999" }), "InvalidParameterException"},
		{"another region", websocket.TextMessage, change(func(h *proto.Hello) { h.Region = "mars-1" }), "InvalidParameterException"},
		{"another cluster", websocket.TextMessage, change(func(h *proto.Hello) { h.Cluster = "bank" }), "InvalidParameterException"},
		{"no CPU", websocket.TextMessage, change(func(h *proto.Hello) { h.CPU = 0 }), "InvalidParameterException"},
		{"negative memory", websocket.TextMessage, change(func(h *proto.Hello) { h.Memory = -1 }), "InvalidParameterException"},
		{"a port that is none", websocket.TextMessage, change(func(h *proto.Hello) { h.Ports = []string{"99999"} }), "InvalidParameterException"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, _, err := w.dial(cert)
			if err != nil {
				t.Fatal(err)
			}
			_ = a.conn.WriteMessage(row.kind, row.text) // the server may hang up in the middle of it
			if reason := a.ended(); !strings.Contains(reason, row.reason) {
				t.Errorf("ended with %q, want %q", reason, row.reason)
			}
		})
	}
	if n := ecs.ContainerInstances.Len(w.store.Read()); n != 0 {
		t.Errorf("bad hellos registered %d machines", n)
	}
}

func TestFramesThatEndTheSession(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	for name, text := range map[string]string{
		"garbage":           "}{",
		"unknown type":      `{"type":"root-shell","body":{}}`,
		"a server's frame":  `{"type":"assignment","body":{}}`,
		"a second hello":    string(w.json(proto.Frame{Type: proto.TypeHello, Body: w.json(hello())})),
		"report of null":    `{"type":"report","body":null}`,
		"report of a list":  `{"type":"report","body":[]}`,
		"report unnumbered": `{"type":"report","body":{"tasks":[]}}`,
		"negative number":   `{"type":"report","body":{"seq":-1}}`,
		"huge report":       string(w.json(proto.Frame{Type: proto.TypeReport, Body: w.json(proto.Report{Seq: 1, Tasks: make([]proto.TaskStatus, 30000)})})),
		"bad time":          `{"type":"report","body":{"seq":1,"tasks":[{"startedAt":"yesterday"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			a, _, _ := w.connect(cert)
			_ = a.conn.WriteMessage(websocket.TextMessage, []byte(text))
			a.ended()
			w.eventually("the session is gone", func() bool { return w.server.Sessions() == 0 })
		})
	}
}

// TestLyingReports: each report is acknowledged, so that the agent gets rid of it, and changes nothing.
func TestLyingReports(t *testing.T) {
	w := newWorld(t)
	mine, _, _ := w.connect(w.join("default"))
	arn := w.run("default")
	mine.want(proto.TypeAssignment, &proto.Assignment{})
	mine.report(status(arn, "RUNNING"))
	mine.report(status(arn, "RUNNING"))
	if _, err := w.ecs.CreateCluster(w.ctx, &api.CreateClusterRequest{ClusterName: new("evil")}); err != nil {
		t.Fatal(err)
	}
	evil, _, _ := w.connect(w.join("evil"))
	later := func(fn func(st *proto.TaskStatus)) proto.TaskStatus {
		st := status(arn, "RUNNING")
		fn(&st)
		return st
	}
	for _, row := range []struct {
		name string
		from *agent
		st   proto.TaskStatus
	}{
		{"another machine's task is stopped", evil, status(arn, "STOPPED")},
		{"another machine's task is unhealthy", evil, later(func(st *proto.TaskStatus) { st.HealthStatus = "UNHEALTHY" })},
		{"a task that is not there", evil, status(noTask, "RUNNING")},
		{"a task in another account", evil, status(strings.Replace(arn, account, "999999999999", 1), "STOPPED")},
		{"a task in another region", evil, status(strings.Replace(arn, region, "us-east-1", 1), "STOPPED")},
		{"a task in its own cluster by another's ID", evil, status(strings.Replace(arn, "/default/", "/evil/", 1), "STOPPED")},
		{"another service's ARN", evil, status(strings.Replace(arn, ":ecs:", ":s3:", 1), "STOPPED")},
		{"no ARN", evil, status("", "STOPPED")},
		{"an ARN with dots", evil, status(strings.Replace(arn, "/default/", "/../default/", 1), "STOPPED")},
		{"a huge ARN", evil, status(strings.Repeat("a", 100000), "STOPPED")},
		{"a state that goes back", mine, status(arn, "PENDING")},
		{"a state that is none", mine, status(arn, "HAPPY")},
		{"no state", mine, status(arn, "")},
		{"a container that is none", mine, later(func(st *proto.TaskStatus) { st.Containers[0].Name = "nobody" })},
		{"a container's state that is none", mine, later(func(st *proto.TaskStatus) { st.Containers[0].LastStatus = "PROVISIONING" })},
		{"a health that is none", mine, later(func(st *proto.TaskStatus) { st.Containers[0].HealthStatus = "SPLENDID" })},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := w.json(w.task("default", arn))
			row.from.report(row.st)
			if after := w.json(w.task("default", arn)); string(after) != string(before) {
				t.Errorf("the task changed:\n%s\n%s", before, after)
			}
		})
	}
}

func TestReplayedReportIsAcknowledgedAndDropped(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	a, _, _ := w.connect(cert)
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	a.seq = 41
	a.report(status(arn, "PENDING"))
	for _, where := range []string{"same session", "next session"} {
		a.seq = 40 // number 41 again, and 40 would be older still
		st := status(arn, "RUNNING")
		a.report(st)
		if got := *w.task("default", arn).LastStatus; got == "RUNNING" {
			t.Errorf("%s: a replayed number was applied", where)
		}
		a, _, _ = w.connect(cert)
	}
}

func TestBadLogBatches(t *testing.T) {
	w := newWorld(t)
	mine, evil := w.join("default"), w.join("default")
	a, _, _ := w.connect(mine)
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	batch := func(task string) []byte {
		return w.json(proto.LogBatch{Task: task, Group: "g", Stream: "s", Events: []proto.LogEvent{{Timestamp: 1, Message: "m"}}})
	}
	if code, _ := w.post(evil, proto.PathLogs, batch(arn)); code != http.StatusServiceUnavailable {
		t.Errorf("a machine without a session: %d", code)
	}
	w.connect(evil)
	for _, row := range []struct {
		name string
		cert *tls.Certificate
		body []byte
		code int
	}{
		{"another machine's task", evil, batch(arn), 403},
		{"a task that is not there", mine, batch(noTask), 403},
		{"no task", mine, batch(""), 403},
		{"garbage", mine, []byte("{{"), 400},
		{"wrong types", mine, []byte(`{"events":7}`), 400},
		{"too large", mine, []byte(`{"group":"` + strings.Repeat("x", 17<<20) + `"}`), 413},
	} {
		t.Run(row.name, func(t *testing.T) {
			if code, body := w.post(row.cert, proto.PathLogs, row.body); code != row.code {
				t.Errorf("got %d %q, want %d", code, body, row.code)
			}
		})
	}
	if len(w.logs.batches) != 0 {
		t.Errorf("%d bad batches reached the log store", len(w.logs.batches))
	}
}

func TestAccessLogs(t *testing.T) {
	w := newWorld(t)
	b := w.balance()
	cert := w.join("default")
	batch := func(id string) []byte {
		return w.json(proto.AccessLogBatch{LoadBalancer: id, Events: []proto.LogEvent{{Timestamp: 1, Message: "http ..."}}})
	}
	if code, _ := w.post(cert, proto.PathAccessLogs, batch(b.lb.Path())); code != http.StatusServiceUnavailable {
		t.Errorf("without a session: %d", code)
	}
	plain := w.join("default")
	w.connect(plain)
	w.ingress(cert)
	if code, _ := w.post(cert, proto.PathAccessLogs, batch(b.lb.Path())); code != http.StatusForbidden {
		t.Errorf("a load balancer without access logs: %d", code)
	}
	b.lb.Attributes = map[string]string{"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "access", "access_logs.s3.prefix": "shop"}
	elsewhere := b.lb
	elsewhere.Account, elsewhere.Name = "999999999999", "theirs"
	w.update(func(tx *store.Tx) {
		elbv2.LoadBalancers.Put(tx, b.lb)
		elbv2.LoadBalancers.Put(tx, elsewhere)
	})
	for _, row := range []struct {
		name string
		cert *tls.Certificate
		body []byte
		code int
	}{
		{"another account's load balancer", cert, batch(elsewhere.Path()), 403},
		{"another account's load balancer by a path", cert, batch("../../999999999999/" + region + "/" + elsewhere.Path()), 403},
		{"one that is not there", cert, batch("app/x/0123456789abcdef"), 403},
		{"none", cert, batch(""), 403},
		{"a machine without the role", plain, batch(b.lb.Path()), 403},
		{"garbage", cert, []byte("{{"), 400},
	} {
		if code, body := w.post(row.cert, proto.PathAccessLogs, row.body); code != row.code {
			t.Errorf("%s: got %d %q, want %d", row.name, code, body, row.code)
		}
	}
	if len(w.logs.batches) != 0 {
		t.Errorf("%d bad batches reached the log store", len(w.logs.batches))
	}
	if code, body := w.post(cert, proto.PathAccessLogs, batch(b.lb.Path())); code != http.StatusNoContent {
		t.Fatalf("got %d %q", code, body)
	}
	got := w.logs.batches[0]
	if w.logs.where[0] != account+"/"+region || got.Group != "access" || got.Stream != "shop/"+b.lb.Path() || !got.Create || len(got.Events) != 1 {
		t.Errorf("got %s %+v", w.logs.where[0], got)
	}
	w.logs.fail = errors.New("away")
	if code, _ := w.post(cert, proto.PathAccessLogs, batch(b.lb.Path())); code != http.StatusInternalServerError {
		t.Errorf("a log store that fails: %d", code)
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	for _, row := range []struct {
		path string
		code int
	}{
		{proto.PathRegistry + "/v2/app/blobs/uploads/", http.StatusMethodNotAllowed},
		{proto.PathSession, http.StatusMethodNotAllowed},
		{"/", http.StatusNotFound},
		{"/agent/v1/", http.StatusNotFound},
	} {
		if code, _ := w.post(cert, row.path, []byte("{}")); code != row.code {
			t.Errorf("POST %s: got %d, want %d", row.path, code, row.code)
		}
	}
}

func TestABrowserGetsNoSession(t *testing.T) {
	w := newWorld(t)
	d := websocket.Dialer{TLSClientConfig: w.tls(w.join("default"))}
	_, resp, err := d.Dial("wss://"+w.addr+proto.PathSession, http.Header{"Origin": {"https://evil.example"}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %v %v", resp, err)
	}
}

func TestServerShowsTheAuthorityOfTheToken(t *testing.T) {
	w := newWorld(t)
	conn, err := tls.Dial("tcp", w.addr, w.tls(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	certs := conn.ConnectionState().PeerCertificates
	last := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs[len(certs)-1].Raw})
	if string(last) != string(w.ca.PEM()) || strings.Split(w.token("default", 1), ".")[1] != w.ca.Fingerprint() {
		t.Error("the handshake does not show what the token's fingerprint is of")
	}
}
