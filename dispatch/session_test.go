package dispatch_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"berth/agent/proto"
	api "berth/api/ecs"
	"berth/aws"
	"berth/dispatch"
	"berth/ecs"
	"berth/store"
)

func TestTaskTravelsToItsMachineAndBack(t *testing.T) {
	w := newWorld(t)
	a, welcome, first := w.connect(w.join("default"))
	if len(first.Tasks) != 0 || welcome.Heartbeat != time.Minute || welcome.Registry != "registry.test:1" {
		t.Errorf("welcome %+v, first assignment %+v", welcome, first)
	}
	arn := w.run("default")
	var second proto.Assignment
	a.want(proto.TypeAssignment, &second)
	if len(second.Tasks) != 1 || second.Tasks[0].Arn != arn || second.Tasks[0].DesiredStatus != "RUNNING" || second.Revision <= first.Revision {
		t.Fatalf("assignment %+v", second)
	}
	if _, ok := second.Definitions[second.Tasks[0].Definition]; !ok {
		t.Error("the definition did not come with its first task")
	}
	a.report(status(arn, "RUNNING"))
	if got := *w.task("default", arn).LastStatus; got != "RUNNING" {
		t.Errorf("lastStatus %s", got)
	}
	if _, err := w.ecs.StopTask(w.ctx, &api.StopTaskRequest{Task: new(arn), Reason: new("enough")}); err != nil {
		t.Fatal(err)
	}
	var third proto.Assignment
	a.want(proto.TypeAssignment, &third)
	if len(third.Tasks) != 1 || third.Tasks[0].DesiredStatus != "STOPPED" || third.Tasks[0].StoppedReason != "enough" || len(third.Definitions) != 0 {
		t.Errorf("assignment %+v", third)
	}
	a.report(status(arn, "STOPPED"))
	if got := *w.task("default", arn).LastStatus; got != "STOPPED" {
		t.Errorf("lastStatus %s", got)
	}
}

func TestADefinitionIsSentOncePerSession(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	a, _, _ := w.connect(cert)
	w.run("default")
	var one, two proto.Assignment
	a.want(proto.TypeAssignment, &one)
	if _, err := w.ecs.RunTask(w.ctx, &api.RunTaskRequest{TaskDefinition: new("web:1")}); err != nil {
		t.Fatal(err)
	}
	a.want(proto.TypeAssignment, &two)
	if len(one.Definitions) != 1 || len(two.Definitions) != 0 || len(two.Tasks) != 2 {
		t.Errorf("%d, then %d definitions with %d tasks", len(one.Definitions), len(two.Definitions), len(two.Tasks))
	}
	_, _, again := w.connect(cert)
	if len(again.Definitions) != 1 || len(again.Tasks) != 2 {
		t.Errorf("a new session began with %d definitions and %d tasks", len(again.Definitions), len(again.Tasks))
	}
}

func TestReconnectedMachineKeepsItsInstanceAndItsTasks(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	a, first, _ := w.connect(cert)
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	a.report(status(arn, "RUNNING"))
	_ = a.conn.Close()
	b, second, assignment := w.connect(cert)
	if second.ContainerInstanceArn != first.ContainerInstanceArn || second.AckedSeq != 1 {
		t.Errorf("welcomed as %+v, then as %+v", first, second)
	}
	if len(assignment.Tasks) != 1 || assignment.Tasks[0].DesiredStatus != "RUNNING" {
		t.Errorf("assignment %+v", assignment)
	}
	_ = b
}

func TestANewerSessionReplacesTheOlder(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	old, welcome, _ := w.connect(cert)
	arn := w.run("default")
	old.want(proto.TypeAssignment, &proto.Assignment{})
	w.connect(cert)
	if reason := old.ended(); reason == "" {
		t.Error("the older session was ended without a word")
	}
	if !w.connected(welcome.ContainerInstanceArn) || w.server.Sessions() != 1 {
		t.Error("the end of the older session disconnected the machine")
	}
	if got := *w.task("default", arn).LastStatus; got != "PROVISIONING" && got != "PENDING" {
		t.Errorf("lastStatus %s", got)
	}
}

