package dispatch_test

import (
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"testing"

	berthagent "berth/agent"
	"berth/agent/proto"
)

// TestTheAgentJoinsAndComesBack: the real agent's half of joining against this half.
func TestTheAgentJoinsAndComesBack(t *testing.T) {
	w := newWorld(t)
	cfg := berthagent.Config{
		DataDir: filepath.Join(t.TempDir(), "agent"), Server: "https://" + w.addr, Token: w.token("default", 1),
		Log: slog.New(slog.DiscardHandler),
	}
	id, err := berthagent.Join(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", w.addr, id.TLSConfig())
	if err != nil {
		t.Fatalf("the agent does not trust the server: %v", err)
	}
	_ = conn.Close()
	// The token is used up; what is stored is enough.
	for _, token := range []string{"", cfg.Token} {
		cfg.Token = token
		if _, err := berthagent.Join(t.Context(), cfg); err != nil {
			t.Errorf("second start with token %q: %v", token, err)
		}
	}
	fresh := cfg
	fresh.DataDir = filepath.Join(t.TempDir(), "another")
	if _, err := berthagent.Join(t.Context(), fresh); err == nil {
		t.Error("a second machine joined with a token for one")
	}
	other := newWorld(t)
	fresh.Token = other.token("default", 1)
	if code, body := w.post(nil, proto.PathJoin, w.json(proto.JoinRequest{Token: fresh.Token})); code == 200 {
		t.Errorf("another server's token: %d %s", code, body)
	}
}
