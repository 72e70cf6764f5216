package ring

import (
	"bytes"
	"testing"
)

func TestSlotIsRedisClusters(t *testing.T) {
	// Answers of CLUSTER KEYSLOT from Redis 7.
	for _, c := range []struct {
		proves, key string
		slot        uint16
	}{
		{"check value of CRC16-XMODEM", "123456789", 0x31C3},
		{"empty key", "", 0},
		{"plain key", "foo", 12182},
		{"another plain key", "bar", 5061},
		{"tag alone decides", "{user1000}.following", 3443},
		{"tag equals key without braces", "user1000", 3443},
		{"first brace and first closing brace after it", "foo{{bar}}zap", 4015},
		{"tag may hold an opening brace", "{bar", 4015},
		{"first tag only", "foo{bar}{zap}", 5061},
	} {
		if got := Slot([]byte(c.key)); got != c.slot {
			t.Errorf("%s: Slot(%q) = %d, want %d", c.proves, c.key, got, c.slot)
		}
	}
}

func TestSlotIgnoresWhatIsNoTag(t *testing.T) {
	for _, key := range []string{"foo{}{bar}", "{}", "{}bar", "}foo{", "a}b{c", "{abc", "abc}", "a}{"} {
		if got, want := Slot([]byte(key)), crc16([]byte(key))%Slots; got != want {
			t.Errorf("Slot(%q) = %d, want the whole key's %d", key, got, want)
		}
	}
}

func TestPartitionsAreRunsOfSlots(t *testing.T) {
	for q := 1; q <= PartitionsMax; q *= 2 {
		next := 0
		for p := range q {
			first, last := SlotRange(Partition(p), q)
			if int(first) != next || PartitionOf(first, q) != Partition(p) || PartitionOf(last, q) != Partition(p) {
				t.Fatalf("q=%d: partition %d is %d to %d", q, p, first, last)
			}
			next = int(last) + 1
		}
		if next != Slots {
			t.Fatalf("q=%d covers %d slots", q, next)
		}
	}
}

func TestSlotArgumentsOutOfRangePanic(t *testing.T) {
	for name, f := range map[string]func(){
		"slot":            func() { PartitionOf(Slots, 16) },
		"partition":       func() { SlotRange(16, 16) },
		"no power of two": func() { PartitionOf(0, 3) },
		"none":            func() { PartitionOf(0, 0) },
		"over the cap":    func() { PartitionOf(0, 2*PartitionsMax) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return
}

func FuzzSlot(f *testing.F) {
	for _, s := range []string{"", "{}", "{a}b", "a{b}{c}", "{{a}}", "}{", "a{b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		got := Slot(key)
		want := bitwiseCRC(key)
		if open := bytes.IndexByte(key, '{'); open >= 0 {
			if inner, _, closed := bytes.Cut(key[open+1:], []byte("}")); closed && len(inner) > 0 {
				want = bitwiseCRC(inner)
			}
		}
		if got != want%Slots {
			t.Fatalf("Slot(%q) = %d, want %d", key, got, want%Slots)
		}
	})
}

// bitwiseCRC is the textbook's CRC16-XMODEM, a bit at a time.
func bitwiseCRC(b []byte) uint16 {
	var crc uint16
	for _, c := range b {
		for bit := 7; bit >= 0; bit-- {
			top := crc>>15 ^ uint16(c>>bit&1)
			crc <<= 1
			if top == 1 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}
