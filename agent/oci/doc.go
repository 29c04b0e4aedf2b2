// Package oci runs containers without a container daemon.
//
// An image is pulled by go.podman.io/image into the layer store of go.podman.io/storage, both in this process. A
// container is an overlay mount over the image's layers, an OCI bundle, a conmon process that monitors it, and an
// OCI runtime (runc) that is gone again once the container runs:
//
//	berth agent ──starts──> conmon ──starts──> runc create ──> container's process
//	     │                    │ log file, exit file, oom file        ^
//	     └── opens exec.fifo ─┼──────────────────────────────────────┘ Start
//	                          └ outlives the agent
//
// Nothing here needs the agent to stay alive. What is known of a container is on disk, so a new process that opens
// the same directory adopts everything:
//
//	<dir>/images               layer store
//	<dir>/containers/<id>      bundle: container.json (who it is), config.json, rootfs, upper, work, pidfile, persist
//	<dir>/exits/<id>           exit code, written by conmon
//	<dir>/layers/<id>          writable layer kept by Reset
//	<dir>/runtimes/<name>      the OCI runtime's own state
//
//	          Create                 Start                 process ends
//	(none) ───────────> created ───────────────> running ───────────────> exited
//	   ^                   │                        │                        │
//	   └───────────────────┴──────── Remove ────────┴────────────────────────┘
//
// A container whose monitor was killed has lost its output and its exit code. Its processes are killed and it is
// reported as exited without a known exit code.
//
// Files: config.go opens everything. Images: images.go, sharedpull.go, localimage.go, source.go, transport.go,
// limits.go, pullerror.go, collect.go. File systems: rootfs.go, copyup.go. From a container definition to an OCI
// specification: spec.go, process.go, mounts.go, resources.go, devices.go, security.go, host.go. Running:
// container.go, monitor.go, state.go, exec.go, remove.go, cleanup.go. Holding and killing: cgroup.go, cgroupv1.go,
// cgroupv2.go.
package oci