func TestSilentMachineIsDisconnectedAndItsTasksStay(t *testing.T) {
	w := newWorldAt(t, 30*time.Millisecond)
	cert := w.join("default")
	a, welcome, _ := w.connect(cert)
	arn := w.run("default")
	a.report(status(arn, "RUNNING"))
	w.eventually("the silent machine is disconnected", func() bool { return !w.connected(welcome.ContainerInstanceArn) })
	task := w.task("default", arn)
	if *task.LastStatus != "RUNNING" || *task.DesiredStatus != "RUNNING" {
		t.Errorf("the task became %s, desired %s", *task.LastStatus, *task.DesiredStatus)
	}
	_, back, assignment := w.connect(cert)
	if back.ContainerInstanceArn != welcome.ContainerInstanceArn || len(assignment.Tasks) != 1 || !w.connected(welcome.ContainerInstanceArn) {
		t.Errorf("back as %s with %d tasks", back.ContainerInstanceArn, len(assignment.Tasks))
	}
}

func TestHeartbeatsKeepTheMachineConnected(t *testing.T) {
	w := newWorldAt(t, 50*time.Millisecond)
	a, welcome, _ := w.connect(w.join("default"))
	for range 12 { // 600 ms, four times what silence takes
		a.send(proto.TypeHeartbeat, proto.Heartbeat{})
		a.want(proto.TypeHeartbeatAck, &struct{}{})
		time.Sleep(50 * time.Millisecond) // the heartbeat's pace is what is tested
	}
	if !w.connected(welcome.ContainerInstanceArn) {
		t.Error("disconnected in spite of heartbeats")
	}
}

func TestImpairedMachineIsShown(t *testing.T) {
	w := newWorld(t)
	a, _, _ := w.connect(w.join("default"))
	a.send(proto.TypeHeartbeat, proto.Heartbeat{Impaired: "disk 97 % full"})
	a.want(proto.TypeHeartbeatAck, &struct{}{})
	for c := range ecs.ContainerInstances.All(w.store.Read()) {
		if c.Impaired != "disk 97 % full" {
			t.Errorf("impaired: %q", c.Impaired)
		}
	}
}

func TestServerRestartStopsNothing(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	a, welcome, _ := w.connect(cert)
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	a.report(status(arn, "RUNNING"))
	second := dispatch.New(w.server.Config)
	w.serve(second)
	if !w.connected(welcome.ContainerInstanceArn) {
		t.Error("the machine is disconnected before it had time to come back")
	}
	_, _, assignment := w.connect(cert)
	if len(assignment.Tasks) != 1 || assignment.Tasks[0].DesiredStatus != "RUNNING" {
		t.Errorf("assignment %+v", assignment)
	}
}

func TestTaskThatIsOverIsStoppedOnAMachineThatStillHasIt(t *testing.T) {
	w := newWorld(t)
	a, _, _ := w.connect(w.join("default"))
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	a.report(status(arn, "STOPPED"))
	var none proto.Assignment
	a.want(proto.TypeAssignment, &none)
	// The machine comes from an old backup, say, and runs it again.
	a.report(status(arn, "RUNNING"))
	var stop proto.Assignment
	a.want(proto.TypeAssignment, &stop)
	if len(none.Tasks) != 0 || len(stop.Tasks) != 1 || stop.Tasks[0].Arn != arn || stop.Tasks[0].DesiredStatus != "STOPPED" {
		t.Errorf("assignment %+v", stop)
	}
	if got := *w.task("default", arn).LastStatus; got != "STOPPED" {
		t.Errorf("lastStatus went back to %s", got)
	}
}

func TestUnknownTaskIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	a, _, _ := w.connect(w.join("default"))
	a.report(status("arn:aws:ecs:"+region+":"+account+":task/default/0123456789abcdef0123456789abcdef", "RUNNING"))
	a.send(proto.TypeHeartbeat, proto.Heartbeat{})
	a.want(proto.TypeHeartbeatAck, &struct{}{})
	if len(a.held) != 0 {
		t.Errorf("the machine was sent %+v", a.held)
	}
}

