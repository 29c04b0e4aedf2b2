package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/agent/proto"
	ecs "berth/api/ecs"
	"berth/aws"
)

// fakeEndpoints are those of package vpc, without a network behind them.
type fakeEndpoints struct{}

func (fakeEndpoints) Endpoint(mode string) netip.AddrPort {
	return map[string]netip.AddrPort{"bridge": netip.MustParseAddrPort("169.254.170.2:80"), "host": netip.MustParseAddrPort("127.130.7.255:51679")}[mode]
}

func (fakeEndpoints) Listen(string) (net.Listener, error) { return nil, errors.New("not here") }

// fakeAPI is the server's end: it remembers the requests and answers as told.
type fakeAPI struct {
	asked  []proto.TaskProtection
	answer proto.TaskProtectionAnswer
	fail   error
	hang   bool
}

func (c *fakeAPI) ask(ctx context.Context, path string, body any) ([]byte, error) {
	c.asked = append(c.asked, body.(proto.TaskProtection))
	if path != proto.PathTaskProtection {
		return nil, fmt.Errorf("path %s", path)
	}
	if c.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if c.fail != nil {
		return nil, c.fail
	}
	return json.Marshal(c.answer)
}

const (
	ownArn, otherArn         = "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcde0", "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcde1"
	ownAddress, otherAddress = "10.231.0.2", "10.231.0.3"
)

// askedBy is a task with one container of a network mode, at an address.
func askedBy(arn string, mode ecs.NetworkMode, address string) *task {
	t := newTask(proto.Task{Arn: arn}, &ecs.TaskDefinition{NetworkMode: mode, ContainerDefinitions: []ecs.ContainerDefinition{{Name: new("app")}}})
	if address != "" {
		t.Containers[0].Net = &NetworkResult{IPv4: address}
	}
	return t
}

