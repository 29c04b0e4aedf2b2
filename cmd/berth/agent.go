package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"berth/agent"
	"berth/agent/ingress"
	"berth/agent/oci"
	"berth/agent/proto"
	"berth/agent/vpc"
	"berth/agent/vpc/portproxy"
	"berth/cli"
)

// agentFlags are the flags of an agent, shared by `berth agent` and `berth up`.
type agentFlags struct {
	zone, ociRuntime string
	attributes       []string
	cpu, memory      int32
	egress           bool
	ingress          ingressFlags
}

func (f *agentFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.zone, "zone", os.Getenv("BERTH_ZONE"), "availability zone of this machine (default: the region's first)")
	fs.StringSliceVar(&f.attributes, "attributes", splitList(os.Getenv("BERTH_ATTRIBUTES")), "attributes of this machine, k=v,...")
	fs.Int32Var(&f.cpu, "cpu", 0, "CPU units offered to tasks, 1024 = one core (default: all)")
	fs.Int32Var(&f.memory, "memory", 0, "memory offered to tasks, in MiB (default: the machine's, less a reserve)")
	fs.BoolVar(&f.egress, "egress", true, "let containers open connections to outside this machine")
	fs.StringVar(&f.ociRuntime, "oci-runtime", fromEnv("BERTH_OCI_RUNTIME", "runc"), "runc, or crun on cgroup v2")
	f.ingress.register(fs)
}

// args are the flags with which `up` starts its agent.
func (f *agentFlags) args(o *options) []string {
	args := []string{"--cluster", o.cluster, "--oci-runtime", f.ociRuntime, fmt.Sprintf("--egress=%t", f.egress)}
	if o.region != "" {
		args = append(args, "--region", o.region)
	}
	if f.zone != "" {
		args = append(args, "--zone", f.zone)
	}
	if len(f.attributes) > 0 {
		args = append(args, "--attributes", strings.Join(f.attributes, ","))
	}
	if f.cpu != 0 {
		args = append(args, "--cpu", fmt.Sprint(f.cpu))
	}
	if f.memory != 0 {
		args = append(args, "--memory", fmt.Sprint(f.memory))
	}
	return append(args, f.ingress.args()...)
}

func agentCommand(o *options) *cobra.Command {
	f := &agentFlags{}
	var serverURL, token, tokenFile string
	cmd := &cobra.Command{
		Use:   "agent --server URL --token TOKEN",
		Short: "Make this machine run tasks for a control plane elsewhere",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return &cli.Failure{What: "berth agent needs root", Cause: "it makes namespaces, mounts and control groups", Fix: "run it with sudo", Exit: cli.ExitDenied}
			}
			if serverURL == "" {
				return &cli.Failure{What: "berth agent needs --server", Cause: "without it no control plane is known", Fix: "berth token create, on the machine of the control plane, prints the whole command", Exit: cli.ExitUsage}
			}
			attributes, err := f.validate()
			if err != nil {
				return err
			}
			dataDir, err := filepath.Abs(o.dataDir)
			if err != nil {
				return err
			}
			if tokenFile != "" {
				data, err := os.ReadFile(tokenFile)
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
				token = strings.TrimSpace(string(data))
			}
			log := newLog(cmd.ErrOrStderr())
			config := agent.Config{
				DataDir: filepath.Join(dataDir, "agent"), Server: serverURL, Token: token,
				Cluster: o.cluster, Region: o.region, Zone: f.zone, Attributes: attributes, CPU: f.cpu, Memory: f.memory,
				CgroupRoot: cgroupRoot(dataDir), BerthVersion: version, Log: log,
			}
			err = runAgent(cmd.Context(), config, f, dataDir, log)
			if !joined(dataDir) {
				return leave(cmd.Context(), dataDir, serverURL, err)
			}
			return err
		},
	}
	f.register(cmd)
	fs := cmd.Flags()
	fs.StringVar(&serverURL, "server", os.Getenv("BERTH_SERVER"), "URL of the server's agent listener, https://HOST:4567")
	fs.StringVar(&token, "token", os.Getenv("BERTH_TOKEN"), "token from 'berth token create'; needed once")
	fs.StringVar(&tokenFile, "token-file", "", "file with the token")
	return cmd
}