func TestStepsAreShown(t *testing.T) {
	w := newWorld(t)
	a, _, _ := w.connect(w.join("default"))
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	st := status(arn, "PENDING")
	st.Steps = []proto.Step{{Name: "pull app", State: "running"}}
	a.report(st)
	var instance string
	for c := range ecs.ContainerInstances.All(w.store.Read()) {
		instance = c.Key()
	}
	if got := w.server.Steps(instance, arn); !slices.Equal(got, st.Steps) {
		t.Errorf("steps %+v", got)
	}
}

func TestRenewedCertificateIsTheSameMachine(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	_, before, _ := w.connect(cert)
	key, csr := newKey(t)
	code, body := w.post(cert, proto.PathRenew, w.json(proto.RenewRequest{CSR: csr}))
	if code != http.StatusOK {
		t.Fatalf("renew: %d %s", code, body)
	}
	_, after, _ := w.connect(w.certificate(key, body))
	if before.ContainerInstanceArn != after.ContainerInstanceArn {
		t.Errorf("%s became %s", before.ContainerInstanceArn, after.ContainerInstanceArn)
	}
}

func TestRevokedMachineChangesNothingMore(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	a, _, _ := w.connect(cert)
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	var machine string
	for m := range dispatch.Machines.All(w.store.Read()) {
		machine = m.ID
	}
	if err := w.server.Revoke(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	_ = a.conn.WriteJSON(proto.Frame{Type: proto.TypeReport, Body: w.json(proto.Report{Seq: 9, Tasks: []proto.TaskStatus{status(arn, "RUNNING")}})})
	a.ended()
	if got := *w.task("default", arn).LastStatus; got == "RUNNING" {
		t.Error("a report was taken after Revoke")
	}
	if _, resp, err := w.dial(cert); err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a revoked machine's session: %v %v", resp, err)
	}
	_, csr := newKey(t)
	if code, _ := w.post(cert, proto.PathRenew, w.json(proto.RenewRequest{CSR: csr})); code != http.StatusForbidden {
		t.Errorf("a revoked machine's renewal: %d", code)
	}
}

func TestLogEventsGoToTheStoreOfTheTasksAccount(t *testing.T) {
	w := newWorld(t)
	cert := w.join("default")
	a, _, _ := w.connect(cert)
	arn := w.run("default")
	a.want(proto.TypeAssignment, &proto.Assignment{})
	batch := proto.LogBatch{Task: arn, Group: "g", Stream: "s", Events: []proto.LogEvent{{Timestamp: 1, Message: "hello"}}}
	if code, body := w.post(cert, proto.PathLogs, w.json(batch)); code != http.StatusNoContent {
		t.Fatalf("logs: %d %s", code, body)
	}
	if !slices.Equal(w.logs.where, []string{account + "/" + region}) || w.logs.batches[0].Events[0].Message != "hello" {
		t.Errorf("the store has %v %v", w.logs.where, w.logs.batches)
	}
	w.logs.fail = aws.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
	if code, body := w.post(cert, proto.PathLogs, w.json(batch)); code != http.StatusBadRequest || body != "ResourceNotFoundException: The specified log group does not exist.\n" {
		t.Errorf("refused batch: %d %s", code, body)
	}
	w.logs.fail = store.ErrNoSpace
	if code, _ := w.post(cert, proto.PathLogs, w.json(batch)); code < 500 {
		t.Errorf("failed batch: %d, which the agent would not send again", code)
	}
}

func TestRegistryIsReachedWithTheCertificateAlone(t *testing.T) {
	w := newWorld(t)
	resp, err := w.client(w.join("default")).Get("https://" + w.addr + proto.PathRegistry + "/v2/app/manifests/1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := make([]byte, 100)
	n, _ := resp.Body.Read(body)
	if got := string(body[:n]); got != "registry /v2/app/manifests/1" {
		t.Errorf("got %d %q", resp.StatusCode, got)
	}
}

func TestAuthorityIsKeptAndItsKeyIsSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first, err := dispatch.OpenAuthority(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, err := dispatch.OpenAuthority(dir, time.Now())
	if err != nil || first.Fingerprint() != second.Fingerprint() {
		t.Errorf("a second start has another authority: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}
