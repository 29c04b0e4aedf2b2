package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"berth/agent/ingress"
	"berth/cli"
)

// ingressFlags say whether and how this machine carries load balancers' traffic.
type ingressFlags struct {
	on      bool
	publish []string
	// addresses are those of publish. Written by: validate.
	addresses []netip.Addr
}

// register defines the flags. A machine with haproxy carries traffic unless told otherwise.
func (f *ingressFlags) register(fs *pflag.FlagSet) {
	on, err := strconv.ParseBool(os.Getenv("BERTH_INGRESS"))
	if err != nil {
		on = haproxyProgram() != ""
	}
	fs.BoolVar(&f.on, "ingress", on, "carry load balancers' traffic on this machine (default: if haproxy is installed)")
	fs.StringSliceVar(&f.publish, "ingress-publish", splitList(os.Getenv("BERTH_INGRESS_PUBLISH")),
		"addresses of this machine at which load balancers that face the internet answer too")
}

func (f *ingressFlags) validate() error {
	if f.on && haproxyProgram() == "" {
		return &cli.Failure{What: "haproxy is not there", Cause: "--ingress needs it, and it is neither beside the berth binary nor on the PATH", Fix: "apt-get install -y haproxy, or --ingress=false"}
	}
	f.addresses = nil
	for _, text := range f.publish {
		a, err := netip.ParseAddr(text)
		if err != nil || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() {
			return &cli.Failure{What: "not an address to publish at: " + text, Fix: "--ingress-publish 192.0.2.10, with an address that this machine has", Exit: cli.ExitUsage}
		}
		f.addresses = append(f.addresses, a)
	}
	if len(f.addresses) > 0 && !f.on {
		return &cli.Failure{What: "--ingress-publish needs --ingress", Cause: "this machine carries no load balancers' traffic", Fix: "leave --ingress-publish out, or give --ingress", Exit: cli.ExitUsage}
	}
	return nil
}

// args are the flags with which `up` starts its agent.
func (f *ingressFlags) args() []string {
	args := []string{fmt.Sprintf("--ingress=%t", f.on)}
	if len(f.publish) > 0 {
		args = append(args, "--ingress-publish", strings.Join(f.publish, ","))
	}
	return args
}

// haproxyProgram finds haproxy also where only root has its PATH.
func haproxyProgram() string {
	if p := program("haproxy"); p != "" {
		return p
	}
	for _, p := range []string{"/usr/sbin/haproxy", "/usr/local/sbin/haproxy"} {
		if isProgram(p) {
			return p
		}
	}
	return ""
}

func ingressDir(dataDir string) string { return filepath.Join(dataDir, "agent", "ingress") }

func openIngress(dataDir string, f *ingressFlags, network ingress.Network, log *slog.Logger) (*ingress.Ingress, error) {
	return ingress.Open(ingress.Config{Dir: ingressDir(dataDir), Program: haproxyProgram(), Network: network, Publish: f.addresses, Log: log})
}
