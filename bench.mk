# What a command costs: this cluster beside the peers that Debian has, under the same loads in one run.
BENCHFOR    ?= 2m
BENCHROUNDS ?= 5
DIR         ?= bin/bench

.PHONY: bench bench-tools
bench: bench-tools ## three nodes beside redis-server, alone and with replicas, and memcached for DURATION (2m): table, and CSV and SVG in DIR (bin/bench)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/holdfast
	CGO_ENABLED=0 $(GO) build -o bin/bench/ ./bench
	bin/bench/bench -dir '$(DIR)' -duration $(if $(filter command line environment,$(origin DURATION)),$(DURATION),$(BENCHFOR)) -rounds $(BENCHROUNDS)

.PHONY: bench-growth
KEYS ?= 1000000
bench-growth: bench-tools ## how cost grows with keys (KEYS=10000000 for all steps, 3 GB of disk), values, connections, nodes; memory, start-up
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/holdfast
	CGO_ENABLED=0 $(GO) build -o bin/bench/ ./bench
	bin/bench/bench -dir '$(DIR)' -growth -keys $(KEYS)

.PHONY: bench-layers
OLD    ?= HEAD~1
ROUNDS ?= 6
bench-layers: ## each layer's Go benchmarks at the commit OLD (HEAD~1) and here, ROUNDS (6) times in turn, compared by benchstat
	GO='$(GO)' bench/layers '$(OLD)' '$(DIR)' $(ROUNDS)

bench-tools:
	@.ci/tools redis-server=redis-server redis-benchmark=redis-tools memcached=memcached
