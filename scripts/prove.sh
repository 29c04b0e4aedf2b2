#!/usr/bin/env bash
# Longer proof than `make test`: every fuzz target for a while, the property tests with many more cases, the end-to-end
# tests several times, and container tests on cgroup v2 in a virtual machine. PROVE_FUZZ is the time for
# each fuzz target, PROVE_CHECKS the cases of each property, PROVE_ROUNDS how often the end-to-end tests run.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzz=${PROVE_FUZZ:-60s} checks=${PROVE_CHECKS:-5000} rounds=${PROVE_ROUNDS:-5}

echo "== fuzzing, $fuzz each"
git grep -hoE --full-name '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' >/dev/null || { echo "no fuzz targets" >&2; exit 1; }
git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | while IFS=: read -r file match; do
  target=${match#func }
  echo "-- $target in $(dirname "$file")"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzz" "./$(dirname "$file")"
done

echo "== properties, $checks cases each"
git grep -l 'pgregory.net/rapid' -- '*_test.go' | xargs -n1 dirname | sort -u | while read -r dir; do
  go test -timeout 60m "./$dir" -rapid.checks "$checks"
done

echo "== end to end, $rounds rounds"
go test -timeout 120m -count "$rounds" ./test/e2e

echo "== cgroup v2, in a virtual machine"
test/vm/run.sh
