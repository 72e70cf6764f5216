# Holdfast's tasks; `make` alone lists them. They need Go, and what .ci/tools installs where it may.
GO      ?= go
FUZZFOR ?= 10

.DEFAULT_GOAL := help
.PHONY: help build test race fuzz full fmt tools

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort -u | awk -F ':.*## ' '{ printf "%-10s %s\n", $$1, $$2 }'

build: ## bin/holdfast and bin/cart: static, with the version that git knows
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/ ./cmd/...

test: tools ## vet, staticcheck and all tests in their short sizes
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -short -timeout 6m ./...

race: ## all tests in their short sizes under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 10m ./...

fuzz: ## every fuzzer for FUZZFOR (10) seconds
	GO='$(GO)' .ci/fuzz $(FUZZFOR)

full: tools ## all tests in their full sizes, by hand
	$(GO) test -timeout 60m ./...
	$(GO) test -timeout 60m ./causal -run Schedule -causal.steps 6
	$(GO) test -timeout 60m ./e2e -e2e.full
	$(GO) test -timeout 60m ./node -run PowerCut -powercuts 500

fmt: ## format all Go code
	$(GO) fmt ./...

# Debian's redis-server is the oracle that replies are compared with; redis-cli runs the README's commands.
tools:
	@.ci/tools redis-server=redis-server redis-cli=redis-tools

-include sim.mk faults.mk bench.mk e2e.mk
