#!/usr/bin/env bash
# Figures against a baseline in the same run. BENCH_QUICK=1 takes under three minutes; arguments go to the program,
# such as -only start,api. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(mktemp)
trap 'rm -f "$program"' EXIT
go build -o "$program" ./test/bench
"$program" -berth bin/berth "$@"
