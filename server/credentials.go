package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"berth/iam"
	"berth/store"
)

// credentialsFile is the form of DIR/credentials, which `berth env` reads.
type credentialsFile struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	Region          string `json:"region"`
}

// writeCredentials makes the root key of the account, if there is none, and puts it into DIR/credentials, mode 0600.
// It appears nowhere else.
func writeCredentials(ctx context.Context, st *store.Store, c Config) error {
	key, err := iam.EnsureRootKey(ctx, st, c.Account, time.Now())
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(c.DataDir, "credentials"), credentialsFile{
		AccessKeyID: key.ID, SecretAccessKey: string(key.Secret), Region: c.Region,
	})
}

// pageKey is the key that page tokens are sealed with. It outlives restarts, so that a client may go on paging.
func pageKey(c Config) ([]byte, error) {
	path := c.path("page-key")
	key, err := os.ReadFile(path)
	if err == nil && len(key) == 32 {
		return key, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the key of page tokens: %w", err)
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return key, writeFile(path, key)
}

func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

// writeFile replaces a file as a whole, mode 0600: a reader sees the old content or the new one.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
