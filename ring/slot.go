package ring

import (
	"bytes"
	"math/bits"
)

// Partition is one of the Q equal parts of the slot space, 0 to Q-1: the unit of placement, transfer and repair.
type Partition uint16

// Slot returns the hash slot of a key, 0 to Slots-1, exactly as Redis Cluster does: CRC16-XMODEM of the key, or of its hash
// tag if it has one, modulo Slots. The hash tag is what stands between the first '{' and the first '}' after it; when that is
// empty, or there is no such '}', the whole key counts. Source: Redis Cluster specification, "Hash tags".
func Slot(key []byte) uint16 { return crc16(hashTag(key)) % Slots }

func hashTag(key []byte) []byte {
	open := bytes.IndexByte(key, '{')
	if open < 0 {
		return key
	}
	n := bytes.IndexByte(key[open+1:], '}')
	if n <= 0 {
		return key
	}
	return key[open+1 : open+1+n]
}

// PartitionOf returns the partition of a slot in a ring of q partitions. A q that is not a power of two from 1 to
// PartitionsMax, or a slot beyond the last, panics.
func PartitionOf(slot uint16, q int) Partition {
	checkPartitions(q)
	if slot >= Slots {
		panic("ring: slot out of range")
	}
	return Partition(int(slot) / (Slots / q))
}

// SlotRange returns the first and the last slot of partition p of q. Bad arguments panic, as in PartitionOf.
func SlotRange(p Partition, q int) (first, last uint16) {
	checkPartitions(q)
	if int(p) >= q {
		panic("ring: partition out of range")
	}
	width := Slots / q
	return uint16(int(p) * width), uint16((int(p)+1)*width - 1)
}

func validPartitions(q int) bool { return q >= 1 && q <= PartitionsMax && bits.OnesCount(uint(q)) == 1 }

func checkPartitions(q int) {
	if !validPartitions(q) {
		panic("ring: partitions are not a power of two within the limit")
	}
}

// crc16 is CRC16-XMODEM: polynomial 0x1021, initial value 0, neither input nor output reflected.
func crc16(b []byte) uint16 {
	var crc uint16
	for _, c := range b {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	return crc
}

// crcTable is constant after package initialisation.
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
}()
