package dispatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// Limits on what a machine may say.
const (
	maxHello       = 1 << 20
	maxReportTasks = 20_000
	maxList        = 10_000 // ports, attributes, containers, steps
	maxTargets     = 50_000
	maxName        = 512  // names of groups and targets, reasons
	maxText        = 2048 // what people read
)

// inbound is one frame of an agent. Exactly one pointer is set.
type inbound struct {
	hello     *proto.Hello
	report    *proto.Report
	heartbeat *proto.Heartbeat
	ingress   *proto.IngressReport
	close     *proto.Close
}

// decodeFrame reads and checks a frame. It never panics, whatever the bytes are.
func decodeFrame(text []byte) (inbound, error) {
	var f proto.Frame
	if err := decodeOne(text, &f); err != nil {
		return inbound{}, fmt.Errorf("the frame is not valid: %w", err)
	}
	var in inbound
	var err error
	switch f.Type {
	case proto.TypeHello:
		in.hello = new(proto.Hello)
		if err = decodeOne(f.Body, in.hello); err == nil {
			err = checkHello(in.hello)
		}
	case proto.TypeReport:
		in.report = new(proto.Report)
		if err = decodeOne(f.Body, in.report); err == nil {
			err = checkReport(in.report)
		}
	case proto.TypeHeartbeat:
		in.heartbeat = new(proto.Heartbeat)
		err = decodeOne(f.Body, in.heartbeat)
	case proto.TypeIngressReport:
		in.ingress = new(proto.IngressReport)
		if err = decodeOne(f.Body, in.ingress); err == nil {
			err = checkIngress(in.ingress)
		}
	case proto.TypeClose:
		in.close = new(proto.Close)
		err = decodeOne(f.Body, in.close)
	default:
		return inbound{}, fmt.Errorf("a frame of type %q is not for a server", clip(f.Type))
	}
	if err != nil {
		return inbound{}, fmt.Errorf("the %s is not valid: %w", f.Type, err)
	}
	return in, nil
}

// decodeOne reads one JSON object. null, and anything after it, is refused.
func decodeOne(text []byte, into any) error {
	if t := bytes.TrimLeft(text, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return errors.New("want a JSON object")
	}
	return json.Unmarshal(text, into)
}

func checkHello(h *proto.Hello) error {
	if n := max(len(h.Ports), len(h.PortsUDP), len(h.GPUs), len(h.Attributes)); n > maxList {
		return fmt.Errorf("a list has %d entries", n)
	}
	return nil
}

func checkReport(r *proto.Report) error {
	if r.Seq == 0 {
		return errors.New("it has no sequence number")
	}
	if len(r.Tasks) > maxReportTasks {
		return fmt.Errorf("it has %d tasks", len(r.Tasks))
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if n := max(len(t.Containers), len(t.Steps)); n > maxList {
			return fmt.Errorf("a list of task %q has %d entries", clip(t.Arn), n)
		}
	}
	return nil
}

// targetStates are those that a machine may see a target in.
var targetStates = []string{proto.TargetInitial, proto.TargetHealthy, proto.TargetUnhealthy, proto.TargetDraining, proto.TargetDrained}

func checkIngress(r *proto.IngressReport) error {
	switch {
	case r.Seq == 0:
		return errors.New("it has no sequence number")
	case len(r.Targets) > maxTargets:
		return fmt.Errorf("it has %d targets", len(r.Targets))
	case len(r.Published) > haproxy.MaxNumber:
		return fmt.Errorf("it publishes %d load balancers", len(r.Published))
	case len(r.Problem) > maxText:
		return fmt.Errorf("its problem has %d bytes", len(r.Problem))
	}
	for id := range r.Published {
		if len(id) > maxName {
			return fmt.Errorf("it publishes %q", clip(id))
		}
	}
	for i := range r.Targets {
		t := &r.Targets[i]
		if !slices.Contains(targetStates, t.State) {
			return fmt.Errorf("target %q is in the state %q", clip(t.Target), clip(t.State))
		}
		if max(len(t.Group), len(t.Target), len(t.Reason)) > maxName || max(len(t.Description), len(t.Probe)) > maxText {
			return fmt.Errorf("a text of target %q is too long", clip(t.Target))
		}
	}
	return nil
}

// clip shortens what a machine said, for log lines and answers.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
