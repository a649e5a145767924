# `make` lists what there is. Nothing here is needed to use the library.

GO       ?= go
FUZZTIME ?= 30s
BENCH    ?= .
COUNT    ?= 6
LOAD     ?= 10s
# Tests wait for servers for most of their time: more of them run than there are processors.
PARALLEL ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((2 * n)))
TOOL     := $(GO) tool -modfile=internal/tools/go.mod
# Runs a command with a server of every engine that the machine has.
WITH     := $(GO) run ./internal/testdb/with --

.DEFAULT_GOAL := help
.PHONY: help fmt format vet lint quick engines peers test race torture load pairs fuzz model bench cover cross deploy tidy check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

fmt: ## format the code
	$(TOOL) golangci-lint fmt

format: # fails when a file is not formatted
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted (make fmt):"; echo "$$files"; exit 1; } >&2

vet: ## go vet
	$(GO) vet ./...

lint: ## golangci-lint (its first build takes minutes)
	$(TOOL) golangci-lint run

quick: format vet ## before each commit: format, vet, tests on SQLite alone
	TLDWDB_TEST_ENGINES=sqlite $(GO) test ./...

engines: # installs what the whole suite needs, or says what to install
	@.ci/engines

peers: # fetches the other tools that adoption is tested with; without them those tests are skipped
	@$(GO) build -C internal/tools/peers -o /dev/null . || echo "the other tools could not be built: TestOtherTools will be skipped" >&2

test: engines peers ## the whole suite, on every engine
	$(WITH) $(GO) test -timeout 20m -parallel $(PARALLEL) ./...

# The root's tests run by themselves: with those of other packages beside them each has a fraction of a
# core for what a healthy lease or probe does in a second.
race: engines peers ## the whole suite under the race detector
	@failed=0; for part in . "$$($(GO) list ./... | grep -vx "$$($(GO) list -m)")"; do \
	  echo "$(GO) test -race: $$(echo $$part | wc -w) packages"; \
	  $(WITH) $(GO) test -timeout 20m -parallel $(PARALLEL) -race $$part || failed=1; \
	done; exit $$failed

# Without the name of a package, so that go test shows the table of a run that passed.
torture: engines ## every kind of fault at every place of a run, and a table (an hour; TLDWDB_TORTURE_SEED=n)
	TLDWDB_TORTURE=all $(WITH) $(GO) test -count=1 -run '^TestTorture$$' -timeout 2h

# Without -short and without the name of a package, as torture.
load: engines ## a service's load on each engine, disturbed, every write counted, and a table (LOAD=10s for each scenario)
	TLDWDB_LOAD=$(LOAD) $(WITH) $(GO) test -C internal/loadtest -count=1 -timeout 1h

pairs: engines ## tldwdb diff between 200 random pairs of schemas on each engine (TLDWDB_TEST_DIFF_SEED=n)
	TLDWDB_TEST_DIFF_PAIRS=200 $(WITH) $(GO) test ./cmd/tldwdb -count=1 -run '^TestDiffOfRandomSchemas$$' -timeout 2h

fuzz: ## each fuzz target for FUZZTIME (30s)
	@set -e; $(GO) list ./... | while read -r pkg; do \
	  for target in $$($(GO) test -list '^Fuzz' "$$pkg" </dev/null | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; \
	  done; \
	done

model: ## check the model of the boot protocol (docs/model; needs spin and gcc)
	@docs/model/check

bench: engines ## benchmarks into bench.out, then their summary (BENCH=regexp, COUNT=6)
	$(WITH) $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m ./... >bench.out || { cat bench.out; exit 1; }
	$(TOOL) benchstat bench.out

cover: engines ## coverage into cover.out, and the sum
	$(WITH) $(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -1

cross: # the library builds, and its tests compile, without cgo and for the systems that its users have
	@set -e; for os in linux darwin windows; do echo "CGO_ENABLED=0 GOOS=$$os go build, go vet"; CGO_ENABLED=0 GOOS=$$os $(GO) build ./...; CGO_ENABLED=0 GOOS=$$os $(GO) vet ./...; done

# In a module of its own: the tests have the code of Kubernetes, Compose and BuildKit in them. Go remembers
# a test that passed until a file of its module changes, and what these look at is outside of theirs: -count=1.
deploy: ## the examples for Kubernetes, Compose and Docker (the first build takes minutes)
	$(GO) vet -C internal/deploytest ./...
	$(GO) test -C internal/deploytest -count=1 ./...

tidy: # fails when go.mod or go.sum is not tidy
	$(GO) mod tidy -diff
	$(GO) mod tidy -C internal/deploytest -diff

check: format vet tidy cross lint race ## what CI runs, but for its matrix of server versions

clean: ## remove what the targets left
	rm -rf bin *.out *.prof *.test
