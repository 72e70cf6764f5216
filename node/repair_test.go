package node

import (
	"reflect"
	"testing"

	"github.com/holdfastdb/holdfast/protocol"
)

func TestATurnThatEndedEarlyIsFollowedByAnother(t *testing.T) {
	type turn = []protocol.RepairPartition
	late := []string{"late"}
	for _, c := range []struct {
		name         string
		before, turn turn
		want         turn
		more         bool
	}{
		{"all is done", nil, turn{{Partition: 3, Rows: 5, Bytes: 50}}, turn{{Partition: 3, Rows: 5, Bytes: 50}}, false},
		{"it took something and was late", nil, turn{{Partition: 3, Rows: 5}, {Partition: 4, Unfinished: late}},
			turn{{Partition: 3, Rows: 5}, {Partition: 4, Unfinished: late}}, true},
		{"it took nothing: asking again is of no use", turn{{Partition: 3, Rows: 5, Unfinished: late}}, turn{{Partition: 3, Unfinished: late}},
			turn{{Partition: 3, Rows: 5, Unfinished: late}}, false},
		{"the second turn finishes", turn{{Partition: 3, Rows: 5, Bytes: 50, Damaged: 2, Conflicts: 1, Unfinished: late}}, turn{{Partition: 3, Rows: 1, Bytes: 10, Conflicts: 1}},
			turn{{Partition: 3, Rows: 6, Bytes: 60, Damaged: 2, Conflicts: 1}}, false},
	} {
		if sum, more := goOn(c.before, c.turn); !reflect.DeepEqual(sum, c.want) || more != c.more {
			t.Errorf("%s: %+v, %v", c.name, sum, more)
		}
	}
}

func TestAScanGoesOnWhereItsTurnEnded(t *testing.T) {
	type turn = []protocol.RepairPartition
	whole := repairOrder{8, 8, true}
	for _, c := range []struct {
		name  string
		order repairOrder
		turn  turn
		rest  repairOrder
		ok    bool
	}{
		{"all was scanned", whole, turn{{Partition: 8}, {Partition: 12}}, whole, false},
		{"none was: it would be so again", whole, turn{{Partition: 8, Unscanned: true}, {Partition: 12, Unscanned: true}}, whole, false},
		{"it came to the third", whole, turn{{Partition: 9}, {Partition: 10}, {Partition: 14, Unscanned: true}, {Partition: 15, Unscanned: true}}, repairOrder{14, 2, true}, true},
	} {
		if rest, ok := c.order.unscanned(c.turn); rest != c.rest || ok != c.ok {
			t.Errorf("%s: %+v, %v", c.name, rest, ok)
		}
	}
	first := turn{{Partition: 8, Rows: 1, Damaged: 2}, {Partition: 9, Unscanned: true, Unfinished: []string{"late"}}}
	want := turn{{Partition: 8, Rows: 1, Damaged: 2}, {Partition: 9, Damaged: 3}}
	if got := merge(first, turn{{Partition: 9, Damaged: 3}}); !reflect.DeepEqual(got, want) {
		t.Errorf("merged to %+v", got)
	}
}

func FuzzRepairOrder(f *testing.F) {
	f.Add(repairOrder{3, repairGroup, true}.append(nil))
	f.Add([]byte{0, 0, repairGroup + 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := decodeRepairOrder(b); err == nil && string(o.append(nil)) != string(b) {
			t.Fatalf("%x becomes %x", b, o.append(nil))
		}
	})
}
