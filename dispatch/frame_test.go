package dispatch

import (
	"encoding/json"
	"testing"
)

// FuzzFrame: whatever a machine sends, decoding ends with one message or an error, and a message encodes again.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"type":"hello","body":{"protocolVersion":1,"cpu":1024,"memory":1024,"ports":["22"]}}`,
		`{"type":"report","body":{"seq":1,"full":true,"tasks":[{"arn":"a","lastStatus":"RUNNING","containers":[{"name":"c","exitCode":1}]}]}}`,
		`{"type":"heartbeat","body":{"revision":3,"impaired":"disk"}}`, `{"type":"close","body":{}}`,
		`{"type":"ingress-report","body":{"seq":1,"revision":2,"full":true,"loopback":"127.128.0.0/22","published":{"app/a/1":"10.0.0.1"},"targets":[{"group":"targetgroup/a/1","target":"i-1:80","since":5,"state":"healthy"}]}}`,
		`{"type":"ingress-report","body":{"seq":1,"loopback":"x","targets":[{"state":"splendid"}]}}`,
		`{"type":"report","body":null}`, `null`, `[]`, `{"type":"hello","body":"x"}`, "", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := decodeFrame(text)
		if err != nil {
			return
		}
		var set []any
		for _, v := range []any{in.hello, in.report, in.heartbeat, in.ingress, in.close} {
			if raw, err := json.Marshal(v); err != nil {
				t.Errorf("%s: %v", text, err)
			} else if string(raw) != "null" {
				set = append(set, v)
			}
		}
		if len(set) != 1 {
			t.Errorf("%s: %d messages", text, len(set))
		}
		if in.ingress != nil && in.ingress.Seq == 0 {
			t.Errorf("%s: an ingress report without number", text)
		}
		if in.report != nil && in.report.Seq == 0 {
			t.Errorf("%s: a report without number", text)
		}
	})
}
