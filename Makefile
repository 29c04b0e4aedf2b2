# make demo   installs what is missing, builds, starts Berth and runs the sample
# make test   every test: unit, scenario, conformance, architecture and end to end
# make down   ends the demo
SHELL       := /bin/bash
.DEFAULT_GOAL := build

DATA_DIR    ?= /var/lib/berth
TAGS        := exclude_graphdriver_btrfs containers_image_openpgp
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO_SOURCES  := $(shell find . -name '*.go' -not -path './.cache/*' -not -path './tools/*' -not -name '*_test.go')

# gpgme and btrfs are left out of the image libraries, so that the binary is pure Go.
export GOFLAGS     := -buildvcs=false -tags=exclude_graphdriver_btrfs,containers_image_openpgp
export CGO_ENABLED ?= 0

.PHONY: build deps demo down test unit e2e bench prove lint generate coverage fuzz clean

build: deps bin/berth bin/runc
	@echo "bin/berth and bin/runc are built"

deps:
	@scripts/deps.sh

bin/berth: $(GO_SOURCES) go.mod go.sum
	@echo "building bin/berth"
	@go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $@ ./cmd/berth

bin/runc: tools/go.mod tools/go.sum
	@echo "building bin/runc"
	@cd tools && CGO_ENABLED=1 GOFLAGS=-buildvcs=false go build -trimpath -tags seccomp -ldflags "-s -w" -o ../bin/runc github.com/opencontainers/runc

demo: build
	@examples/demo.sh $(DATA_DIR)

down:
	@bin/berth down --data-dir $(DATA_DIR)

test: build
	@scripts/test.sh

bench: build
	@scripts/bench.sh

prove: build
	@scripts/prove.sh

lint:
	@scripts/lint.sh

generate:
	go run ./api/gen

coverage:
	go run ./test/coverage > docs/reference/coverage.md

clean:
	rm -rf bin .cache
