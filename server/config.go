package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config of the control plane. Zero values work, except for DataDir.
type Config struct {
	// DataDir holds everything: credentials, run/, server/.
	DataDir string
	// Listen is host:port of the API and the registry. AgentListen is host:port for agents, with mutual TLS.
	Listen, AgentListen string
	// Advertise is the host:port under which agents on other machines reach AgentListen. Default: AgentListen.
	Advertise string
	// Account and Region are those of the credentials that are made at the first start.
	Account, Region string
	// DevCredentials takes any credentials; only on loopback.
	DevCredentials bool
	// LocalTokenFile, when set, receives a token for an agent on this machine at every start, mode 0600.
	LocalTokenFile string
	// LocalCluster is the cluster that the token lets it join. Default "default".
	LocalCluster string
	// Etcd names an external cluster; empty means the embedded one.
	Etcd EtcdConfig
	// StoppedTaskRetention is how long stopped tasks stay describable. Default 7 days.
	StoppedTaskRetention time.Duration
	// Heartbeat is the time between an agent's heartbeats; three missing ones make it disconnected. Default 10 s.
	Heartbeat time.Duration
	// Version is shown by status.
	Version string
}

// EtcdConfig reaches an external etcd cluster.
type EtcdConfig struct {
	Endpoints                 []string
	CAFile, CertFile, KeyFile string
}

// DefaultAccount is the account of a Berth that was not told another one.
const DefaultAccount = "000000000000"

// Validate says which flag is wrong and how to mend it.
func (c Config) Validate() error {
	for flag, address := range map[string]string{"--listen": c.Listen, "--agent-listen": c.AgentListen} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%s %q is not host:port: %w", flag, address, err)
		}
	}
	if c.DevCredentials && !loopback(c.Listen) {
		return fmt.Errorf("--dev-credentials takes any credentials, so --listen must be a loopback address, not %s", c.Listen)
	}
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return fmt.Errorf("--account %q is not 12 digits", c.Account)
	}
	e := c.Etcd
	if len(e.Endpoints) == 0 && (e.CAFile != "" || e.CertFile != "" || e.KeyFile != "") {
		return fmt.Errorf("--etcd-ca, --etcd-cert and --etcd-key go with --etcd-endpoints")
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		return fmt.Errorf("--etcd-cert and --etcd-key go together")
	}
	return nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (c Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.DataDir, "server"}, parts...)...)
}

// tls is how an external etcd is reached, or nil where no authority and no certificate is named.
func (e EtcdConfig) tls() (*tls.Config, error) {
	if e.CAFile == "" && e.CertFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read --etcd-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--etcd-ca %s has no PEM certificate", e.CAFile)
		}
	}
	if e.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read --etcd-cert and --etcd-key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
