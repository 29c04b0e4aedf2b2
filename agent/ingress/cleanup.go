package ingress

import (
	"errors"
	"os"
	"path/filepath"
)

// Cleanup ends the HAProxy of a directory with all of its connections, and removes the directory. No agent may be running there.
func Cleanup(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c := Config{Dir: dir}
	pid, err := c.number()
	if err == nil && pid != 0 {
		err = family{pid, c.path(configFile)}.stop()
	}
	return errors.Join(err, os.RemoveAll(dir))
}
