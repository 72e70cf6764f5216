package replica

import "encoding/binary"

// rowIndex says where in its shard of the row cache the rows of a key's hash lie: a table with linear probing. It keeps no
// pointers, which the collector would follow, and no keys, which are in the rows: two of one tag are told apart there. With
// the tag alone it finds every row's home again, and so grows by a quarter at a time without reading the rows.
type rowIndex struct {
	slots slotTable
	rows  int
}

// slotTable is a table of slots outside Go's heap: the tag in the upper half, the row's place plus one in the lower; 0: free.
type slotTable []byte

func newSlots(n int) slotTable {
	if memory, err := reserve(n * indexSlotBytes); err == nil {
		return memory
	}
	panic("replica: the system lends no memory for the index of the row cache") // as Go's heap does
}

func (t slotTable) len() int         { return len(t) / indexSlotBytes }
func (t slotTable) get(i int) uint64 { return binary.NativeEndian.Uint64(t[i*indexSlotBytes:]) }
func (t slotTable) set(i int, entry uint64) {
	binary.NativeEndian.PutUint64(t[i*indexSlotBytes:], entry)
}

// release gives the memory back. The index is empty then.
func (x *rowIndex) release() {
	if len(x.slots) > 0 {
		_ = unreserve(x.slots) // fails for what was not reserved alone
	}
	*x = rowIndex{}
}

// tagOf returns the part of a key's hash that the index knows.
func tagOf(hash uint64) uint32 { return uint32(hash >> 32) }

func (x *rowIndex) home(tag uint32) int { return int(uint64(tag) * uint64(x.slots.len()) >> 32) }

func (x *rowIndex) next(slot int) int {
	if slot++; slot < x.slots.len() {
		return slot
	}
	return 0
}

// find returns the first slot of the tag from this one on for whose place is says yes, or -1.
func (x *rowIndex) find(tag uint32, is func(place uint32) bool) int {
	if len(x.slots) == 0 {
		return -1
	}
	for slot := x.home(tag); x.slots.get(slot) != 0; slot = x.next(slot) {
		if uint32(x.slots.get(slot)>>32) == tag && is(x.place(slot)) {
			return slot
		}
	}
	return -1
}

func (x *rowIndex) place(slot int) uint32 { return uint32(x.slots.get(slot)) - 1 }

func (x *rowIndex) move(slot int, place uint32) {
	x.slots.set(slot, x.slots.get(slot)>>32<<32|uint64(place)+1)
}

// add notes a row that find does not find.
func (x *rowIndex) add(tag uint32, place uint32) {
	if (x.rows+1)*indexLoadDen > x.slots.len()*indexLoadNum {
		x.grow()
	}
	x.rows++
	x.put(uint64(tag)<<32 | uint64(place) + 1)
}

func (x *rowIndex) put(entry uint64) {
	slot := x.home(uint32(entry >> 32))
	for x.slots.get(slot) != 0 {
		slot = x.next(slot)
	}
	x.slots.set(slot, entry)
}

func (x *rowIndex) grow() {
	old := x.slots
	x.slots = newSlots(max(indexSlotsMin, old.len()+old.len()/indexGrowth))
	for i := range old.len() {
		if entry := old.get(i); entry != 0 {
			x.put(entry)
		}
	}
	before := rowIndex{slots: old}
	before.release()
}

// remove frees a slot, and moves what was pushed past it nearer to its home.
func (x *rowIndex) remove(slot int) {
	x.rows--
	for at := x.next(slot); x.slots.get(at) != 0; at = x.next(at) {
		if home := x.home(uint32(x.slots.get(at) >> 32)); x.between(slot, home, at) {
			continue
		}
		x.slots.set(slot, x.slots.get(at))
		slot = at
	}
	x.slots.set(slot, 0)
}

// between reports whether home lies behind slot, and not behind at, going around.
func (x *rowIndex) between(slot, home, at int) bool {
	if slot <= at {
		return slot < home && home <= at
	}
	return slot < home || home <= at
}
