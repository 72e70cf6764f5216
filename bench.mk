# What a command costs: this cluster beside the peer that Debian has, under the same loads in one run.
BENCHFOR    ?= 2m
BENCHROUNDS ?= 5
DIR         ?= bin/bench

.PHONY: bench bench-tools
bench: bench-tools ## three nodes beside redis-server for DURATION (2m): table, and CSV and SVG in DIR (bin/bench)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/holdfast
	CGO_ENABLED=0 $(GO) build -o bin/bench/ ./bench
	bin/bench/bench -dir '$(DIR)' -duration $(if $(filter command line environment,$(origin DURATION)),$(DURATION),$(BENCHFOR)) -rounds $(BENCHROUNDS)

bench-tools:
	@.ci/tools redis-server=redis-server redis-benchmark=redis-tools
