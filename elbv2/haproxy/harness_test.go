package haproxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/elbv2/haproxy"
)

// patience is how long a test waits for something that must come.
const patience = 20 * time.Second

// proxy is a running HAProxy with its slots filled.
type proxy struct {
	t       testing.TB
	m       haproxy.Machine
	frame   haproxy.Frame
	config  haproxy.Config
	address string // of the first listener, host:port
	want    map[string][]haproxy.SlotTarget
	logs    *net.UnixConn
}

// serve runs HAProxy with a frame until the test ends. The port of every listener is a free one.
func serve(t testing.TB, f haproxy.Frame, change ...func(*haproxy.Config)) *proxy {
	t.Helper()
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	dir, err := os.MkdirTemp("", "hp") // sockets want short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &proxy{t: t, m: machine(dir), want: map[string][]haproxy.SlotTarget{}}
	p.m.Loopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(64 + rand.IntN(60)), byte(rand.IntN(64) * 4), 0}), 22)
	for i, lb := range f.LoadBalancers {
		if lb.Kind == haproxy.Connect { // it listens in the tasks' namespace only: here that is our own
			f.LoadBalancers[i].Addresses, p.m.Namespace = []netip.Addr{p.m.Address(lb.Number)}, "self"
		}
		for j := range lb.Listeners {
			lb.Listeners[j].Port = free(t, p.m.Address(lb.Number))
		}
	}
	if p.logs, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.m.LogSocket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.logs.Close() })
	p.render(f, change...)
	lb := f.LoadBalancers[0]
	p.address = netip.AddrPortFrom(p.m.Address(lb.Number), uint16(lb.Listeners[0].Port)).String()
	var out strings.Builder
	cmd := exec.Command(binary, "-W", "-S", filepath.Join(dir, "master.sock"), "-f", filepath.Join(dir, "haproxy.cfg"))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			t.Logf("haproxy said:\n%s", out.String())
		}
	})
	until(t, "haproxy answers", func() bool {
		select {
		case <-ended:
			t.Fatal("haproxy ended")
		default:
		}
		_, err := ask(p.m.StatsSocket, "show info")
		return err == nil
	})
	return p
}

func (p *proxy) render(f haproxy.Frame, change ...func(*haproxy.Config)) {
	p.t.Helper()
	f, problems := haproxy.Sound(f)
	if len(problems) > 0 {
		p.t.Fatal(problems)
	}
	p.frame, p.config = f, haproxy.Render(f, p.m, nil)
	p.config.Text = bytes.ReplaceAll(p.config.Text, []byte(" transparent namespace self"), nil)
	for _, c := range change {
		c(&p.config)
	}
	write(p.t, p.m.Dir, p.config)
}

// reload starts a new worker and waits until it answers, with its slots empty.
func (p *proxy) reload() {
	p.t.Helper()
	pid := func() string {
		info, _ := ask(p.m.StatsSocket, "show info")
		_, after, _ := strings.Cut(info, "\nPid: ")
		number, _, _ := strings.Cut(after, "\n")
		return number
	}
	before := pid()
	// The master refuses connections while it starts itself anew.
	until(p.t, "the master takes the reload", func() bool { _, err := ask(filepath.Join(p.m.Dir, "master.sock"), "reload"); return err == nil })
	until(p.t, "the new worker answers", func() bool { now := pid(); return now != "" && now != before })
}

// free finds a port that nobody has.
func free(t testing.TB, a netip.Addr) int {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func ask(socket, command string) (string, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, command); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// set says what is wanted of a group's targets and carries it out: with all of Plan's commands, and then there are none.
func (p *proxy) set(group string, want ...haproxy.SlotTarget) {
	p.t.Helper()
	id := "targetgroup/" + group + "/73e2d6bc24d8a067"
	p.want[id] = want
	for _, b := range p.config.Backends {
		if b.Group != id {
			continue
		}
		for _, c := range p.plan(b, want) {
			if out, err := ask(p.m.StatsSocket, string(c)); err != nil || strings.Contains(out, "No such") || strings.Contains(out, "nvalid") {
				p.t.Fatalf("%s: %v %s", c, err, out)
			}
		}
		if rest := p.plan(b, want); len(rest) > 0 {
			p.t.Fatalf("still to do: %v", rest)
		}
	}
}

func (p *proxy) plan(b haproxy.Backend, want []haproxy.SlotTarget) []haproxy.Command {
	p.t.Helper()
	state, err := ask(p.m.StatsSocket, "show servers state "+b.Name)
	if err != nil {
		p.t.Fatal(err)
	}
	have := haproxy.ParseState(state)[b.Name]
	if len(have) != b.Slots {
		p.t.Fatalf("%s has %d slots, want %d:\n%s", b.Name, len(have), b.Slots, state)
	}
	return haproxy.Plan(b, have, want)
}

// entry is the next line of the log that ok likes.
func (p *proxy) entry(ok func(haproxy.Entry) bool) haproxy.Entry {
	p.t.Helper()
	buf := make([]byte, 1<<16)
	if err := p.logs.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	for {
		n, err := p.logs.Read(buf)
		if err != nil {
			p.t.Fatal(err)
		}
		if buf[0] != '{' {
			continue // HAProxy about itself
		}
		e, err := haproxy.ParseLog(buf[:n])
		if err != nil {
			p.t.Fatalf("%v: %s", err, buf[:n])
		}
		if ok(e) {
			return e
		}
	}
}

// target is a server that tells its name in the header X-Name and what it was asked in its answer.
type target struct {
	*httptest.Server
	at haproxy.SlotTarget
}

func newTarget(t testing.TB, name string, handle http.HandlerFunc) *target {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Name", name)
		if handle != nil {
			handle(w, r)
			return
		}
		fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
		_ = r.Header.Write(w)
	}))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols = protocols
	s.Start()
	t.Cleanup(s.Close)
	return &target{Server: s, at: at(s.Listener.Addr())}
}

func at(a net.Addr) haproxy.SlotTarget {
	return haproxy.SlotTarget{At: netip.MustParseAddrPort(a.String()), State: haproxy.Serve, Weight: haproxy.FullWeight}
}

// as is the target with another state.
func (t *target) as(s haproxy.State) haproxy.SlotTarget {
	w := t.at
	w.State = s
	return w
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as it stands, by a connection of its own, and reads the answer.
func (p *proxy) do(request string) answer {
	p.t.Helper()
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	return p.over(c, request)
}

// over sends a request by a connection that stays.
func (p *proxy) over(c net.Conn, request string) answer {
	p.t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		p.t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("%q: %v", request, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// get asks for a path with more header lines.
func (p *proxy) get(path string, lines ...string) answer {
	p.t.Helper()
	return p.do(request("GET", path, lines...))
}

func request(method, path string, lines ...string) string {
	host := "Host: www.example.com\r\n"
	for _, l := range lines {
		if strings.HasPrefix(l, "Host:") {
			host = ""
		}
	}
	out := method + " " + path + " HTTP/1.1\r\n" + host
	for _, l := range lines {
		out += l + "\r\n"
	}
	return out + "\r\n"
}