// newTestEndpoints knows two tasks in mode bridge.
func newTestEndpoints(t *testing.T, c *fakeAPI) *endpoints {
	t.Helper()
	e, err := openEndpoints(&Config{DataDir: t.TempDir(), Deps: Deps{Endpoints: fakeEndpoints{}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e.ask = c.ask
	e.know(askedBy(ownArn, ecs.NetworkModeBridge, ownAddress))
	e.know(askedBy(otherArn, ecs.NetworkModeBridge, otherAddress))
	return e
}

// path is where the container of a task asks, as its environment says.
func path(e *endpoints, arn string, mode ecs.NetworkMode) string {
	for _, kv := range e.environment(containerID(arn, "app"), mode) {
		if uri, ok := strings.CutPrefix(kv, "ECS_AGENT_URI=http://"); ok {
			return uri[strings.IndexByte(uri, '/'):] + "/task-protection/v1/state"
		}
	}
	return "/api/none/task-protection/v1/state"
}

// do sends a request by the way in of a mode from an address and returns status and body.
func do(e *endpoints, mode ecs.NetworkMode, from, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = net.JoinHostPort(from, "41000")
	w := httptest.NewRecorder()
	e.handler(string(mode)).ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestTaskProtectionAnswersAsECS(t *testing.T) {
	until := time.Date(2031, 5, 4, 10, 0, 0, 837e6, time.UTC)
	protected := func(on bool, until *aws.Time) proto.TaskProtectionAnswer {
		return proto.TaskProtectionAnswer{RequestID: "r", Protection: &ecs.ProtectedTask{TaskArn: new(ownArn), ProtectionEnabled: &on, ExpirationDate: until}}
	}
	for _, row := range []struct {
		name         string
		method, body string
		server       fakeAPI
		asked        string // what the server was asked
		code         int
		want         string
	}{
		{"on", "PUT", `{"ProtectionEnabled":true,"ExpiresInMinutes":60}`, fakeAPI{answer: protected(true, aws.NewTime(until))}, `true 60`,
			200, `{"protection":{"ExpirationDate":"2031-05-04T10:00:00.837Z","ProtectionEnabled":true,"TaskArn":"` + ownArn + `"}}`},
		{"on without minutes", "PUT", ` {"ProtectionEnabled":true} `, fakeAPI{answer: protected(true, aws.NewTime(until))}, `true nil`,
			200, `{"protection":{"ExpirationDate":"2031-05-04T10:00:00.837Z","ProtectionEnabled":true,"TaskArn":"` + ownArn + `"}}`},
		{"off", "PUT", `{"ProtectionEnabled":false}`, fakeAPI{answer: protected(false, nil)}, `false nil`,
			200, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"` + ownArn + `"}}`},
		{"read", "GET", ``, fakeAPI{answer: protected(false, nil)}, `nil nil`,
			200, `{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"` + ownArn + `"}}`},
		{"failure", "PUT", `{"ProtectionEnabled":true}`, fakeAPI{answer: proto.TaskProtectionAnswer{RequestID: "r", Failure: &ecs.Failure{Arn: new(ownArn), Reason: new("TASK_NOT_VALID")}}}, `true nil`,
			200, `{"failure":{"Arn":"` + ownArn + `","Detail":null,"Reason":"TASK_NOT_VALID"}}`},
		{"error of the API", "PUT", `{"ProtectionEnabled":true,"ExpiresInMinutes":0}`, fakeAPI{answer: proto.TaskProtectionAnswer{RequestID: "r", Error: &proto.APIError{Status: 400, Code: "InvalidParameterException", Message: "m"}}}, `true 0`,
			400, `{"requestID":"r","error":{"Arn":"` + ownArn + `","Code":"InvalidParameterException","Message":"m"}}`},
		{"server away", "GET", ``, fakeAPI{fail: errors.New("connection refused")}, `nil nil`,
			503, `{"error":{"Arn":"` + ownArn + `","Code":"ServerException","Message":"Amazon ECS Task Protection API can't be reached now: try again"}}`},
		{"server has no session with the machine", "GET", ``, fakeAPI{fail: &errRefused{status: 503, text: "no session"}}, `nil nil`,
			503, `{"error":{"Arn":"` + ownArn + `","Code":"ServerException","Message":"Amazon ECS Task Protection API can't be reached now: try again"}}`},
		{"server says that the task is elsewhere", "GET", ``, fakeAPI{fail: &errRefused{status: 403, text: "not placed"}}, `nil nil`,
			403, `{"error":{"Arn":"` + ownArn + `","Code":"AccessDeniedException","Message":"not placed"}}`},
		{"server says nothing", "GET", ``, fakeAPI{}, `nil nil`,
			500, `{"error":{"Arn":"` + ownArn + `","Code":"ServerException","Message":"Unexpected error occurred"}}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := newTestEndpoints(t, &row.server)
			code, body := do(e, ecs.NetworkModeBridge, ownAddress, row.method, path(e, ownArn, ecs.NetworkModeBridge), row.body)
			if code != row.code || body != row.want {
				t.Errorf("got %d %s\nwant %d %s", code, body, row.code, row.want)
			}
			if len(row.server.asked) != 1 || row.server.asked[0].Task != ownArn || wants(row.server.asked[0]) != row.asked {
				t.Errorf("asked %+v, want %s for the task itself", row.server.asked, row.asked)
			}
		})
	}
}

func wants(p proto.TaskProtection) string {
	enabled, minutes := "nil", "nil"
	if p.ProtectionEnabled != nil {
		enabled = fmt.Sprint(*p.ProtectionEnabled)
	}
	if p.ExpiresInMinutes != nil {
		minutes = fmt.Sprint(*p.ExpiresInMinutes)
	}
	return enabled + " " + minutes
}

func TestBadProtectionRequestsNeverReachTheServer(t *testing.T) {
	const undecodable = "UpdateTaskProtection: failed to decode request"
	for _, row := range []struct {
		name, body string
		code       int
		want       string
	}{
		{"nothing", ``, 400, undecodable},
		{"no JSON", `ProtectionEnabled=true`, 400, undecodable},
		{"cut off", `{"ProtectionEnabled":true`, 400, undecodable},
		{"no object", `[true]`, 400, undecodable},
		{"unknown field", `{"ProtectionEnabled":true,"TaskArn":"x"}`, 400, undecodable},
		{"wrong type", `{"ProtectionEnabled":"true"}`, 400, undecodable},
		{"minutes that are no whole number", `{"ProtectionEnabled":true,"ExpiresInMinutes":1.5}`, 400, undecodable},
		{"minutes beyond 32 bits", `{"ProtectionEnabled":true,"ExpiresInMinutes":4294967297}`, 400, undecodable},
		{"two objects", `{"ProtectionEnabled":true}{"ProtectionEnabled":false}`, 400, undecodable},
		{"rubbish behind it", `{"ProtectionEnabled":true} x`, 400, undecodable},
		{"no ProtectionEnabled", `{"ExpiresInMinutes":60}`, 400, "Invalid request: does not contain 'ProtectionEnabled' field"},
		{"empty object", `{}`, 400, "Invalid request: does not contain 'ProtectionEnabled' field"},
		{"null", `null`, 400, "Invalid request: does not contain 'ProtectionEnabled' field"},
		{"too large", `{"ProtectionEnabled":true` + strings.Repeat(" ", protectionBody) + `}`, 413, "UpdateTaskProtection: the request is too large"},
		{"too large behind it", `{"ProtectionEnabled":true}` + strings.Repeat(" ", protectionBody), 413, "UpdateTaskProtection: the request is too large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var c fakeAPI
			e := newTestEndpoints(t, &c)
			code, body := do(e, ecs.NetworkModeBridge, ownAddress, "PUT", path(e, ownArn, ecs.NetworkModeBridge), row.body)
			want := fmt.Sprintf(`{"error":{"Arn":%q,"Code":"InvalidParameterException","Message":%q}}`, ownArn, row.want)
			if code != row.code || body != want {
				t.Errorf("got %d %s\nwant %d %s", code, body, row.code, want)
			}
			if len(c.asked) > 0 {
				t.Errorf("the server was asked %+v", c.asked)
			}
		})
	}
}

