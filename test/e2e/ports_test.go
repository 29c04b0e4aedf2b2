package e2e

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// free finds a port that nobody uses now.
func free(t *testing.T, network string) int {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestPublishedPortsAnswer(t *testing.T) {
	shared(t)
	fixedTCP, fixedUDP := free(t, "tcp"), free(t, "udp")
	for _, row := range []struct {
		name, command, ports string
		network              string
		count, want          int // ports; and the first, or 0 for any
	}{
		{"dynamic TCP", `"serve",":8080"`, `{"containerPort":8080}`, "tcp", 1, 0},
		{"static TCP", `"serve",":8080"`, fmt.Sprintf(`{"containerPort":8080,"hostPort":%d}`, fixedTCP), "tcp", 1, fixedTCP},
		{"dynamic UDP", `"udp",":5353"`, `{"containerPort":5353,"protocol":"udp"}`, "udp", 1, 0},
		{"static UDP", `"udp",":5353"`, fmt.Sprintf(`{"containerPort":5353,"hostPort":%d,"protocol":"udp"}`, fixedUDP), "udp", 1, fixedUDP},
		{"a range", `"serve",":9000",":9001",":9002"`, `{"containerPortRange":"9000-9002"}`, "tcp", 3, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := common.in(t)
			task := b.until(b.run(b.define("ports", row.command, `"portMappings":[`+row.ports+`]`)), "RUNNING")
			ports := published(t, task)
			if len(ports) != row.count || row.want != 0 && ports[0] != row.want {
				t.Fatalf("published %v: %s", ports, dump(task))
			}
			for _, port := range ports {
				for _, host := range []string{"127.0.0.1", "::1"} {
					address := net.JoinHostPort(host, strconv.Itoa(port))
					eventually(t, address+" answers", func() (bool, string) {
						if row.network == "udp" {
							return echoes(address)
						}
						body, err := get("http://" + address + "/")
						return err == nil && strings.HasPrefix(body, "pid 1 "), fmt.Sprint(body, err)
					})
				}
			}
		})
	}
}

// published lists the host's ports of a task's one container.
func published(t *testing.T, task types.Task) []int {
	t.Helper()
	bindings := task.Containers[0].NetworkBindings
	if len(bindings) == 0 {
		return nil
	}
	b := bindings[0] // the others are the same ports on other addresses
	if b.HostPortRange == nil {
		return []int{int(aws.ToInt32(b.HostPort))}
	}
	var first, last int
	if _, err := fmt.Sscanf(*b.HostPortRange, "%d-%d", &first, &last); err != nil {
		t.Fatal(err)
	}
	var all []int
	for p := first; p <= last; p++ {
		all = append(all, p)
	}
	return all
}

func echoes(address string) (bool, string) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return false, err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return false, err.Error()
	}
	buf := make([]byte, 16)
	n, err := conn.Read(buf)
	return err == nil && string(buf[:n]) == "hello", fmt.Sprint(string(buf[:n]), err)
}

func TestAPortIsGivenOnce(t *testing.T) {
	b := shared(t)
	definition := b.define("fixed", `"serve",":8080"`, fmt.Sprintf(`"portMappings":[{"containerPort":8080,"hostPort":%d}]`, free(t, "tcp")))
	b.run(definition)
	out, err := b.ecs().RunTask(t.Context(), runTask(definition))
	if err != nil || len(out.Tasks) != 0 || len(out.Failures) != 1 || aws.ToString(out.Failures[0].Reason) != "RESOURCE:PORTS" {
		t.Errorf("a port that is taken: %v %s", err, dump(out))
	}
}

func TestLinksReachTheOther(t *testing.T) {
	b := shared(t)
	arn := b.run(b.register(strings.ReplaceAll(`{"family":"linked","containerDefinitions":[
		{"name":"back","image":"IMAGE","memory":64,"essential":false,"command":["/bin/probe","serve",":8080"],
		 "healthCheck":{"command":["CMD","/bin/probe","get","http://127.0.0.1:8080/"],"interval":5,"timeout":2,"retries":3}},
		{"name":"front","image":"IMAGE","memory":64,"command":["/bin/probe","get","http://behind:8080/"],"links":["back:behind"],
		 "dependsOn":[{"containerName":"back","condition":"HEALTHY"}]}]}`, "IMAGE", b.image())))
	task := b.until(arn, "STOPPED")
	if code := containerOf(task, "front").ExitCode; code == nil || *code != 0 {
		t.Errorf("the front did not reach the back: %s", dump(task))
	}
}

func TestTheHostsNetworkIsTheMachines(t *testing.T) {
	b := shared(t)
	address := fmt.Sprintf("127.0.0.1:%d", free(t, "tcp"))
	arn := b.run(b.register(`{"family":"host","networkMode":"host","containerDefinitions":[{"name":"main","image":"` + b.image() +
		`","memory":64,"command":["/bin/probe","serve","` + address + `"]}]}`))
	b.until(arn, "RUNNING")
	eventually(t, "the port of the machine answers", func() (bool, string) {
		body, err := get("http://" + address + "/")
		return err == nil, fmt.Sprint(body, err)
	})
	b.stop(arn, "over")
	b.until(arn, "STOPPED")
	if conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address); err == nil {
		conn.Close()
		t.Errorf("%s answers after the task stopped", address)
	}
}
