# Real faults on real processes: for root, on Linux, with iproute2 and nftables.
DURATION ?= 5m
SEED     ?= 0

.PHONY: faults
faults: faults-tools ## real processes under partitions, kills, full disks and wrong clocks, for DURATION (5m) [SEED=n]
	CGO_ENABLED=0 $(GO) build -tags faults -o bin/faults/ ./cmd/holdfast ./faults
	bin/faults/faults -duration $(DURATION) -seed $(SEED)

.PHONY: faults-tools
faults-tools:
	@.ci/tools ip=iproute2 nft=nftables
