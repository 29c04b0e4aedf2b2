package ecs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"

	api "berth/api/ecs"
	"berth/ecs/rollout"
)

const (
	// hookCallTimeout bounds one call of a hook. What takes longer answers IN_PROGRESS and is called again.
	hookCallTimeout = 30 * time.Second
	// defaultCallBack is the pause before a hook that answered IN_PROGRESS is called again. Source: ECS developer guide,
	// lifecycle hooks.
	defaultCallBack  = 30 * time.Second
	leastCallBack    = time.Second
	longestHookPause = 30 * time.Second
	stageSeconds     = 24 * 3600
)

var hookIDPattern = regexp.MustCompile(`^ecs-[a-zA-Z]+-[A-Za-z0-9_-]+$`)

// hookCaller calls the URLs of hooks.
type hookCaller struct{ client *http.Client }

// newHookCaller makes one. It follows no redirect, uses no proxy, and does not go to link-local addresses, where metadata
// services of clouds are.
func newHookCaller(given *http.Client) hookCaller {
	if given != nil {
		return hookCaller{given}
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || at.Addr().Unmap().IsLinkLocalUnicast() || at.Addr().IsMulticast() {
			return errors.New("the address is not allowed")
		}
		return nil
	}}
	return hookCaller{&http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}}}
}

// hookPayload is what a hook is sent.
type hookPayload struct {
	ExecutionID      string           `json:"executionId"`
	LifecycleStage   string           `json:"lifecycleStage"`
	ResourceArn      string           `json:"resourceArn"`
	ExecutionDetails executionDetails `json:"executionDetails"`
	HookDetails      json.RawMessage  `json:"hookDetails,omitzero"`
}

type executionDetails struct {
	ServiceArn               string             `json:"serviceArn"`
	TargetServiceRevisionArn string             `json:"targetServiceRevisionArn"`
	TestTrafficWeights       map[string]float64 `json:"testTrafficWeights"`
	ProductionTrafficWeights map[string]float64 `json:"productionTrafficWeights"`
}

// payload has the weights of the traffic that the stage moves, in percent, as they are when the hook runs.
func (k Hook) payload(d Deployment) hookPayload {
	out := hookPayload{
		ExecutionID: strings.TrimPrefix(k.id(d), "ecs-pause-"), LifecycleStage: k.Stage.String(), ResourceArn: string(d.ARN()), HookDetails: k.Details,
		ExecutionDetails: executionDetails{
			ServiceArn:               string(ServiceRecord{Account: d.Account, Region: d.Region, Cluster: d.Cluster, Name: d.Service}.ARN()),
			TargetServiceRevisionArn: string(d.RevisionARN()), TestTrafficWeights: map[string]float64{}, ProductionTrafficWeights: map[string]float64{},
		},
	}
	weights := func(of map[string]float64, share int) {
		of[string(d.RevisionARN())] = percentOf(share)
		if d.Blue != "" {
			of[string(d.revisionARN(d.Blue))] = percentOf(rollout.All - share)
		}
	}
	switch k.Stage {
	case rollout.TestShift:
		weights(out.ExecutionDetails.TestTrafficWeights, d.Life.Test)
	case rollout.PreProductionShift, rollout.ProductionShift:
		weights(out.ExecutionDetails.ProductionTrafficWeights, d.Life.Production)
	}
	return out
}

// percentOf is a share in tenths of a percent as percent.
func percentOf(share int) float64 { return float64(share) / 10 }

// hookAnswer is what came of a call.
type hookAnswer struct {
	Status  *string         `json:"hookStatus"`
	Delay   *float64        `json:"callBackDelay"` // seconds
	Details json.RawMessage `json:"hookDetails"`

	again   bool   // it did not get through: to be tried again
	garbled bool   // it got through, and its answer cannot be read
	problem string // of both, without anything of the URL or the answer
}

// call posts the payload. It changes nothing and returns nothing that could hold a secret but the details.
func (h hookCaller) call(ctx context.Context, target string, payload hookPayload) hookAnswer {
	body, err := json.Marshal(payload)
	if err != nil {
		panic("unreachable: a checked payload can be encoded: " + err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, hookCallTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return hookAnswer{problem: "a URL that cannot be used"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "berth")
	client := *h.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return hookAnswer{again: true, problem: causeOf(err)}
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests || code >= http.StatusBadGateway && code <= http.StatusGatewayTimeout:
		return hookAnswer{again: true, problem: fmt.Sprintf("HTTP status %d", code)}
	case code < 200 || code > 299:
		return hookAnswer{problem: fmt.Sprintf("HTTP status %d", code)}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxHookBytes+1))
	if err != nil {
		return hookAnswer{again: true, problem: causeOf(err)}
	}
	if len(text) > maxHookBytes {
		return hookAnswer{garbled: true, problem: fmt.Sprintf("more than %d bytes", maxHookBytes)}
	}
	var out hookAnswer
	if len(text) > 0 && json.Unmarshal(text, &out) != nil {
		return hookAnswer{garbled: true, problem: "an answer that is not JSON of the expected form"}
	}
	return out
}

// causeOf is an error of a call without its URL.
func causeOf(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return err.Error()
}

// mergeDetails adds what a hook returned to what it was given: member by member if both are objects.
func mergeDetails(have, returned json.RawMessage) json.RawMessage {
	var a, b map[string]json.RawMessage
	switch {
	case len(returned) == 0 || string(returned) == "null":
		return have
	case json.Unmarshal(have, &a) != nil || json.Unmarshal(returned, &b) != nil || a == nil:
		return returned
	}
	maps.Copy(a, b)
	out, err := json.Marshal(a)
	if err != nil {
		return returned
	}
	return out
}

// ended says how a task that ran a hook ended: well if every essential container exited with 0.
func (t Task) ended(d *api.TaskDefinition, target string) (ok bool, why string) {
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		if !isEssential(c) {
			continue
		}
		for _, have := range t.Containers {
			switch {
			case have.Name != *c.Name || have.ExitCode != nil && *have.ExitCode == 0:
			case have.ExitCode == nil:
				return false, fmt.Sprintf("Task %s of lifecycle hook target %s ended without an exit code of container %s: %s", t.ID, target, have.Name, t.StopReason)
			default:
				return false, fmt.Sprintf("Container %s of task %s of lifecycle hook target %s exited with code %d.", have.Name, t.ID, target, *have.ExitCode)
			}
		}
	}
	return true, ""
}
