package oci

import (
	"os/exec"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"berth/agent"
	api "berth/api/ecs"
	"berth/aws"
)

// Shares of a container's processor time. Source: specification 6.2, cpu.
const (
	minShares = 2
	maxShares = 262144
)

func (r *Runtime) resources(c agent.Container) (*specs.LinuxResources, error) {
	def := c.Definition
	shares := uint64(min(maxShares, max(minShares, int(aws.Value(def.Cpu)))))
	res := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}, Memory: &specs.LinuxMemory{}}
	if m := aws.Value(def.Memory); m > 0 {
		res.Memory.Limit = new(int64(m) << 20)
	}
	if m := aws.Value(def.MemoryReservation); m > 0 {
		res.Memory.Reservation = new(int64(m) << 20)
	}
	return res, r.swap(res.Memory, def)
}

// swap applies maxSwap and swappiness. On a machine without swap both hold by themselves.
func (r *Runtime) swap(m *specs.LinuxMemory, def api.ContainerDefinition) error {
	p := def.LinuxParameters
	if p == nil || p.MaxSwap == nil || !r.host.swap {
		return nil
	}
	if m.Limit == nil {
		return createError("maxSwap needs memory to be set")
	}
	v1, isV1 := r.cgroups.(*cgroupV1)
	if isV1 {
		if _, err := filepath.EvalSymlinks(filepath.Join(v1.controllers["memory"], "memory.memsw.limit_in_bytes")); err != nil {
			return createError("maxSwap needs swap accounting, which this machine's kernel does not have: boot with swapaccount=1")
		}
	}
	m.Swap = new(*m.Limit + int64(*p.MaxSwap)<<20)
	if p.Swappiness != nil && isV1 {
		m.Swappiness = new(uint64(*p.Swappiness))
	}
	return nil
}

// gpuHook is the program of NVIDIA's container toolkit that puts devices and libraries into a container.
const gpuHook = "nvidia-container-runtime-hook"

// gpus shows the devices to the container through NVIDIA's hook.
func (r *Runtime) gpus(s *specs.Spec, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	hook, err := exec.LookPath(gpuHook)
	if err != nil {
		return createError("GPUs need %s on this machine: install the NVIDIA container toolkit", gpuHook)
	}
	s.Process.Env = append(s.Process.Env, "NVIDIA_VISIBLE_DEVICES="+strings.Join(ids, ","))
	s.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: hook, Args: []string{hook, "prestart"}, Env: []string{"PATH=" + defaultPath}}}} //nolint:staticcheck // the hook knows no other
	return nil
}
