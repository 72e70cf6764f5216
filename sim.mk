# The simulators. SEEDS, SEED and FAULTS choose what runs; a failure prints the command that repeats it, and the last
# line is the summary.
SEEDS  ?= 10000
SEED   ?= 1
FAULTS ?=
FRESH  ?= 10000

# simulation is go test without its own lines.
define simulation
	@out=$$(mktemp); $(GO) test -count=1 -v $(1) >$$out 2>&1; status=$$?; \
	grep -v -e '^=== ' -e '^ *--- ' -e '^PASS' -e '^FAIL' -e '^ok ' $$out; rm -f $$out; exit $$status
endef

.PHONY: sim sim-whole sim-planted

sim: ## simulate SEEDS clusters on model stores, from SEED on; FAULTS=kind,kind or none
	$(call simulation,-timeout 120m ./node/sim -run TestSim -sim.seeds=$(SEEDS) -sim.seed=$(SEED) -sim.faults=$(FAULTS))
ifeq ($(CI),true) # beside the fixed seeds, FRESH new ones every time, and a few clusters of whole nodes
	$(call simulation,-timeout 10m ./node/sim -run TestSim -sim.seeds=$(FRESH) -sim.seed=$(shell date +%s)00000)
	$(call simulation,-timeout 10m ./node/sim/whole -run TestSeeds -whole.seeds=10 -whole.seed=$(shell date +%s))
endif

sim-whole: ## simulate SEEDS clusters of whole nodes, from SEED on; FAULTS as for sim
	$(call simulation,-timeout 240m ./node/sim/whole -run TestSeeds -whole.seeds=$(SEEDS) -whole.seed=$(SEED) -whole.faults=$(FAULTS))

sim-planted: ## plant each fault in the code and see that the simulator finds it
	$(call simulation,-timeout 60m -tags faults ./node/sim -run TestEveryPlantedFaultIsFound)
