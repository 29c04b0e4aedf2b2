package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	own "berth/api/berth"
	"berth/dispatch"
	"berth/server"
	"berth/store"
)

const (
	account = "111122223333"
	region  = "eu-west-1"

	heartbeat = dispatch.DefaultHeartbeat
	retention = time.Hour
)

// world is a control plane, a client, and machines.
type world struct {
	*testing.T
	store    *store.Store
	ecs      *sdk.Client
	elb      *elbv2.Client
	key      aws.Credentials
	api      *http.Client
	agents   *listener
	machines []*machine
	zones    map[string]string // of machines, by name; those that are not in it are in the default zone
}

// scenario runs f in a world of its own, in virtual time. f asks the world for its *testing.T, not t.
func scenario(t *testing.T, f func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(newWorld(t, dir)) })
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	st, err := store.Open(store.Config{Tables: server.Tables()})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() && os.Getenv("BERTH_SIM_LOG") != "" {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	front, agents := newListener("api.sim:4566"), newListener("agents.sim:4567")
	s, err := server.Assemble(t.Context(), server.Config{DataDir: dir, Account: account, Region: region, Version: "sim", StoppedTaskRetention: retention},
		server.Parts{Store: st, API: front, Agents: agents}, log)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, store: st, agents: agents}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	// With a delay nothing arrives before its sender is done: the SDK closes a request's body when the answer is there, and
	// net/http then drops the connection if it still looks for the body's end.
	office := &cable{delay: time.Millisecond}
	w.api = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return front.dial(ctx, office) },
	}}
	w.ecs = w.client(dir)
	t.Cleanup(func() {
		for _, m := range w.machines {
			m.halt()
		}
		w.settle(time.Minute) // what the machines still do ends
		w.api.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		w.settle(time.Minute) // slow cables carry their last
	})
	synctest.Wait()
	return w
}

// client reads the credentials that the server has made.
func (w *world) client(dir string) *sdk.Client {
	w.Helper()
	var key struct{ AccessKeyID, SecretAccessKey string }
	text, err := os.ReadFile(filepath.Join(dir, "credentials"))
	if err == nil {
		err = json.Unmarshal(text, &key)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.key = aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return w.key, nil })
	w.elb = elbv2.New(elbv2.Options{
		BaseEndpoint: aws.String("http://api.sim:4566"), Region: region, HTTPClient: w.api, RetryMaxAttempts: 1, Credentials: credentials,
	})
	return sdk.New(sdk.Options{
		BaseEndpoint: aws.String("http://api.sim:4566"), Region: region, HTTPClient: w.api, RetryMaxAttempts: 1, Credentials: credentials,
	})
}

// settle lets time pass and everything that is due happen.
func (w *world) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// define registers the task definition "web": 256 CPU units and 256 MiB.
func (w *world) define() {
	w.Helper()
	_, err := w.ecs.RegisterTaskDefinition(w.Context(), &sdk.RegisterTaskDefinitionInput{
		Family: new("web"), Cpu: new("256"), Memory: new("256"), NetworkMode: types.NetworkModeBridge,
		ContainerDefinitions: []types.ContainerDefinition{{Name: new("app"), Image: new("app:1")}},
	})
	if err != nil {
		w.Fatal(err)
	}
}

// run starts n tasks and returns their ARNs.
func (w *world) run(n int32) []string {
	w.Helper()
	out, err := w.ecs.RunTask(w.Context(), &sdk.RunTaskInput{TaskDefinition: new("web"), Count: &n})
	if err != nil {
		w.Fatal(err)
	}
	if len(out.Failures) > 0 {
		w.Fatalf("run: %s", *out.Failures[0].Reason)
	}
	arns := []string{}
	for _, t := range out.Tasks {
		arns = append(arns, *t.TaskArn)
	}
	return arns
}

func (w *world) stop(arn string) {
	w.Helper()
	if _, err := w.ecs.StopTask(w.Context(), &sdk.StopTaskInput{Task: &arn, Reason: new("asked")}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) task(arn string) types.Task {
	w.Helper()
	out, err := w.ecs.DescribeTasks(w.Context(), &sdk.DescribeTasksInput{Tasks: []string{arn}})
	if err != nil {
		w.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		w.Fatalf("describe %s: %+v", arn, out.Failures)
	}
	return out.Tasks[0]
}

// wantTask checks a task's last and desired status.
func (w *world) wantTask(arn, last, desired string) types.Task {
	w.Helper()
	t := w.task(arn)
	if *t.LastStatus != last || *t.DesiredStatus != desired {
		w.Errorf("task is %s and wanted %s; the rule says %s, %s", *t.LastStatus, *t.DesiredStatus, last, desired)
	}
	return t
}

func (w *world) instance(m *machine) types.ContainerInstance {
	w.Helper()
	out, err := w.ecs.DescribeContainerInstances(w.Context(), &sdk.DescribeContainerInstancesInput{ContainerInstances: []string{m.arn()}})
	if err != nil || len(out.ContainerInstances) != 1 {
		w.Fatalf("describe %s: %v %+v", m.arn(), err, out)
	}
	return out.ContainerInstances[0]
}

func (w *world) wantConnected(m *machine, want bool) {
	w.Helper()
	if got := w.instance(m).AgentConnected; got != want {
		w.Errorf("agentConnected is %t; the rule says %t", got, want)
	}
}

// token asks for a join token, as berth token does.
func (w *world) token() string {
	w.Helper()
	body := `{"uses":1}`
	sum := sha256.Sum256([]byte(body))
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPost, "http://api.sim:4566/", strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", own.API.Target+".CreateJoinToken")
	if err := v4.NewSigner().SignHTTP(w.Context(), w.key, req, hex.EncodeToString(sum[:]), own.API.SigningName, region, time.Now()); err != nil {
		w.Fatal(err)
	}
	resp, err := w.api.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	var out own.CreateJoinTokenResponse
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Token == "" {
		w.Fatalf("join token: %d, %v", resp.StatusCode, err)
	}
	return out.Token
}
