package ecs

import (
	"encoding/json"
	"testing"

	api "berth/api/ecs"
	"berth/aws"
)

// FuzzRegisterTaskDefinition: no input panics, and the normal form of what is accepted is accepted and stays as it is.
func FuzzRegisterTaskDefinition(f *testing.F) {
	f.Add([]byte(webDefinition))
	f.Add([]byte(`{"family":"f","networkMode":"awsvpc","cpu":".5 vCPU","memory":"1 GB","containerDefinitions":[{"name":"a","image":"r.io:5000/x/y:1@sha256:00",
		"dependsOn":[{"containerName":"b","condition":"HEALTHY"}]},{"name":"b","image":"i","essential":false,"healthCheck":{"command":["CMD","x"]},
		"portMappings":[{"containerPortRange":"1-2"}],"ulimits":[{"name":"cpu","softLimit":1,"hardLimit":2}],"linuxParameters":{"tmpfs":[{"containerPath":"/t","size":1}]}}]}`))
	f.Add([]byte(`{"family":"f","volumes":[{"name":"v","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true}}],"containerDefinitions":[{"name":"a",
		"image":"i","memory":9,"links":["a:b"],"volumesFrom":[{"sourceContainer":"a"}],"mountPoints":[{"sourceVolume":"v","containerPath":"/v"}],
		"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"r"}},"systemControls":[{"namespace":"net.x","value":"1"}]}]}`))
	caller := aws.RootCaller(testAccount, testRegion, "X")
	f.Fuzz(func(t *testing.T, data []byte) {
		var in api.RegisterTaskDefinitionRequest
		if json.Unmarshal(data, &in) != nil {
			return
		}
		d, _, err := newDefinition(caller, &in)
		if err != nil {
			return
		}
		raw := show(d)
		var again api.RegisterTaskDefinitionRequest
		if err := json.Unmarshal([]byte(raw), &again); err != nil {
			t.Fatal(err)
		}
		again.Family = in.Family
		second, _, err := newDefinition(caller, &again)
		if err != nil || show(second) != raw {
			t.Errorf("%s\nagain: %v\n%s", raw, err, show(second))
		}
	})
}

// FuzzDefinitionRef: a reference that is accepted names what it says.
func FuzzDefinitionRef(f *testing.F) {
	for _, s := range []string{"web", "web:1", "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:1", "web:", ":1", "web:01", "web:-1", "a/b:2"} {
		f.Add(s)
	}
	caller := aws.RootCaller(testAccount, testRegion, "X")
	f.Fuzz(func(t *testing.T, s string) {
		ref, ok := parseDefinitionRef(caller, s)
		if ok && (!namePattern.MatchString(ref.family) || ref.hasRevision != (ref.revision > 0)) {
			t.Errorf("%q: %+v", s, ref)
		}
	})
}

// FuzzMemberID: an ID that is accepted has 32 hexadecimal digits.
func FuzzMemberID(f *testing.F) {
	for _, s := range []string{"0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef", "arn:aws:ecs:eu-west-1:111122223333:task/c/0123456789abcdef0123456789abcdef"} {
		f.Add(s)
	}
	caller := aws.RootCaller(testAccount, testRegion, "X")
	f.Fuzz(func(t *testing.T, s string) {
		if _, id, ok := memberID(caller, "task", s); ok && !idPattern.MatchString(id) {
			t.Errorf("%q: %q", s, id)
		}
	})
}
