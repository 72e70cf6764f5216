# Real faults on real processes: for root, on Linux, with iproute2 and nftables.
DURATION ?= 5m
SEED     ?= 0
# Clusters of five read sloppy quorums: a DEL between two halves of a cluster covers what its half knows, and the check of plain
# keys cannot tell that from a value that came back. CI keeps to three, where every read quorum meets every write quorum.
SIZES    ?= $(if $(filter true,$(CI)),3,3,5)

.PHONY: faults
faults: faults-tools ## real processes under partitions, kills, full disks and wrong clocks, for DURATION (5m) [SEED=n]
	CGO_ENABLED=0 $(GO) build -tags faults -o bin/faults/ ./cmd/holdfast ./faults
	bin/faults/faults -duration $(DURATION) -seed $(SEED) -nodes $(SIZES)

.PHONY: faults-tools
faults-tools:
	@.ci/tools ip=iproute2 nft=nftables
