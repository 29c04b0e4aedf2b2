package ecs

import (
	"testing"

	api "berth/api/ecs"
	"berth/elbv2"
)

func TestTheHostPortOfATarget(t *testing.T) {
	task := Task{Containers: []TaskContainer{{Name: "side"}, {Name: "app", Ports: []Binding{
		{HostPort: 4000, ContainerPort: 80, Count: 1, Protocol: "udp"}, {HostPort: 5000, ContainerPort: 80, Count: 1, Protocol: "tcp"},
		{HostPort: 6000, ContainerPort: 8000, Count: 10, Range: true, Protocol: "tcp"},
	}}}}
	for _, row := range []struct {
		name     string
		mode     api.NetworkMode
		protocol string
		port     int32
		want     int32
	}{
		{"what the machine reports", "", "HTTP", 80, 5000},
		{"UDP has its own", "bridge", "UDP", 80, 4000},
		{"inside a range", "bridge", "TCP", 8003, 6003},
		{"not reported", "bridge", "HTTP", 81, 0},
		{"host mode", "host", "HTTP", 81, 81},
	} {
		g := elbv2.TargetGroup{}
		switch row.protocol {
		case "UDP":
			g.Protocol = "UDP"
		default:
			g.Protocol = "HTTP"
		}
		b := api.LoadBalancer{ContainerName: new("app"), ContainerPort: new(row.port)}
		if got := task.hostPort(&api.TaskDefinition{NetworkMode: row.mode}, b, g); got != row.want {
			t.Errorf("%s: got %d, want %d", row.name, got, row.want)
		}
	}
}

// Two updates in a row, and a rollback to a deployment with other load balancers: each deployment has its own.
func TestARollbackBringsTheOldLoadBalancersBack(t *testing.T) {
	w, web := newBalancedWorld(t, 2, `,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true}}`)
	w.play(3, "web", always("healthy"))
	other := w.group("other", true)
	w.update(`{"service":"web","taskDefinition":"web:2","loadBalancers":[` + entry(other) + `]}`)
	if got := w.service("web").LoadBalancers; len(got) != 1 || *got[0].TargetGroupArn != string(other.ARN()) {
		t.Errorf("in the deployment: %+v", got)
	}
	w.play(20, "web", func(t Task) string {
		if t.Revision == 2 {
			return "unhealthy"
		}
		return "healthy"
	})
	w.want("web", "ACTIVE 2/2/0 PRIMARY web:1 COMPLETED 2/0 failed=0")
	if got := w.service("web").LoadBalancers; len(got) != 1 || *got[0].TargetGroupArn != string(web.ARN()) {
		t.Errorf("after the rollback: %+v", got)
	}
	for _, target := range targets(w) {
		if target.Group != web.Key() {
			t.Errorf("target %s is left", target.Key())
		}
	}
}
