package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"berth/cli"
	"berth/server"
	"berth/supervise"
)

// serverFlags are the flags of the control plane, shared by `berth server` and `berth up`.
type serverFlags struct {
	listen, agentListen, advertise, account string
	devCredentials                          bool
	etcdEndpoints                           []string
	etcdCA, etcdCert, etcdKey               string
	stoppedTaskRetention, heartbeat         time.Duration
}

func (f *serverFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.listen, "listen", fromEnv("BERTH_LISTEN", defaultListen), "address of the API and the registry")
	fs.StringVar(&f.agentListen, "agent-listen", fromEnv("BERTH_AGENT_LISTEN", defaultAgentListen), "address for agents (mutual TLS)")
	fs.StringVar(&f.advertise, "advertise", os.Getenv("BERTH_ADVERTISE"), "host:port under which other machines reach --agent-listen")
	fs.StringVar(&f.account, "account", fromEnv("BERTH_ACCOUNT", server.DefaultAccount), "account of the credentials made at the first start")
	fs.BoolVar(&f.devCredentials, "dev-credentials", os.Getenv("BERTH_DEV_CREDENTIALS") == "true", "take any credentials (loopback only)")
	fs.StringSliceVar(&f.etcdEndpoints, "etcd-endpoints", splitList(os.Getenv("BERTH_ETCD_ENDPOINTS")), "use this etcd cluster instead of the embedded one")
	fs.StringVar(&f.etcdCA, "etcd-ca", os.Getenv("BERTH_ETCD_CA"), "file with the authority of the etcd cluster")
	fs.StringVar(&f.etcdCert, "etcd-cert", os.Getenv("BERTH_ETCD_CERT"), "file with the client certificate for etcd")
	fs.StringVar(&f.etcdKey, "etcd-key", os.Getenv("BERTH_ETCD_KEY"), "file with the client key for etcd")
	fs.DurationVar(&f.stoppedTaskRetention, "stopped-task-retention", 0, "how long stopped tasks stay describable (default 168h)")
	fs.DurationVar(&f.heartbeat, "heartbeat", 0, "time between heartbeats of agents (default 10s)")
	_ = fs.MarkHidden("heartbeat") // for tests: machines are known to be gone sooner
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (f *serverFlags) config(o *options) server.Config {
	region := o.region
	if region == "" {
		region = cli.DefaultRegion
	}
	return server.Config{
		DataDir: o.dataDir, Listen: f.listen, AgentListen: f.agentListen, Advertise: f.advertise,
		Account: f.account, Region: region, DevCredentials: f.devCredentials,
		Etcd:                 server.EtcdConfig{Endpoints: f.etcdEndpoints, CAFile: f.etcdCA, CertFile: f.etcdCert, KeyFile: f.etcdKey},
		StoppedTaskRetention: f.stoppedTaskRetention, Heartbeat: f.heartbeat, Version: version, LocalCluster: o.cluster,
	}
}

func (f *serverFlags) validate() error {
	if err := f.config(&options{}).Validate(); err != nil {
		return &cli.Failure{What: "berth cannot start with these flags", Cause: err.Error(), Fix: "berth up --help", Exit: cli.ExitUsage}
	}
	return nil
}

// args are the flags with which `up` starts its server.
func (f *serverFlags) args(o *options) []string {
	args := []string{"--cluster", o.cluster, "--listen", f.listen, "--agent-listen", f.agentListen, "--account", f.account}
	for flag, value := range map[string]string{
		"--advertise": f.advertise, "--region": o.region, "--etcd-endpoints": strings.Join(f.etcdEndpoints, ","),
		"--etcd-ca": f.etcdCA, "--etcd-cert": f.etcdCert, "--etcd-key": f.etcdKey,
	} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if f.devCredentials {
		args = append(args, "--dev-credentials")
	}
	if f.stoppedTaskRetention != 0 {
		args = append(args, "--stopped-task-retention", f.stoppedTaskRetention.String())
	}
	if f.heartbeat != 0 {
		args = append(args, "--heartbeat", f.heartbeat.String())
	}
	return args
}

func serverCommand(o *options) *cobra.Command {
	f := &serverFlags{}
	var tokenFile string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane alone; machines join it with `berth agent`",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir, err := filepath.Abs(o.dataDir)
			if err != nil {
				return err
			}
			o.dataDir = dataDir
			if err := f.validate(); err != nil {
				return err
			}
			config := f.config(o)
			config.LocalTokenFile = tokenFile
			err = server.Run(cmd.Context(), config, newLog(cmd.ErrOrStderr()))
			if errors.Is(err, server.ErrRefused) {
				cli.Report(cmd.ErrOrStderr(), &cli.Failure{What: err.Error(), Fix: "berth doctor"})
				return exitCode(supervise.ExitRefused)
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&tokenFile, "local-token-file", "", "write a token for an agent on this machine to this file at every start")
	_ = cmd.Flags().MarkHidden("local-token-file")
	return cmd
}
