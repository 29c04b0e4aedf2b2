package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	own "berth/api/berth"
	"berth/aws"
	"berth/ecs"
	"berth/elbv2"
	"berth/store"
)

// backupLife is how long the path of a backup works.
const backupLife = time.Minute

// ownService answers Berth's own operations.
type ownService struct {
	s *Server

	// mu guards backups: when the key of a backup that was started, and not yet read, stops working.
	mu      sync.Mutex
	backups map[string]time.Time
}

// GetStatus is the health of every part, and the machines of the caller's account and region.
func (o *ownService) GetStatus(ctx context.Context, _ *own.GetStatusRequest) (*own.GetStatusResponse, error) {
	caller := aws.CallerFrom(ctx)
	out := &own.GetStatusResponse{Version: o.s.config.Version, Account: caller.Account, Region: caller.Region, Parts: o.s.parts(ctx)}
	r := o.s.store.Read()
	prefix := caller.Account + "/" + caller.Region + "/"
	for c := range ecs.Clusters.Prefix(r, prefix) {
		for _, b := range ecs.Brakes(r, c.Key()) {
			out.Notices = append(out.Notices, fmt.Sprintf("cluster %s: %s.", b.Cluster, b.Text()))
		}
	}
	written := uint64(elbv2.Written(r, caller.Account, caller.Region))
	for c := range ecs.ContainerInstances.Prefix(r, prefix) {
		if c.Status == ecs.InstanceInactive {
			continue
		}
		counts := ecs.CountTasks(r, c.Key())
		ingress, _ := elbv2.Ingresses.Get(r, c.ARN().String())
		out.Machines = append(out.Machines, own.Machine{
			Arn: c.ARN().String(), Cluster: c.Cluster, Zone: ecs.ZoneOf(r, c), Status: c.Status.String(), Connected: c.Connected,
			LastSeen: cmp.Or(c.Silent, c.LastSeen).Time(), LostAt: o.s.ecs.LostAt(r, c), Impaired: c.Impaired, Running: counts.Running, Pending: counts.Pending,
			Hindered: ingress.Problem, Behind: ingress.Problem != "" && ingress.Revision < written,
			CPUTotal: c.CPU, CPUFree: c.CPU - c.Used.CPU, MemoryTotal: c.Memory, MemoryFree: c.Memory - c.Used.Memory,
		})
		out.Tasks.Running += counts.Running
		out.Tasks.Pending += counts.Pending
		out.Tasks.Stopping += counts.Stopping
	}
	return out, nil
}

// probe is a record that status writes, to see whether a write can be acknowledged.
type probe struct {
	Name string    `json:"n"`
	At   time.Time `json:"at"`
}

var probes = store.NewTable("server/probe", func(p probe) string { return p.Name })

// Bounds of the status.
const (
	probeWait = 5 * time.Second
	// lowDisk is the free space below which the log store and the image store begin to refuse.
	lowDisk = 256 << 20
)

// parts asks each part of the control plane whether it works.
func (s *Server) parts(ctx context.Context) []own.Part {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	now := time.Now().UTC()
	writeErr := s.store.Update(ctx, func(tx *store.Tx) error { probes.Put(tx, probe{Name: "status", At: now}); return nil })
	_, registryErr := os.Stat(s.config.path("registry"))
	var stuck []string
	for _, r := range s.loop.Stats() {
		for _, key := range r.Quarantined {
			stuck = append(stuck, r.Name+" "+key)
		}
	}
	var stuckErr error
	if len(stuck) > 0 {
		stuckErr = fmt.Errorf("left alone after panics: %s", strings.Join(stuck, ", "))
	}
	return []own.Part{
		part("api", s.api.Addr().String(), nil),
		part("store", fmt.Sprintf("revision %d", s.store.Read().Revision()), writeErr),
		part("registry", s.ecr.Host(), registryErr),
		part("agents", fmt.Sprintf("%s, %d sessions", s.agents.Addr(), s.dispatch.Sessions()), nil),
		part("reconcilers", fmt.Sprintf("%d run", len(s.loop.Stats())), stuckErr),
		s.metricsPart(),
		s.disk(),
	}
}

// metricsPart says what is kept of load balancers' numbers, and how many samples were not kept since the start.
func (s *Server) metricsPart() own.Part {
	st := s.samples.Status()
	detail := fmt.Sprintf("%d series", st.Series)
	if !st.Newest.IsZero() {
		detail += ", newest minute " + st.Newest.Format("15:04Z")
	}
	if dropped := st.Dropped + s.dispatch.DroppedSamples(); dropped > 0 {
		detail += fmt.Sprintf(", %d samples dropped", dropped)
	}
	return part("metrics", detail, st.Err)
}

func part(name, detail string, err error) own.Part {
	if err != nil {
		return own.Part{Name: name, Detail: err.Error()}
	}
	return own.Part{Name: name, Healthy: true, Detail: detail}
}

func (s *Server) disk() own.Part {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.config.DataDir, &fs); err != nil {
		return part("disk", "", err)
	}
	free := int64(fs.Bavail) * fs.Bsize
	if free < lowDisk {
		return part("disk", "", fmt.Errorf("%d MiB free, at least %d are needed", free>>20, int64(lowDisk)>>20))
	}
	return part("disk", fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30)), nil)
}

// CreateJoinToken makes a token with which machines join a cluster of the caller's account and region.
func (o *ownService) CreateJoinToken(ctx context.Context, in *own.CreateJoinTokenRequest) (*own.CreateJoinTokenResponse, error) {
	ttl := time.Duration(in.TTLSeconds) * time.Second
	if ttl < 0 || ttl > 24*time.Hour {
		return nil, aws.Errorf("InvalidParameterException", "ttlSeconds must be between 1 and 86400.")
	}
	if in.Uses < 0 || in.Uses > 1000 {
		return nil, aws.Errorf("InvalidParameterException", "uses must be between 1 and 1000.")
	}
	caller := aws.CallerFrom(ctx)
	token, expires, err := o.s.createToken(ctx, caller, in.Cluster, ttl, in.Uses)
	if err != nil {
		return nil, err
	}
	server := o.s.config.Advertise
	if server == "" {
		server = o.s.agents.Addr().String()
	}
	return &own.CreateJoinTokenResponse{Token: token, Server: server, Expires: expires}, nil
}

// StartBackup allows one reading of a snapshot.
func (o *ownService) StartBackup(context.Context, *own.StartBackupRequest) (*own.StartBackupResponse, error) {
	if o.s.etcd == nil {
		return nil, aws.Errorf("InvalidParameterException", "This control plane keeps everything in memory; there is nothing to back up.")
	}
	key, now := aws.NewHexID()+aws.NewHexID(), time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, until := range o.backups {
		if now.After(until) {
			delete(o.backups, k)
		}
	}
	o.backups[key] = now.Add(backupLife)
	return &own.StartBackupResponse{Path: own.PathBackup + key}, nil
}

// serveBackup answers the path of StartBackup, once.
func (o *ownService) serveBackup(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, own.PathBackup)
	o.mu.Lock()
	until, ok := o.backups[key]
	delete(o.backups, key)
	o.mu.Unlock()
	if !ok || time.Now().After(until) {
		http.Error(w, "no such backup", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if _, _, err := o.s.etcd.Backup(r.Context(), w); err != nil {
		o.s.log.Error("backup failed", "err", err)
		panic(http.ErrAbortHandler) // so that the reader sees that the file is not whole
	}
}

func serveReady(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// inUse says whether a task that is not stopped runs an image with this digest.
func (s *Server) inUse(digest string) bool { return ecs.ImageInUse(s.store.Read(), digest) }
