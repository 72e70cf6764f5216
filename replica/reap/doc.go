// Package reap decides when the tombstone of a key may be forgotten: when nothing that it covers is left anywhere from where it could
// come to a primary. Values without a clock; what time it is, is passed in.
//
// What a tombstone covers hides at rest (in hints, in rows of former owners) and on its way (in answers, copies, repairs,
// deliveries, in memory or on a wire). Whatever is on its way carries a deadline that was fixed when it was read or minted, and
// nobody executes it later. So a Round of one partition has five phases:
//
//	Propose   every primary takes the tombstone and has it on disk: from now on no primary gives away what it covers
//	Quiet     as long as any deadline: what was on its way has come to rest, or is gone. The same goes for attempts of operations
//	          whose stamps the tombstone remembers
//	Clear     every member that is not removed, in whatever role, says that it holds nothing of the key at rest
//	Last      as long again: what was read where something was at rest, and has since gone from there, has arrived
//	Commit    every primary forgets the tombstone, if its row is still the one that it held, by the same layout
//
// or Release, where nothing is left to commit.
//
// The first four take nothing away, every one may be repeated, and a crash forgets the round: it costs time alone. After
// Commit a primary that forgot and one that did not differ in nothing that matters: a tombstone equals absence, and who has no row
// mints under an actor never used before.
package reap
