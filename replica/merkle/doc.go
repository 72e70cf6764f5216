// Package merkle is the hash tree of one partition, and the exchange by which two nodes find where theirs differ.
//
// A row contributes one 64-bit hash to the leaf that its key falls into; a leaf is the sum, modulo 2^64, of the hashes of
// its rows, and an inner node the sum of its children. Sums commute, and what was added can be taken away again. So a change of a
// row costs two additions and no lock; a tree may be counted up from a snapshot while later changes are added to
// it, in any order; and trees of different depths compare at the shallower one's leaves. Inner nodes are not kept: the
// root of 4,096 leaves is added up in microseconds.
//
// What sums give up against hashes of hashes is resistance to forgery. A row's hash covers dots, which hold random bits
// of the node that mints them, so that a client cannot choose it; and all that a forger gains is that anti-entropy overlooks a row.
// Two differences cancel by accident once in 2^64.
//
// Rules: a tombstone contributes nothing, as absence does. The hash covers keyspace, key, dots, values, stamps and
// expiry times; not the stamps that a context remembers beside its dots, which every replica forgets in its own time, and never
// whether an expiry has passed.
//
// Source: Dynamo (SOSP 2007) 4.7; sums in place of hashes from incremental multiset hashing (Clarke et al., ASIACRYPT 2003).
package merkle
