package ring

import "encoding/binary"

// rank is a hash of a partition and a node: sorting nodes by it gives each partition an order of its own, which changes little
// when nodes come and go (rendezvous hashing). Part of the protocol: every node must compute the same.
func rank(p Partition, id NodeID) uint64 {
	h := mix(uint64(p) + 0x9e3779b97f4a7c15)
	h = mix(h ^ binary.BigEndian.Uint64(id[:8]))
	return mix(h ^ binary.BigEndian.Uint64(id[8:]))
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
