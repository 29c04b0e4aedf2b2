package agent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	ecs "berth/api/ecs"
	"berth/aws"
)

// etcFiles are the files that a container sees as /etc/hosts, /etc/resolv.conf and /etc/hostname.
type etcFiles struct {
	dir                  string
	hostname             string
	hosts, resolv, named []byte
}

func (f etcFiles) write() error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for name, text := range map[string][]byte{"hosts": f.hosts, "resolv.conf": f.resolv, "hostname": f.named} {
		// Not replaced by renaming: a restarted container has the file itself mounted.
		errs = append(errs, os.WriteFile(filepath.Join(f.dir, name), text, 0o644))
	}
	return errors.Join(errs...)
}

// hostName is 12 hexadecimal digits, another for each container, as Docker's are.
func hostName(containerID string) string {
	sum := sha256.Sum256([]byte(containerID))
	return hex.EncodeToString(sum[:6])
}

// etcFiles makes the container's files. The linked containers have been started, so their addresses are known.
func (t *task) etcFiles(dir string, c *container) (etcFiles, error) {
	def := t.definition(c.Name)
	f := etcFiles{dir: dir, hostname: aws.Value(def.Hostname)}
	mode := t.networkMode(c.Name)
	if f.hostname == "" {
		f.hostname = hostName(c.ID)
		if mode == ecs.NetworkModeHost {
			f.hostname, _ = os.Hostname()
		}
	}
	f.named = []byte(f.hostname + "\n")
	hosts := &bytes.Buffer{}
	hosts.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	if c.Net != nil && c.Net.IPv4 != "" {
		fmt.Fprintf(hosts, "%s\t%s\n", c.Net.IPv4, f.hostname)
	} else if mode == ecs.NetworkModeHost {
		fmt.Fprintf(hosts, "127.0.1.1\t%s\n", f.hostname)
	}
	for _, h := range def.ExtraHosts {
		fmt.Fprintf(hosts, "%s\t%s\n", aws.Value(h.IpAddress), aws.Value(h.Hostname))
	}
	for _, link := range def.Links {
		name, alias, _ := strings.Cut(link, ":")
		on := t.container(name)
		if on == nil || on.Net == nil || on.Net.IPv4 == "" {
			return f, fmt.Errorf("link %s: the container has no address", link)
		}
		names := name
		if alias != "" && alias != name {
			names = alias + " " + name
		}
		fmt.Fprintf(hosts, "%s\t%s\n", on.Net.IPv4, names)
	}
	if mode == ecs.NetworkModeBridge {
		for _, h := range t.Want.Hosts {
			fmt.Fprintf(hosts, "%s\t%s\n", h.Address, h.Name)
		}
	}
	f.hosts = hosts.Bytes()
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	f.resolv = resolvConf(def, c.Net, host)
	return f, nil
}

// resolvConf is the container's: its own servers and search domains where it names them, else those that its
// network can reach, else the machine's.
func resolvConf(def *ecs.ContainerDefinition, network *NetworkResult, host []byte) []byte {
	servers, search := def.DnsServers, def.DnsSearchDomains
	if len(servers) == 0 && network != nil {
		servers = network.DNS
	}
	var own []string
	var options string
	for s := bufio.NewScanner(bytes.NewReader(host)); s.Scan(); {
		words := strings.Fields(s.Text())
		switch {
		case len(words) < 2:
		case words[0] == "nameserver":
			own = append(own, words[1])
		case words[0] == "search" && len(search) == 0:
			search = words[1:]
		case words[0] == "options":
			options = s.Text()
		}
	}
	if len(servers) == 0 {
		servers = own
	}
	out := &bytes.Buffer{}
	for _, s := range servers {
		if _, err := netip.ParseAddr(s); err == nil {
			fmt.Fprintf(out, "nameserver %s\n", s)
		}
	}
	if len(search) > 0 {
		fmt.Fprintf(out, "search %s\n", strings.Join(search, " "))
	}
	if options != "" {
		fmt.Fprintln(out, options)
	}
	return out.Bytes()
}

// stopSignal reads an image's STOPSIGNAL: a name with or without SIG, or a number. What is not known is SIGTERM.
func stopSignal(s string) unix.Signal {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65 {
		return unix.Signal(n)
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n, ok := strings.CutPrefix(name, "SIGRTMIN+"); ok {
		if k, err := strconv.Atoi(n); err == nil && k >= 0 && k <= 30 {
			return unix.Signal(34 + k)
		}
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig
	}
	return unix.SIGTERM
}
