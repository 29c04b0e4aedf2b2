package vpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"berth/agent/vpc/portproxy"
)

// Cleanup removes everything that agents of cfg.Dir made: port proxy, rules, links, namespaces, files; the last agent
// of the machine puts ip_forward back. The agent must have ended, and its containers too, for a process keeps its
// namespace. It works on after an error and returns all of them. What is not there is no error. The calling thread must
// be in the namespace in which the agent ran.
func Cleanup(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	var errs []error
	if _, err := os.Stat(cfg.Dir); err == nil {
		errs = append(errs, portproxy.NewClient(cfg.Dir).Stop(ctx))
	}
	main, err := currentNamespace()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer main.Close()
	errs = append(errs, removeFrame(cfg, main))
	entries, err := os.ReadDir(cfg.path("ns"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		errs = append(errs, removeNamespace(cfg.path("ns", e.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up network of %s: %w", cfg.Dir, err)
	}
	return removeFiles(cfg)
}

func removeFrame(cfg Config, main *namespace) error {
	errs := []error{main.nft.remove(hostTablePrefix + cfg.runID()), main.nft.remove(cfg.hostFlowTable())}
	f, found, err := readFabric(cfg)
	errs = append(errs, err)
	was := f.ForwardWas
	if link, err := main.nl.LinkByName(cfg.uplinkName()); err == nil {
		if !found {
			was, _ = strings.CutPrefix(link.Attrs().Alias, aliasPrefix)
		}
		errs = append(errs, deleteLink(main, cfg.uplinkName()))
	}
	if was == "0" || was == "1" {
		errs = append(errs, restoreForward(main, was))
	}
	return errors.Join(errs...)
}

// restoreForward puts ip_forward back unless another agent of the machine needs it.
func restoreForward(main *namespace, was string) error {
	links, err := main.nl.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Alias, aliasPrefix) {
			return nil
		}
	}
	return main.run(func() error { return writeSysctl("net.ipv4.ip_forward", was) })
}

func removeFiles(cfg Config) error {
	var errs []error
	for _, name := range []string{
		"ns", "containers", "network.json", "network.json.new", "balancers.json", "balancers.json.new", "names.json", "names.json.new", "proxy.json", "proxy.json.new", "proxy.sock", "proxy.lock", "proxy.log",
	} {
		errs = append(errs, os.RemoveAll(cfg.path(name)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up network files of %s: %w", cfg.Dir, err)
	}
	if err := os.Remove(cfg.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clean up network files: %w", err)
	}
	return nil
}
