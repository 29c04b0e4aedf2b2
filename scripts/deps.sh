#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that Berth is built with or runs beside itself, when they are missing.
# With --check it only says what is missing.
set -euo pipefail

# program or file -> package
want=(
  "conmon:conmon"
  "tini:tini"
  "/usr/sbin/haproxy:haproxy"
  "gcc:gcc"
  "pkg-config:pkg-config"
  "curl:curl"
  "ip:iproute2"
  "ps:procps"
  "aws:awscli"
  "/usr/include/seccomp.h:libseccomp-dev"
  "/etc/ssl/certs/ca-certificates.crt:ca-certificates"
)
missing=()
for entry in "${want[@]}"; do
  have=${entry%%:*} package=${entry#*:}
  if [[ $have == /* ]]; then
    [[ -e $have ]] || missing+=("$package")
  else
    command -v "$have" >/dev/null 2>&1 || missing+=("$package")
  fi
done
((${#missing[@]})) || exit 0

if [[ ${1:-} == --check ]]; then
  echo "missing packages: ${missing[*]}" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
  cat >&2 <<EOT
error: this system has no apt-get
cause: Berth needs: ${missing[*]} (names of Debian's packages)
fix:   install them with your package manager and run make again
EOT
  exit 1
fi
sudo=
if ((EUID != 0)); then
  command -v sudo >/dev/null 2>&1 || { echo "error: run as root once, to install: ${missing[*]}" >&2; exit 1; }
  sudo=sudo
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { $sudo apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
install || { $sudo apt-get update >"$log" 2>&1 && install; } || { cat "$log" >&2; exit 1; }
