package house

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// layers are the packages from the ground up. A package imports only from layers below its own.
func layers() [][]string {
	return [][]string{
		{"fault"}, // below all: bugs can be planted anywhere
		{"fault"},
		{"causal", "ring", "replica/merkle", "trust"},
		{"replica/reap"},
		{"request"},
		{"coordinator", "node/admission", "protocol", "replica", "replica/peer", "ring/gossip"},
		{"protocol/resp"},
		{"node"},
		{"cmd/holdfast"},
	}
}

// apart are packages that stand beside the house: nothing in it imports them.
func apart() []string { return []string{"cmd/cart", "cmd/cart/cart", "house"} }

// fences says which dependency is known to which package alone, and to packages that help tests: a simulated network
// speaks memberlist's words, a crashable disk Pebble's.
func fences() map[string]string {
	return map[string]string{
		"github.com/cockroachdb/pebble":      "replica",
		"github.com/hashicorp/memberlist":    "ring/gossip",
		"github.com/tidwall/redcon":          "protocol/resp",
		"github.com/VictoriaMetrics/metrics": "node",
	}
}

// layerOf returns where a package stands, and whether it belongs to the house.
func layerOf(pkg string) (int, bool) {
	for i, layer := range layers() {
		if slices.Contains(layer, pkg) {
			return i, true
		}
	}
	return len(layers()), false
}

// isHelper reports whether a package only helps tests (storetest, gossiptest, the simulators, the fault runs, the measurement). It may import anything,
// and no package of the house imports it.
func isHelper(pkg string) bool {
	return strings.HasSuffix(path.Base(pkg), "test") || pkg == "node/sim" || strings.HasPrefix(pkg, "node/sim/") ||
		strings.HasPrefix(pkg, "e2e") || pkg == "faults" || strings.HasPrefix(pkg, "faults/") || pkg == "bench"
}

// A package of the house imports only from layers below its own.
func TestPackagesImportOnlyFromLayersBelow(t *testing.T) {
	found := map[string]bool{}
	for _, p := range loadSource(t, false).own {
		pkg := short(p.ImportPath)
		found[pkg] = true
		mine, ok := layerOf(pkg)
		switch {
		case !ok && !isHelper(pkg) && !slices.Contains(apart(), pkg):
			t.Errorf("%s has no layer: give it one in layers", pkg)
		case ok:
			for _, fault := range upward(pkg, mine, p.Imports) {
				t.Error(fault)
			}
		}
	}
	for i, layer := range layers() {
		for _, pkg := range layer {
			if !found[pkg] {
				t.Errorf("layer %d names %s, which is not there", i, pkg)
			}
		}
	}
}

// upward returns the imports of a package in the layer that are not below it.
func upward(pkg string, mine int, imports []string) (faults []string) {
	for _, imported := range imports {
		if !strings.HasPrefix(imported, module) {
			continue
		}
		theirs, ok := layerOf(short(imported))
		if !ok || theirs >= mine {
			faults = append(faults, pkg+" (layer "+string(rune('0'+mine))+") imports "+short(imported)+", which is not below it")
		}
	}
	return faults
}

// Each fenced dependency is known to one package: what is known to one can be replaced in one.
func TestFencedDependenciesAreKnownToOnePackage(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range loadSource(t, false).own {
		pkg := short(p.ImportPath)
		for dependency, owner := range fences() {
			for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if imported != dependency && !strings.HasPrefix(imported, dependency+"/") {
					continue
				}
				seen[dependency] = true
				if pkg != owner && !isHelper(pkg) {
					t.Errorf("%s imports %s, which only %s may know", pkg, imported, owner)
				}
			}
		}
	}
	for dependency := range fences() {
		if !seen[dependency] {
			t.Errorf("nobody imports %s: the fence is out of date", dependency)
		}
	}
}

func TestUpwardAndSidewaysImportsAreFound(t *testing.T) {
	mine, _ := layerOf("coordinator")
	faults := upward("coordinator", mine, []string{"fmt", module + "/causal", module + "/replica", module + "/node", module + "/cmd/cart/cart"})
	if len(faults) != 3 {
		t.Errorf("found %d of 3: %q", len(faults), faults)
	}
}