func TestOnlyAContainerItselfMayAsk(t *testing.T) {
	var c fakeAPI
	e := newTestEndpoints(t, &c)
	const hostArn = otherArn + "f"
	e.know(askedBy(hostArn, ecs.NetworkModeHost, ""))
	bridge, host := ecs.NetworkModeBridge, ecs.NetworkModeHost
	own, shared := path(e, ownArn, bridge), path(e, hostArn, host)
	for _, row := range []struct {
		name       string
		mode       ecs.NetworkMode
		from, path string
		code       int
	}{
		{"itself", bridge, ownAddress, own, 500}, // what fakeAPI answers
		{"another task with its path", bridge, otherAddress, own, 404},
		{"the machine with its path", host, "127.0.0.1", own, 404},
		{"its address by the way in of mode host", host, ownAddress, own, 404},
		{"an unknown path", bridge, ownAddress, "/api/0123456789abcdef0123456789abcdef/task-protection/v1/state", 404},
		{"no ID", bridge, ownAddress, "/api//task-protection/v1/state", 307},
		{"a container of mode host", host, "127.0.0.1", shared, 500},
		{"a container of mode bridge with the path of one of mode host", bridge, ownAddress, shared, 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			if code, body := do(e, row.mode, row.from, "GET", row.path, ""); code != row.code {
				t.Errorf("got %d %s, want %d", code, body, row.code)
			}
		})
	}
	if code, _ := do(e, bridge, ownAddress, "POST", own, "{}"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", code)
	}
	gone := askedBy(ownArn, bridge, ownAddress)
	gone.Containers[0].Detached = true
	e.know(gone)
	if code, _ := do(e, bridge, ownAddress, "GET", own, ""); code != http.StatusNotFound {
		t.Errorf("a container whose network is gone: got %d", code)
	}
	e.forget(askedBy(hostArn, host, ""))
	if code, _ := do(e, host, "127.0.0.1", "GET", shared, ""); code != http.StatusNotFound {
		t.Errorf("a forgotten task: got %d", code)
	}
}

func TestSlowServerIsAGatewayTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeAPI{hang: true}
		e := newTestEndpoints(t, c)
		code, body := do(e, ecs.NetworkModeBridge, ownAddress, "GET", path(e, ownArn, ecs.NetworkModeBridge), "")
		if want := `{"error":{"Arn":"` + ownArn + `","Code":"RequestCanceled","Message":"Timed out calling Amazon ECS Task Protection API"}}`; code != 504 || body != want {
			t.Errorf("got %d %s, want 504 %s", code, body, want)
		}
	})
}

func TestContainersThatAskTooOftenAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c fakeAPI
		e := newTestEndpoints(t, &c)
		own := path(e, ownArn, ecs.NetworkModeBridge)
		for range askBurst {
			if code, _ := do(e, ecs.NetworkModeBridge, ownAddress, "GET", own, ""); code == http.StatusTooManyRequests {
				t.Fatal("throttled within the burst")
			}
		}
		code, body := do(e, ecs.NetworkModeBridge, ownAddress, "GET", own, "")
		if want := `{"error":{"Arn":"` + ownArn + `","Code":"ThrottlingException","Message":"Rate exceeded"}}`; code != 429 || body != want {
			t.Errorf("got %d %s, want 429 %s", code, body, want)
		}
		if code, _ := do(e, ecs.NetworkModeBridge, otherAddress, "GET", path(e, otherArn, ecs.NetworkModeBridge), ""); code == http.StatusTooManyRequests {
			t.Error("another container is throttled too")
		}
		time.Sleep(time.Second / askRate)
		if code, _ := do(e, ecs.NetworkModeBridge, ownAddress, "GET", own, ""); code == http.StatusTooManyRequests {
			t.Error("still throttled")
		}
	})
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newTestEndpoints(t, &fakeAPI{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.serveOn(ctx, "bridge", l) }()
	open := func() net.Conn {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	answers := func(c net.Conn) bool {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return false
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(make([]byte, 1))
		return n == 1 && err == nil
	}
	var held []net.Conn
	for range connsOfOne {
		c := open()
		if !answers(c) {
			t.Fatalf("connection %d does not answer", len(held))
		}
		held = append(held, c)
	}
	if answers(open()) {
		t.Error("one connection too many answers")
	}
	for _, c := range held {
		c.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); !answers(open()); {
		if time.Now().After(deadline) {
			t.Fatal("no connection answers after all were closed")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
}

func TestWhereContainersAskIsInTheirEnvironment(t *testing.T) {
	dir := t.TempDir()
	cfg := &Config{DataDir: dir, Deps: Deps{Endpoints: fakeEndpoints{}}}
	e, err := openEndpoints(cfg)
	if err != nil {
		t.Fatal(err)
	}
	id := containerID(ownArn, "app")
	bridge, host := e.environment(id, ecs.NetworkModeBridge), e.environment(id, ecs.NetworkModeHost)
	if len(bridge) != 1 || !strings.HasPrefix(bridge[0], "ECS_AGENT_URI=http://169.254.170.2/api/") {
		t.Errorf("mode bridge: %v", bridge)
	}
	if len(host) != 1 || !strings.HasPrefix(host[0], "ECS_AGENT_URI=http://127.130.7.255:51679/api/") {
		t.Errorf("mode host: %v", host)
	}
	if none := e.environment(id, ecs.NetworkModeNone); len(none) > 0 {
		t.Errorf("mode none: %v", none)
	}
	again, err := openEndpoints(cfg)
	if err != nil || !slices.Equal(again.environment(id, ecs.NetworkModeBridge), bridge) {
		t.Errorf("the next agent has %v %v, want %v", again.environment(id, ecs.NetworkModeBridge), err, bridge)
	}
	cfg.DataDir = t.TempDir()
	other, err := openEndpoints(cfg)
	if err != nil || slices.Equal(other.environment(id, ecs.NetworkModeBridge), bridge) {
		t.Errorf("another agent has the same: %v %v", bridge, err)
	}
}

func TestContainersMayAskFromTheirStartOverRestartsOfTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		def := "web; none"
		r.assignWith("RUNNING", def, func(d *ecs.TaskDefinition) { d.ContainerDefinitions[1].DisableNetworking = new(true) })
		r.want("RUNNING")
		var uri string
		for _, c := range r.m.containers {
			i := slices.IndexFunc(c.spec.Env, func(kv string) bool { return strings.HasPrefix(kv, "ECS_AGENT_URI=") })
			switch {
			case c.spec.Name == "none" && i >= 0:
				t.Errorf("a container without network has %s", c.spec.Env[i])
			case c.spec.Name == "web" && i < 0:
				t.Fatalf("no address in %v", c.spec.Env)
			case c.spec.Name == "web":
				uri = strings.TrimPrefix(c.spec.Env[i], "ECS_AGENT_URI=http://169.254.170.2")
			}
		}
		ask := func() int {
			var c fakeAPI
			r.n.endpoints.ask = c.ask
			code, _ := do(r.n.endpoints, ecs.NetworkModeBridge, "10.9.0.2", "GET", uri+"/task-protection/v1/state", "")
			return code
		}
		if code := ask(); code != 500 { // what fakeAPI answers
			t.Errorf("got %d", code)
		}
		r.kill()
		r.boot()
		if code := ask(); code != 500 {
			t.Errorf("after a restart of the agent: got %d", code)
		}
		r.assignWith("STOPPED", def, func(*ecs.TaskDefinition) {})
		r.want("STOPPED")
		if code := ask(); code != 404 {
			t.Errorf("after the task's end: got %d", code)
		}
	})
}
