package ingress

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"berth/agent/proto"
	"berth/elbv2/haproxy"
)

// saved is frame.json: the newest frame, with private keys. Written by: Apply.
type saved struct {
	Instance string `json:"instance"`
	proto.Ingress
	// Claims are the load balancers that have a published address and port, by "address:port".
	Claims map[string]string `json:"claims,omitzero"`
}

// running is running.json: what HAProxy was last made to serve. Written by: keepConfig.
type running struct {
	Digest   string            `json:"digest"` // of the rendered file, before slots were filled in
	Revision uint64            `json:"revision"`
	Backends []haproxy.Backend `json:"backends,omitzero"`
}

func (c Config) readSaved() (s saved, err error) {
	err = readJSON(c.path("frame.json"), &s)
	return s, err
}

func (c Config) writeSaved(s saved) error { return writeJSON(c.path("frame.json"), s) }

func (c Config) readRunning() (r running, err error) {
	err = readJSON(c.path("running.json"), &r)
	return r, err
}

func (c Config) writeRunning(r running) error { return writeJSON(c.path("running.json"), r) }

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeJSON(path string, from any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return writeFile(path, data)
}

// writeFile replaces a file in one step. Only root may read it.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
