package ingress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/elbv2/haproxy"
)

// userAgent is what application load balancers send with their checks.
const userAgent = "ELB-HealthChecker/2.0"

// grpcPath is checked where a group of version GRPC names no path. Source: ELB API, HealthCheckPath.
const grpcPath = "/AWS.ALB/healthcheck"

// bodyLimit is how much of an answer's body is read: AWS looks at the code alone.
const bodyLimit = 64 << 10

// checked is one target with how it is checked.
type checked struct {
	Check   haproxy.HealthCheck
	Version string
	At      netip.AddrPort // where this machine reaches it, at the port of the check
	Host    string         // the Host header: address of the target and port, as AWS sends it
}

// ask checks a target once.
func (c checked) ask(ctx context.Context) probe {
	ctx, cancel := context.WithTimeout(ctx, timeout(c.Check))
	defer cancel()
	began := time.Now()
	switch c.Check.Protocol {
	case "HTTP", "HTTPS":
		return c.askHTTP(ctx, began)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.At.String())
	if err != nil {
		return failed(err)
	}
	conn.Close()
	return probe{ok: true, text: "connected in " + took(began)}
}

func (c checked) askHTTP(ctx context.Context, began time.Time) probe {
	t := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, Protocols: new(http.Protocols), MaxResponseHeaderBytes: bodyLimit,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}, // Source: ELB user guide: certificates of targets are not validated
	}
	defer t.CloseIdleConnections()
	switch {
	case c.Version != "GRPC" && c.Version != "HTTP2":
		t.Protocols.SetHTTP1(true)
	case c.Check.Protocol == "HTTPS":
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	req, err := c.request(ctx)
	if err != nil {
		return probe{reason: reasonFailed, description: textFailed, text: err.Error()}
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, bodyLimit))
	if c.Version == "GRPC" {
		return c.judgeGRPC(resp, began)
	}
	if err != nil && ctx.Err() != nil {
		return failed(ctx.Err())
	}
	return c.judge(resp.StatusCode, fmt.Sprintf("%s %s answered %s in %s", req.Method, req.URL.Path, resp.Status, took(began)))
}

func (c checked) request(ctx context.Context) (*http.Request, error) {
	path, method, body := cmp.Or(c.Check.Path, "/"), http.MethodGet, io.Reader(nil)
	if c.Version == "GRPC" {
		path, method, body = cmp.Or(c.Check.Path, grpcPath), http.MethodPost, strings.NewReader("\x00\x00\x00\x00\x00") // an empty message
	}
	url := strings.ToLower(c.Check.Protocol) + "://" + c.At.String() + path
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Host = c.Host
	req.Header.Set("User-Agent", userAgent)
	if c.Version == "GRPC" {
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
	}
	return req, nil
}

// judgeGRPC looks at the status of the call, which stands behind the answer or, when there is none, in its header.
func (c checked) judgeGRPC(resp *http.Response, began time.Time) probe {
	status := cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status"))
	code, err := strconv.Atoi(status)
	if err != nil {
		return probe{reason: reasonFailed, description: textFailed, text: "no gRPC answer: " + resp.Status}
	}
	return c.judge(code, fmt.Sprintf("answered gRPC status %d in %s", code, took(began)))
}

func (c checked) judge(code int, text string) probe {
	matcher := c.Check.Codes
	if matcher == "" {
		matcher = "200"
		if c.Version == "GRPC" {
			matcher = "12"
		}
	}
	if matches(matcher, code) {
		return probe{ok: true, text: text}
	}
	return probe{reason: reasonMismatch, description: fmt.Sprintf("Health checks failed with these codes: [%d]", code), text: text + "; wanted " + matcher}
}

// failed says why there was no answer.
func failed(err error) probe {
	p := probe{reason: reasonFailed, description: textFailed, text: err.Error()}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		p.reason, p.description, p.text = reasonTimeout, textTimeout, "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		p.text = "connection refused: nothing listens at the port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		p.text = "the host cannot be reached"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		p.text = "the connection was closed without an answer"
	}
	return p
}

func took(began time.Time) string { return time.Since(began).Round(100 * time.Microsecond).String() }

// hostHeader is the target's address as AWS names it in checks: with its port unless that is the protocol's own.
func hostHeader(t haproxy.Target, protocol string) string {
	port := strconv.Itoa(t.Port)
	if protocol == "HTTP" && port == "80" || protocol == "HTTPS" && port == "443" {
		return t.Host
	}
	return net.JoinHostPort(t.Host, port)
}
