package fault

import "testing"

func TestEveryFaultHasAName(t *testing.T) {
	if len(names) != int(points) {
		t.Fatalf("%d names for %d faults", len(names), points)
	}
	if len(All()) != int(points)-1 {
		t.Fatal("None is not a fault")
	}
}

func TestNothingIsPlantedByItself(t *testing.T) {
	for _, p := range All() {
		if On(p) {
			t.Errorf("%v is planted", p)
		}
	}
}
