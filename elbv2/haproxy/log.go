package haproxy

import (
	"strconv"
	"strings"
)

// Entry is what HAProxy tells of one request of a load balancer with access logs when it has ended. Times are in milliseconds; -1: it did not
// come to that.
type Entry struct {
	LoadBalancer string // ID
	Port         int    // of the listener
	Rule         string // ID; empty if the request was refused before
	Group        string // ID; empty if no group was chosen
	Slot         string // s1, ...; <NOSRV> if none was chosen
	At           int64  // when the request had arrived or the connection was accepted, ms since the epoch
	Client       string // address
	ClientPort   int
	Target       string // address, as the machine reaches it; empty if there was none
	TargetPort   int
	// Status is what the client got, TargetStatus what the target said; 0: nothing.
	Status, TargetStatus int
	Method, Version      string // such as GET and HTTP/1.1
	Host, URL            string // as the client sent them; at most 8192 bytes of the URL
	UserAgent, Trace     string // Trace is X-Amzn-Trace-Id as the target got it, without what the client sent: Root=ID or Self=ID
	Cipher, TLS          string // such as ECDHE-RSA-AES128-GCM-SHA256 and TLSv1.2; "-" if it is not encrypted
	Received, Sent       int64  // bytes from and to the client
	// Request is the time until the request was there, Wait in queues, Connect to connect, Response until the headers of the
	// answer were there, Total everything from the first byte of the request to the end of the answer.
	Request, Wait, Connect, Response, Total int
	Retries                                 int
	// End is HAProxy's two letters of why it ended: "--" is as it should be. Source: HAProxy configuration manual, 8.5.
	End string
}

// logged is the line as it is written: JSON, which scan reads faster than encoding/json.
type logged struct {
	Frontend string `json:"f"`
	Backend  string `json:"b"`
	Slot     string `json:"s"`
	Rule     string `json:"r"`
	Seconds  int64  `json:"t"`
	Millis   int64  `json:"ms"`
	Client   string `json:"ci"`
	ClientP  int    `json:"cp"`
	Target   string `json:"si"`
	TargetP  string `json:"sp"`
	Status   int    `json:"st"`
	TargetSt string `json:"ts"`
	Method   string `json:"m"`
	Version  string `json:"v"`
	Host     string `json:"h"`
	URL      string `json:"u"`
	Agent    string `json:"ua"`
	Trace    string `json:"tr"`
	Cipher   string `json:"sc"`
	TLS      string `json:"sv"`
	Received int64  `json:"i"`
	Sent     int64  `json:"o"`
	Times    []int  `json:"ti"`
	Retries  string `json:"rc"`
	End      string `json:"e"`
}

// httpLog makes HAProxy write a line for each request. What clients send goes through its converter json.
func (r *renderer) httpLog() {
	r.line("log global") // not in backends, where it would tell of slots that go up and down
	text := func(v string) string { return `"%[var(txn.` + v + `),json(utf8s)]"` }
	r.line("http-request set-var(txn.url) url,bytes(0,8192)")
	r.line("http-request set-var(txn.agent) req.fhdr(user-agent),bytes(0,1024)")
	r.line("http-request set-var(txn.asked) req.fhdr(host),bytes(0,1024)")
	r.line("log-format %s", word(`{"f":"%f","b":"%b","s":"%s","t":%Ts,"ms":%ms,"ci":"%ci","cp":%cp,"si":"%si","sp":"%sp","sc":"%sslc","sv":"%sslv","i":%U,"o":%B,"rc":"%rc"`+
		`,"r":"%[var(txn.rule)]","st":%ST,"ts":"%[var(txn.status)]","v":"%HV","m":"%HM","h":`+text("asked")+`,"u":`+text("url")+
		`,"ua":`+text("agent")+`,"tr":`+text("trace")+`,"ti":[%TR,%Tw,%Tc,%Tr,%Ta],"e":"%ts"}`))
}

// LogsAccess tells whether a load balancer has access logs.
func LogsAccess(lb LoadBalancer) bool {
	return lb.Kind == Application && lb.Attributes["access_logs.s3.enabled"] == "true"
}

// ParseLog reads a line from Machine.LogSocket. What HAProxy tells of itself there, such as that a frontend starts or stops, is an error: to be
// passed over.
func ParseLog(line []byte) (Entry, error) {
	var l logged
	if err := l.scan(line); err != nil {
		return Entry{}, err
	}
	parts := strings.Split(l.Frontend, ".")
	if len(parts) != 3 || len(l.Times) != 5 {
		return Entry{}, errLine
	}
	for _, s := range []*string{&l.Rule, &l.Method, &l.Version, &l.Host, &l.URL, &l.Agent, &l.Trace} {
		if *s == "-" || *s == "<BADREQ>" {
			*s = ""
		}
	}
	e := Entry{
		LoadBalancer: unname(parts[1]), Port: atoi(parts[2]), Rule: unname(l.Rule), Slot: l.Slot, At: l.Seconds*1000 + l.Millis,
		Client: l.Client, ClientPort: l.ClientP, Status: max(l.Status, 0), TargetStatus: atoi(l.TargetSt),
		Method: l.Method, Version: l.Version, Host: l.Host, URL: l.URL, UserAgent: l.Agent, Trace: l.Trace, Cipher: l.Cipher, TLS: l.TLS,
		Received: l.Received, Sent: l.Sent, Request: l.Times[0], Wait: l.Times[1], Connect: l.Times[2], Response: l.Times[3], Total: l.Times[4],
		Retries: atoi(strings.TrimPrefix(l.Retries, "+")), End: l.End,
	}
	if b := strings.Split(l.Backend, "."); len(b) >= 3 && b[0] == "b" {
		e.Group = unname(b[2])
	}
	if l.Target != "-" && l.Target != "" {
		e.Target, e.TargetPort = l.Target, atoi(l.TargetP)
	}
	return e, nil
}

// atoi is 0 for what is no number.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
