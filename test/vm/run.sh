#!/usr/bin/env bash
# Proves Berth on machines with only cgroup v2, which the machine at hand may not be: a Debian system made of packages
# boots in QEMU, without hardware support, and the container and end-to-end tests run there.
#
#   test/vm/run.sh [LAYOUT...]     bare      no systemd, the init makes no groups
#                                  systemd   the tests are a service of systemd
#                                  container the tests see a part of the hierarchy as its root, as in a container
#
# VM_RUNTIMES are the OCI runtimes (runc crun), VM_OCI and VM_E2E patterns of tests,
# VM_TIME the limit of one machine in seconds. Every layout takes some ten minutes for each runtime. It ends with 0 and
# says so when a virtual machine cannot be made here.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0 GOFLAGS='-buildvcs=false -tags=exclude_graphdriver_btrfs,containers_image_openpgp'
layouts=${*:-bare systemd container}
limit=${VM_TIME:-3600}
cache=$PWD/.cache/vm
skip() { echo "skipped: no virtual machine here: $*" >&2; exit 0; }

[[ $(uname -m) == x86_64 ]] || skip "this machine is $(uname -m)"
((EUID == 0)) || skip "it is made as root"
command -v apt-get >/dev/null || skip "its system comes from Debian's packages"
. /etc/os-release
[[ $ID == debian ]] || skip "its kernel is a package of Debian, this is $ID"

tools=()
for entry in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static depmod:kmod mke2fs:e2fsprogs; do
  command -v "${entry%%:*}" >/dev/null || tools+=("${entry#*:}")
done
if ((${#tools[@]})); then
  echo "installing ${tools[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${tools[@]}" >/dev/null || skip "cannot install ${tools[*]}"
fi

# The system: a kernel, and packages with what they need, unpacked and not set up.
kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends:/ {print $2}')
[[ $kernel ]] || skip "no package linux-image-cloud-amd64"
base=$cache/base-$kernel
if [[ ! -e $base/done ]]; then
  echo "unpacking a Debian system below $base"
  rm -rf "$base" && mkdir -p "$base/packages" "$base/root"
  packages=$(apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} \
    systemd conmon crun tini bash coreutils util-linux mount kmod iproute2 procps findutils grep sed libseccomp2 |
    awk '/^[a-z]/' | grep -vE '^(perl|libperl|cdebconf|debconf|dpkg|libelogind|gawk|original-awk|usrmerge|install-info|libdebian-installer|.*-perl)' | sort -u)
  # shellcheck disable=SC2086
  (cd "$base/packages" && apt-get download -qq $packages "$kernel" busybox-static 2>/dev/null) || skip "packages cannot be downloaded"
  root=$base/root
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,root,etc,var/lib}
  for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
  for p in "$base"/packages/*.deb; do dpkg -x "$p" "$root"; done
  depmod -b "$root" "${kernel#linux-image-}"
  printf 'root:x:0:0:root:/root:/bin/bash\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  : >"$root/etc/machine-id"
  touch "$base/done"
fi
version=${kernel#linux-image-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is tested: Berth, the tests, and in place of the Go compiler the one program that they build.
src=$work/root/src
mkdir -p "$work/root" && cp -a "$base/root/." "$work/root/"
mkdir -p "$src/bin" "$src/agent/oci" "$src/test/e2e"
cp "${BERTH_BINARY:-bin/berth}" "$src/bin/berth"
cp bin/runc test/vm/guest.sh "$src/bin/"
go test -c -ldflags '-s -w' -o "$src/agent/oci/run.test" ./agent/oci
go test -c -ldflags '-s -w' -o "$src/test/e2e/run.test" ./test/e2e
go build -ldflags '-s -w' -o "$src/agent/oci/built" ./agent/oci/testdata/probe
go build -ldflags '-s -w' -o "$src/test/e2e/built" ./test/e2e/probe
cat >"$work/root/usr/bin/go" <<'EOT'
#!/bin/bash
while [[ $1 != -o ]]; do shift; done
exec cp built "$2"
EOT
chmod 755 "$work/root/usr/bin/go"
cat >"$work/root/etc/systemd/system/proof.service" <<'EOT'
[Unit]
Description=Tests of Berth
[Service]
ExecStart=/src/bin/guest.sh tests
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
EOT

# The first file system only loads the disk's driver.
early=$work/early
mkdir -p "$early"/{bin,proc,dev,root}
cp "$base/root/bin/busybox" "$early/bin/"
for m in virtio_pci virtio_blk; do
  modprobe -d "$base/root" -S "$version" --show-depends "$m" | awk '$1 == "insmod" {print $2}'
done | awk '!seen[$0]++' >"$work/modules"
n=100
while read -r m; do cp "$m" "$early/$((n++)).ko"; done <"$work/modules"
cat >"$early/init" <<'EOT'
#!/bin/busybox sh
busybox mount -t proc none /proc
busybox mount -t devtmpfs none /dev
for m in /*.ko; do busybox insmod "$m"; done
until busybox mount -t ext4 /dev/vda /root; do busybox sleep 1; done
init=/src/bin/guest.sh
busybox grep -q layout=systemd /proc/cmdline && init=/lib/systemd/systemd
exec busybox switch_root /root $init
EOT
chmod 755 "$early/init"
(cd "$early" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/early.img"

failed=()
for layout in $layouts; do
  echo "== $layout"
  oci='OutOfMemory|TaskLimits|ForkBomb|Restart|Sizes|Frozen|Killed'
  [[ $layout != bare ]] || oci=.
  e2e='KillingEveryProcess|AnExitWhile|ABadTask|ServiceOfSystemd'
  cat >"$src/settings" <<EOT
runtimes="${VM_RUNTIMES:-runc crun}"
oci='${VM_OCI:-$oci}'
e2e='${VM_E2E:-$e2e}'
EOT
  rm -f "$work/disk"
  truncate -s 16G "$work/disk"
  mke2fs -q -t ext4 -d "$work/root" "$work/disk"
  timeout -k 10 "$limit" qemu-system-x86_64 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m 4096 -nic none \
    -nographic -no-reboot -kernel "$base/root/boot/vmlinuz-$version" -initrd "$work/early.img" \
    -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" \
    -append "console=ttyS0 panic=-1 quiet layout=$layout systemd.unit=proof.service systemd.show_status=0" </dev/null |
    tee "$cache/$layout.log" | sed -u 's,\r,,' || true
  grep -q '^VM: all passed' <(tr -d '\r' <"$cache/$layout.log") || failed+=("$layout")
done
((${#failed[@]} == 0)) || { echo "FAIL: ${failed[*]}" >&2; exit 1; }
