package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DefaultDataDir is where Berth keeps everything when no --data-dir is given.
const DefaultDataDir = "/var/lib/berth"

// DefaultRegion is the region of a Berth that was not told another one.
const DefaultRegion = "us-east-1"

// Connection says where a Berth answers and as whom to call it.
type Connection struct {
	Endpoint        string `json:"AWS_ENDPOINT_URL"`
	AccessKeyID     string `json:"AWS_ACCESS_KEY_ID"`
	SecretAccessKey string `json:"AWS_SECRET_ACCESS_KEY"`
	SessionToken    string `json:"AWS_SESSION_TOKEN,omitzero"`
	Region          string `json:"AWS_REGION"`
	DataDir         string `json:"-"` // empty when AWS_ENDPOINT_URL named the endpoint
}

// Credentials is the file "credentials" of a data directory, mode 0600. Written by the server at its first start.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	Region          string `json:"region"`
}

// RunFile is the file "run/server.json" of a data directory: how the running server is reached. Written by the
// server when it listens.
type RunFile struct {
	PID         int    `json:"pid"`
	Listen      string `json:"listen"`      // host:port of the API
	AgentListen string `json:"agentListen"` // host:port for agents
}

// RunFilePath and CredentialsPath name those files.
func RunFilePath(dataDir string) string     { return filepath.Join(dataDir, "run", "server.json") }
func CredentialsPath(dataDir string) string { return filepath.Join(dataDir, "credentials") }

// ReadRunFile reads how the server of a data directory is reached. fs.ErrNotExist means that none was started.
func ReadRunFile(dataDir string) (RunFile, error) {
	var f RunFile
	return f, readJSON(RunFilePath(dataDir), &f)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// Connect finds the Berth to talk to: the data directory when it was given, else the AWS variables, else the
// default data directory. region overrides the region when it is not empty.
func Connect(dataDir string, given bool, region string) (Connection, error) {
	var (
		c   Connection
		err error
	)
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" && !given {
		c = Connection{
			Endpoint:        strings.TrimSuffix(endpoint, "/"),
			AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
			Region:          firstOf(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), DefaultRegion),
		}
		if c.AccessKeyID == "" || c.SecretAccessKey == "" {
			return c, &Failure{
				What:  "no credentials",
				Cause: "AWS_ENDPOINT_URL is set but AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not",
				Fix:   `eval "$(berth env)"`,
			}
		}
	} else if c, err = Local(dataDir); err != nil {
		return c, err
	}
	if region != "" {
		c.Region = region
	}
	return c, nil
}

// Local connects to the Berth of a data directory on this machine.
func Local(dataDir string) (Connection, error) {
	run, err := ReadRunFile(dataDir)
	if err != nil {
		return Connection{}, notHere(dataDir, err)
	}
	var cred Credentials
	if err := readJSON(CredentialsPath(dataDir), &cred); err != nil {
		return Connection{}, notHere(dataDir, err)
	}
	return Connection{
		Endpoint:        "http://" + run.Listen,
		AccessKeyID:     cred.AccessKeyID,
		SecretAccessKey: cred.SecretAccessKey,
		Region:          firstOf(cred.Region, DefaultRegion),
		DataDir:         dataDir,
	}, nil
}

func notHere(dataDir string, err error) error {
	fix := "berth up --detach --data-dir " + dataDir
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Failure{What: "cannot read " + dataDir, Cause: err.Error(), Fix: "run this command as root", Exit: ExitDenied}
	case errors.Is(err, fs.ErrNotExist):
		return &Failure{What: "no Berth here", Cause: "nothing was started with the data directory " + dataDir, Fix: fix, Exit: ExitNotFound}
	}
	return &Failure{What: "no Berth here", Cause: err.Error(), Fix: fix}
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
