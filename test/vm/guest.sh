#!/bin/bash
# The first process of the virtual machine made by run.sh, or (with "tests") what is run in it.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
# shellcheck disable=SC1091
. /src/settings

layout() { sed -nE 's/.*layout=([a-z]+).*/\1/p' /proc/cmdline; }

tests() {
  ip link set lo up
  modprobe tun
  echo "VM: layout $(layout), kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup) with $(cat /sys/fs/cgroup/cgroup.controllers)"
  echo "VM: this is in $(cat /proc/self/cgroup), below the root are $(cat /sys/fs/cgroup/cgroup.subtree_control)"
  /src/bin/berth doctor || true
  failed=
  for runtime in $runtimes; do
    export BERTH_OCI_RUNTIME=$runtime
    for dir in agent/oci test/e2e; do
      pattern=$oci
      [[ $dir == test/e2e ]] && pattern=$e2e
      echo "VM: $dir with $runtime"
      (cd /src/$dir && ./run.test -test.v -test.short -test.timeout 30m -test.run "$pattern" -test.skip 'Image|Pull|Registry|Layer|Fuzz') 2>&1 | grep --line-buffered -vE '^=== '
      ((PIPESTATUS[0] == 0)) || failed+=" $dir:$runtime"
    done
  done
  left=$(find /sys/fs/cgroup -type d -name 'berth*')
  [[ -z $left ]] || failed+=" groups:$left"
  [[ $failed ]] && echo "VM: failed:$failed" || echo "VM: all passed"
}

finish() {
  sync
  echo o >/proc/sysrq-trigger
  sleep 60
}

case ${1:-} in
tests)
  tests
  finish
  ;;
inside)
  # A process in a group that looks like the root of the hierarchy and is not, with processes in it: a container.
  umount /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  tests
  ;;
*)
  mount -t proc none /proc
  mount -t sysfs none /sys
  mountpoint -q /dev || mount -t devtmpfs none /dev
  mkdir -p /dev/pts /dev/shm
  mount -t devpts none /dev/pts
  mount -t tmpfs none /dev/shm
  mount -t tmpfs none /run
  mount -t cgroup2 none /sys/fs/cgroup
  exec </dev/null >/dev/ttyS0 2>&1
  if [[ $(layout) == container ]]; then
    echo "+cpu +memory +pids +cpuset +io" >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/box
    (echo $BASHPID >/sys/fs/cgroup/box/cgroup.procs && exec unshare -C -m "$0" inside)
  else
    tests
  fi
  finish
  ;;
esac
