package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/test/image"
)

// debian builds an image of Debian's packages, or skips the test where there are none. Images are kept in a cache.
func debian(t *testing.T, name string, packages []string, cfg image.Config, files ...image.File) string {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("Debian's package manager is not here: no nginx, redis and python to run")
	}
	cache, err := filepath.Abs(cmp.Or(os.Getenv("BERTH_TEST_CACHE"), "../../.cache/images"))
	if err != nil {
		t.Fatal(err)
	}
	path, err := image.FromDebian(t.Context(), cache, name, append(packages, "dash", "coreutils"), cfg, files...)
	if errors.Is(err, image.ErrNoPackages) {
		t.Skipf("try apt-get update: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Each row is a task definition in the form that public examples have.
const (
	nginxDefinition = `{
  "family": "nginx",
  "networkMode": "bridge",
  "requiresCompatibilities": ["EC2"],
  "cpu": "256",
  "memory": "128",
  "containerDefinitions": [{
    "name": "nginx",
    "image": "IMAGE",
    "essential": true,
    "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
    "mountPoints": [{"sourceVolume": "site", "containerPath": "/var/www/html", "readOnly": true}],
    "healthCheck": {
      "command": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"],
      "interval": 5, "timeout": 5, "retries": 3, "startPeriod": 10
    },
    "logConfiguration": {
      "logDriver": "awslogs",
      "options": {"awslogs-group": "/ecs/nginx", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true"}
    }
  }],
  "volumes": [{"name": "site", "host": {"sourcePath": "SITE"}}]
}`
	redisDefinition = `{
  "family": "redis",
  "containerDefinitions": [{
    "name": "redis",
    "image": "IMAGE",
    "cpu": 128,
    "memoryReservation": 64,
    "memory": 256,
    "essential": true,
    "command": ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"],
    "portMappings": [{"containerPort": 6379}],
    "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
    "ulimits": [{"name": "nofile", "softLimit": 10240, "hardLimit": 10240}],
    "healthCheck": {"command": ["CMD", "redis-cli", "ping"], "interval": 5, "timeout": 3, "retries": 3},
    "logConfiguration": {
      "logDriver": "awslogs",
      "options": {"awslogs-group": "/ecs/redis", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true"}
    }
  }],
  "volumes": [{"name": "data", "dockerVolumeConfiguration": {"scope": "task", "driver": "local"}}]
}`
	pythonDefinition = `{
  "family": "python",
  "containerDefinitions": [{
    "name": "app",
    "image": "IMAGE",
    "memory": 256,
    "essential": true,
    "entryPoint": ["python3"],
    "command": ["-u", "/srv/app.py"],
    "workingDirectory": "/srv",
    "user": "www-data",
    "linuxParameters": {"initProcessEnabled": true},
    "environment": [{"name": "GREETING", "value": "Hello from python"}, {"name": "PORT", "value": "8000"}],
    "portMappings": [{"containerPort": 8000, "hostPort": 0}],
    "healthCheck": {
      "command": ["CMD-SHELL", "python3 -c \"import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/')\" || exit 1"],
      "interval": 5, "timeout": 5, "retries": 3
    },
    "logConfiguration": {
      "logDriver": "awslogs",
      "options": {"awslogs-group": "/ecs/python", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true"}
    }
  }]
}`
	pythonApp = `import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["GREETING"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("python", sys.version.split()[0], "serves as", os.getuid())
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`
)

func TestProgramsOfDebianRunAsPublicTaskDefinitionsSay(t *testing.T) {
	t.Parallel()
	b := shared(t)
	site := t.TempDir()
	for _, err := range []error{
		os.Chmod(filepath.Dir(site), 0o755), os.Chmod(site, 0o755),
		os.WriteFile(filepath.Join(site, "index.html"), []byte("<h1>a page of the machine</h1>"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// What the installation of the packages would have done, and logs as images of nginx have them.
	ofNginx := []image.File{
		{Path: "etc/nginx/sites-enabled/default", Link: "../sites-available/default"},
		{Path: "var/log/nginx/access.log", Link: "/dev/stdout"}, {Path: "var/log/nginx/error.log", Link: "/dev/stderr"},
	}
	for _, c := range []struct {
		family, definition string
		packages           []string
		config             image.Config
		files              []image.File
		answers            func(t *testing.T, address string)
		logs               string
	}{
		{
			family: "nginx", definition: strings.ReplaceAll(nginxDefinition, "SITE", site), packages: []string{"nginx-light", "curl"},
			config: image.Config{Cmd: []string{"nginx", "-g", "daemon off;"}, StopSignal: "SIGQUIT", Ports: []string{"80/tcp"}},
			files:  ofNginx, answers: pageOfNginx, logs: "GET / HTTP/1.1",
		},
		{
			family: "redis", definition: redisDefinition, packages: []string{"redis-server", "redis-tools"},
			config: image.Config{Cmd: []string{"redis-server"}}, files: []image.File{{Path: "data/"}}, answers: redisKeepsValues, logs: "Ready to accept connections",
		},
		{
			family: "python", definition: pythonDefinition, packages: []string{"python3"},
			config: image.Config{Cmd: []string{"python3"}}, files: []image.File{{Path: "srv/"}, {Path: "srv/app.py", Content: pythonApp}},
			answers: greetingOfPython, logs: "python 3",
		},
	} {
		t.Run(c.family, func(t *testing.T) {
			t.Parallel()
			b := b.in(t)
			uri := strings.TrimSpace(b.berth("image", "push", debian(t, c.family, c.packages, c.config, c.files...), c.family+":debian", "-o", "name"))
			journey(t, b, strings.ReplaceAll(c.definition, "IMAGE", uri), c.family, c.answers, c.logs)
		})
	}
}

// journey is a user's day with the AWS CLI: register, run, wait, ask, read the log, stop, wait.
func journey(t *testing.T, b *Berth, definition, family string, answers func(*testing.T, string), logs string) {
	file := filepath.Join(t.TempDir(), "task-definition.json")
	if err := os.WriteFile(file, []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	b.aws("ecs", "register-task-definition", "--cli-input-json", "file://"+file)
	task := b.aws("ecs", "run-task", "--task-definition", family, "--query", "tasks[0].taskArn", "--output", "text")
	b.aws("ecs", "wait", "tasks-running", "--tasks", task)
	port := hostPort(b.task(task), b.firstContainer(task))
	for _, host := range []string{"127.0.0.1", "::1"} {
		answers(t, net.JoinHostPort(host, port))
	}
	eventually(t, "the task is healthy", func() (bool, string) {
		got := b.task(task)
		return got.HealthStatus == "HEALTHY", dump(got)
	})
	stream := "ecs/" + b.firstContainer(task) + "/" + task[strings.LastIndexByte(task, '/')+1:]
	eventually(t, "its log lines are there", func() (bool, string) {
		out := b.aws("logs", "get-log-events", "--log-group-name", "/ecs/"+family, "--log-stream-name", stream, "--start-from-head",
			"--query", "events[].message", "--output", "json")
		var lines []string
		_ = json.Unmarshal([]byte(out), &lines)
		return strings.Contains(strings.Join(lines, "\n"), logs), out
	})
	b.aws("ecs", "stop-task", "--task", task, "--reason", "the test is over")
	b.aws("ecs", "wait", "tasks-stopped", "--tasks", task)
	stopped := b.task(task)
	if code := containerOf(stopped, b.firstContainer(task)).ExitCode; code == nil || *code != 0 && *code != 143 {
		t.Errorf("stopped with %s", dump(stopped))
	}
}

func (b *Berth) firstContainer(task string) string { return *b.task(task).Containers[0].Name }

func pageOfNginx(t *testing.T, address string) {
	t.Helper()
	eventually(t, "nginx serves the file of the host volume", func() (bool, string) {
		body, err := get("http://" + address + "/")
		return body == "<h1>a page of the machine</h1>", fmt.Sprint(body, err)
	})
}

func greetingOfPython(t *testing.T, address string) {
	t.Helper()
	eventually(t, "python answers with its environment", func() (bool, string) {
		body, err := get("http://" + address + "/")
		return body == "Hello from python", fmt.Sprint(body, err)
	})
}

func redisKeepsValues(t *testing.T, address string) {
	t.Helper()
	var conn net.Conn
	eventually(t, "redis takes connections", func() (bool, string) {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return false, err.Error()
		}
		if conn = c; resp(conn, "PING") == "+PONG" {
			return true, ""
		}
		c.Close()
		return false, "no PONG"
	})
	defer conn.Close()
	for _, step := range []struct {
		say  []string
		want string
	}{
		{[]string{"SET", "colour", "teal"}, "+OK"},
		{[]string{"GET", "colour"}, "$4 teal"},
		{[]string{"SAVE"}, "+OK"}, // onto the volume
	} {
		if got := resp(conn, step.say...); got != step.want {
			t.Errorf("%v: %q, want %q", step.say, got, step.want)
		}
	}
}

// resp sends one command in the Redis protocol and returns the answer, a bulk string's two lines joined.
func resp(conn net.Conn, words ...string) string {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(w), w)
	}
	r := bufio.NewReader(io.LimitReader(conn, 1<<16))
	line, err := r.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "$") && line != "$-1" {
		value, _ := r.ReadString('\n')
		line += " " + strings.TrimSpace(value)
	}
	return line
}
