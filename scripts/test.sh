#!/usr/bin/env bash
# Every test. Those that need root (containers, namespaces, nftables) say so and are skipped without it.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== format and vet"
unformatted=$(git ls-files '*.go' | xargs -r gofmt -l)
[[ -z $unformatted ]] || { echo "not formatted: $unformatted" >&2; exit 1; }
go vet -composites=false ./... # the tables in generated code have no field names, to stay small

echo "== generated code is up to date"
go run ./api/gen
changed=$(git status --porcelain -- api | head)
[[ -z $changed ]] || { echo "regeneration changed: $changed" >&2; exit 1; }

echo "== tests with the race detector"
# The race detector needs cgo. The layer store's library reads its lock's state unguarded, in an assertion: what uses real
# images runs without the detector.
images='berth/agent/oci$'
CGO_ENABLED=1 go test -race -timeout 12m $(go list ./... | grep -v -e '/test/e2e$' -e "$images")

echo "== tests with real images"
go test -timeout 12m ./agent ./agent/oci

echo "== end to end"
go test -timeout 12m ./test/e2e