// validate refuses flags with which no agent could start, and returns the attributes.
func (f *agentFlags) validate() (map[string]string, error) {
	attributes, err := parseAttributes(f.attributes)
	if err != nil {
		return nil, err
	}
	if f.ociRuntime != "runc" && f.ociRuntime != "crun" {
		return nil, &cli.Failure{What: "unknown OCI runtime " + f.ociRuntime, Fix: "--oci-runtime runc", Exit: cli.ExitUsage}
	}
	if program(f.ociRuntime) == "" {
		return nil, &cli.Failure{What: f.ociRuntime + " is not there", Cause: "it is neither beside the berth binary nor on the PATH", Fix: "berth doctor"}
	}
	if err := f.ingress.validate(); err != nil {
		return nil, err
	}
	if f.cpu < 0 || f.memory < 0 {
		return nil, &cli.Failure{What: "--cpu and --memory cannot be negative", Fix: "leave them out to offer all", Exit: cli.ExitUsage}
	}
	return attributes, nil
}

func parseAttributes(list []string) (map[string]string, error) {
	attributes := map[string]string{}
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, &cli.Failure{What: "not an attribute: " + kv, Fix: "--attributes disk=ssd,rack=7", Exit: cli.ExitUsage}
		}
		attributes[k] = v
	}
	return attributes, nil
}

// cgroupRoot is the control group of one data directory's tasks.
func cgroupRoot(dataDir string) string {
	sum := sha256.Sum256([]byte(dataDir))
	return "berth/" + hex.EncodeToString(sum[:4])
}

// program finds what Berth runs beside itself: next to its own binary, or on the PATH.
func program(names ...string) string {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	for _, name := range names {
		for _, dir := range dirs {
			if p := filepath.Join(dir, name); isProgram(p) {
				return p
			}
		}
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// ociConfig describes the containers of a data directory.
func ociConfig(dataDir, runtime string, log *slog.Logger) oci.Config {
	runtimes := map[string]string{}
	for _, name := range []string{"runc", "crun"} {
		if p := program(name); p != "" {
			runtimes[name] = p
		}
	}
	return oci.Config{
		Dir: filepath.Join(dataDir, "agent", "oci"), Conmon: program("conmon"), Runtimes: runtimes, DefaultRuntime: runtime,
		Init: program("tini-static", "tini", "catatonit"), CgroupRoot: cgroupRoot(dataDir), Log: log,
	}
}

// vpcConfig describes the network of a data directory.
func vpcConfig(dataDir string, egress bool, log *slog.Logger) vpc.Config {
	return vpc.Config{Dir: filepath.Join(dataDir, "agent", "vpc"), Egress: egress, Log: log}
}

// agentFile is DIR/run/agent.json: which container instance this machine is. Written by the agent at each welcome.
type agentFile struct {
	ContainerInstanceArn string `json:"containerInstanceArn"`
}

func agentFilePath(dataDir string) string { return filepath.Join(dataDir, "run", "agent.json") }

// localInstance is the ARN of this machine's container instance, or empty if it never was one.
func localInstance(dataDir string) (string, error) {
	data, err := os.ReadFile(agentFilePath(dataDir))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	var f agentFile
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	return f.ContainerInstanceArn, err
}

// clusterOf is the cluster's name in a container instance's ARN.
func clusterOf(instance string) string {
	parts := strings.Split(instance, "/")
	return parts[max(0, len(parts)-2)]
}

// runAgent assembles the agent's parts and runs it until ctx ends.
func runAgent(ctx context.Context, config agent.Config, f *agentFlags, dataDir string, log *slog.Logger) error {
	if err := os.MkdirAll(filepath.Join(dataDir, "run"), 0o700); err != nil {
		return err
	}
	runtime, err := oci.Open(ociConfig(dataDir, f.ociRuntime, log))
	if err != nil {
		return err
	}
	defer runtime.Close()
	network, err := vpc.Open(ctx, vpcConfig(dataDir, f.egress, log))
	if err != nil {
		return err
	}
	defer network.Close()
	log.Info("DNS answers Berth's names on this machine", "resolver", network.Resolver().String()+":53")
	config.Deps = agent.Deps{
		Images: runtime.Images(), Runtime: runtime, Exits: runtime, Execer: runtime, Cgroups: runtime, Network: network, Names: network,
		Endpoints: network,
	}
	if f.ingress.on {
		if config.Deps.Ingress, err = openIngress(dataDir, &f.ingress, network, log); err != nil {
			return err
		}
	}
	config.Welcomed = func(w proto.Welcome, identity *tls.Config) {
		if w.Registry != "" {
			endpoint := oci.RegistryEndpoint{URL: config.Server + proto.PathRegistry, TLSConfig: identity}
			// The registries of AWS accounts are Berth's own too, so that definitions made for AWS run as they are.
			ecr := endpoint
			ecr.KeepHost = true
			err := errors.Join(runtime.Images().SetRegistry(w.Registry, endpoint), runtime.Images().SetRegistry(oci.AnyECR, ecr))
			if err != nil {
				log.Error("the server's registry cannot be used", "err", err)
			}
		}
		data, _ := json.Marshal(agentFile{ContainerInstanceArn: w.ContainerInstanceArn})
		if err := os.WriteFile(agentFilePath(dataDir), data, 0o600); err != nil {
			log.Warn("this machine's instance was not noted", "err", err)
		}
	}
	return agent.Run(ctx, config)
}

// joined tells whether this machine ever became a container instance.
func joined(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "agent", "identity.json"))
	return err == nil
}

