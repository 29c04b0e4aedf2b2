package ingress

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/elbv2/haproxy"
)

// accessLine is a request as a line of an access log. place is "REGION:ACCOUNT". What is not known is "-".
// Source of fields and their order: ELB user guide, access logs of application load balancers.
func accessLine(e haproxy.Entry, lb haproxy.LoadBalancer, place string) string {
	scheme, secure := "http", e.Cipher != "-" && e.Cipher != ""
	if secure {
		scheme = "https"
	}
	target := "-"
	if e.Target != "" {
		target = net.JoinHostPort(e.Target, strconv.Itoa(e.TargetPort))
	}
	group := "-"
	if e.Group != "" {
		group = "arn:aws:elasticloadbalancing:" + place + ":" + e.Group
	}
	begun := time.UnixMilli(e.At).UTC()
	processing, waiting, answering := accessTimes(e)
	fields := []string{
		accessType(e, secure), stamp(begun.Add(time.Duration(max(e.Total, 0)) * time.Millisecond)), e.LoadBalancer,
		net.JoinHostPort(e.Client, strconv.Itoa(e.ClientPort)), target, processing, waiting, answering,
		number(e.Status), number(e.TargetStatus), strconv.FormatInt(e.Received, 10), strconv.FormatInt(e.Sent, 10),
		quoted(requestText(e, scheme)), quoted(e.UserAgent), orDash(e.Cipher), orDash(e.TLS), group, quoted(e.Trace),
		quoted(""), quoted(""), priority(e.Rule), stamp(begun), quoted(executed(e, lb)), quoted(""), quoted(""),
		quoted(target), quoted(number(e.TargetStatus)), quoted(""), quoted(""), "-",
	}
	return strings.Join(fields, " ")
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000000Z") }

func accessType(e haproxy.Entry, secure bool) string {
	switch {
	case e.Status == http.StatusSwitchingProtocols && secure:
		return "wss"
	case e.Status == http.StatusSwitchingProtocols:
		return "ws"
	case secure && strings.HasPrefix(e.Version, "HTTP/2"):
		return "h2"
	case secure:
		return "https"
	}
	return "http"
}

// accessTimes are the seconds until the request was sent to a target, until that answered, and until the client had the answer; -1 where
// it did not come to that.
func accessTimes(e haproxy.Entry) (processing, waiting, answering string) {
	seconds := func(ms int) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }
	processing, waiting, answering = "-1", "-1", "-1"
	if e.Target == "" || e.Connect < 0 {
		return processing, waiting, answering
	}
	sent := max(e.Request, 0) + max(e.Wait, 0) + e.Connect
	processing = seconds(sent)
	if e.Response >= 0 {
		waiting, answering = seconds(e.Response), seconds(max(e.Total-sent-e.Response, 0))
	}
	return processing, waiting, answering
}

// requestText is the request line with the whole URL, as the client wrote its parts.
func requestText(e haproxy.Entry, scheme string) string {
	if e.Method == "" {
		return "- " + scheme + "://" + net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) + "- -"
	}
	path := e.URL
	if _, after, ok := strings.Cut(path, "://"); ok { // an absolute URL
		_, path, _ = strings.Cut(after, "/")
		path = "/" + path
	}
	host := e.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return fmt.Sprintf("%s %s://%s:%d%s %s", e.Method, scheme, host, e.Port, path, e.Version)
}

// priority of the default rule is 0; a frame does not tell the others'.
func priority(rule string) string {
	if rule == "default" {
		return "0"
	}
	return "-"
}

// executed is the kind of action of the rule that was chosen.
func executed(e haproxy.Entry, lb haproxy.LoadBalancer) string {
	for _, l := range lb.Listeners {
		if l.Port != e.Port {
			continue
		}
		for _, r := range l.Rules {
			if r.ID == e.Rule {
				return r.Action.Kind
			}
		}
	}
	return ""
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// quoted puts text in quotes; what would end it, or is not printable, becomes \xNN.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(orDash(s)) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02X`, c)
			continue
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}
