package dispatch_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/ecs"
	"berth/store"
)

// ofService makes a task one of the service web.
func (w *world) ofService(arn string) {
	w.Helper()
	w.update(func(tx *store.Tx) {
		for t := range ecs.Tasks.All(tx) {
			if string(t.ARN()) == arn {
				t.Group = "service:web"
				ecs.Tasks.Put(tx, t)
			}
		}
	})
}

func TestTaskProtection(t *testing.T) {
	w := newWorld(t)
	cert, other, away := w.join("default"), w.join("default"), w.join("default")
	w.connect(cert)
	mine, alone := w.run("default"), w.run("default")
	w.connect(other)
	w.ofService(mine)
	set := func(task string, enabled bool, minutes *int32) []byte {
		return w.json(proto.TaskProtection{Task: task, ProtectionEnabled: &enabled, ExpiresInMinutes: minutes})
	}
	for _, row := range []struct {
		name string
		cert *tls.Certificate
		body []byte
		code int
		want string // part of the answer
	}{
		{"no certificate", nil, set(mine, true, nil), http.StatusUnauthorized, "certificate"},
		{"no session", away, set(mine, true, nil), http.StatusServiceUnavailable, "no session"},
		{"a task of another machine", other, set(mine, true, nil), http.StatusForbidden, "not placed"},
		{"a task that is not there", cert, set(noTask, true, nil), http.StatusForbidden, "not placed"},
		{"no task", cert, set("", true, nil), http.StatusForbidden, "not placed"},
		{"no JSON", cert, []byte("x"), http.StatusBadRequest, "not valid JSON"},
		{"more minutes than fit", cert, []byte(`{"task":"` + mine + `","protectionEnabled":true,"expiresInMinutes":4294967297}`), http.StatusBadRequest, "not valid JSON"},
		{"too large", cert, []byte(`{"task":"` + strings.Repeat("x", 17<<10) + `"}`), http.StatusRequestEntityTooLarge, "too large"},
		{"read", cert, w.json(proto.TaskProtection{Task: mine}), http.StatusOK, "enabled=false of " + mine},
		{"a task of no service", cert, set(alone, true, nil), http.StatusOK, "failure=TASK_NOT_VALID of " + alone},
		{"0 minutes", cert, set(mine, true, new(int32(0))), http.StatusOK, "error=400 InvalidParameterException: expiresInMinutes must be between 1 and 2880"},
		{"2881 minutes", cert, set(mine, true, new(int32(2881))), http.StatusOK, "error=400 InvalidParameterException: expiresInMinutes must be between 1 and 2880"},
		{"minutes of no protection", cert, set(mine, false, new(int32(5))), http.StatusOK, "error=400 InvalidParameterException"},
		{"on", cert, set(mine, true, new(int32(2880))), http.StatusOK, "enabled=true of " + mine},
		{"off", cert, set(mine, false, nil), http.StatusOK, "enabled=false of " + mine},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, body := w.post(row.cert, proto.PathTaskProtection, row.body)
			if code == http.StatusOK {
				body = told(t, body)
			}
			if code != row.code || !strings.Contains(body, row.want) {
				t.Errorf("got %d %q, want %d with %q", code, body, row.code, row.want)
			}
		})
	}
}

// told is an answer in short.
func told(t *testing.T, body string) string {
	t.Helper()
	var a proto.TaskProtectionAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.RequestID == "" {
		t.Fatalf("%v: %s", err, body)
	}
	switch {
	case a.Error != nil:
		return fmt.Sprintf("error=%d %s: %s", a.Error.Status, a.Error.Code, a.Error.Message)
	case a.Failure != nil:
		return "failure=" + *a.Failure.Reason + " of " + *a.Failure.Arn
	case a.Protection != nil:
		return fmt.Sprintf("enabled=%t of %s", *a.Protection.ProtectionEnabled, *a.Protection.TaskArn)
	}
	return body
}

func TestTaskProtectionIsThatOfTheAPI(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	w.connect(cert)
	arn := w.run("default")
	w.ofService(arn)
	code, body := w.post(cert, proto.PathTaskProtection, w.json(proto.TaskProtection{Task: arn, ProtectionEnabled: new(true)}))
	var a proto.TaskProtectionAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil || code != http.StatusOK || a.Protection == nil {
		t.Fatalf("%d %s", code, body)
	}
	out, err := w.ecs.GetTaskProtection(w.ctx, &api.GetTaskProtectionRequest{Tasks: []string{arn}})
	if err != nil || len(out.ProtectedTasks) != 1 || !out.ProtectedTasks[0].ExpirationDate.Equal(a.Protection.ExpirationDate.Time) {
		t.Fatalf("the API says %+v %v, the machine was told %s", out, err, body)
	}
	if left := time.Until(a.Protection.ExpirationDate.Time); left < 110*time.Minute || left > 120*time.Minute {
		t.Errorf("without minutes it ends in %s, want two hours", left)
	}
}