// leave takes away the network that was made for tasks of a machine that could not join.
func leave(ctx context.Context, dataDir, serverURL string, cause error) error {
	ended := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), processWait)
	defer cancel()
	left := cleanUp(ctx, dataDir)
	if cause == nil || ended {
		return left
	}
	return &cli.Failure{
		What: "this machine did not join " + serverURL, Cause: errors.Join(cause, left).Error(),
		Fix: "berth token create, on the machine of the control plane, prints the whole command",
	}
}

// cleanUp removes what agents of a data directory left on the machine: containers, mounts, control groups, links,
// namespaces, rules, helper processes.
func cleanUp(ctx context.Context, dataDir string) error {
	log := slog.New(slog.DiscardHandler)
	var errs []error
	if _, err := os.Stat(filepath.Join(dataDir, "agent", "oci")); err == nil {
		runtime, err := oci.Open(ociConfig(dataDir, "", log))
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return &cli.Failure{What: "an agent still runs here", Cause: err.Error(), Fix: "end it, with Ctrl-C or systemctl stop, then: berth down --data-dir " + dataDir}
		}
		if err == nil {
			err = errors.Join(runtime.Cleanup(ctx), runtime.Close())
		}
		errs = append(errs, err)
	}
	errs = append(errs, agent.CleanUp(filepath.Join(dataDir, "agent")))
	if _, err := os.Stat(ingressDir(dataDir)); err == nil {
		errs = append(errs, ingress.Cleanup(ingressDir(dataDir))) // before the network: a process keeps its namespace
	}
	if _, err := os.Stat(filepath.Join(dataDir, "agent", "vpc")); err == nil {
		errs = append(errs, vpc.Cleanup(ctx, vpcConfig(dataDir, false, log)))
	}
	return errors.Join(errs...)
}

// portProxyCommand is run by the agent and outlives it: it holds the published ports of this machine.
func portProxyCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "port-proxy", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return portproxy.Run(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the network")
	return cmd
}

// pauseCommand is run by the agent and outlives it: it holds namespaces that containers of one task share.
func pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pause", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return agent.Pause() },
	}
}
