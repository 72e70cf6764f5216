package replica

import "time"

// The caps of the store. Those of one request (key, value, siblings) are package request's.
const (
	StateBytesMax     = 30 << 20 // encoded bytes of one key's state; a local mint beyond is refused. Two of it fit into a frame between nodes
	ActorLease        = 64 << 10 // numbers of the actor sequence fsynced at once
	MetaNameBytesMax  = 64       // bytes of the name of a meta document
	MetaValueBytesMax = 64 << 20 // bytes of a meta document

	HintBytesDefault  = 1 << 30   // bytes of data hints, over all targets
	MarkersPerTarget  = 256 << 10 // marker hints of one target; beyond, whole partitions are marked
	HandoffItemsMax   = 256       // hints in one delivery
	HandoffBytesMax   = 1 << 20   // bytes of values in one delivery, one item excepted
	pieceBytes        = 512       // what one hint or expired key costs beside its values, when leave is asked for it
	HandoffRoundsMax  = 1 << 20   // deliveries of one drain before it waits for the next tick
	HandoffTargetsMax = 8         // targets delivered to at once

	ScanRowsMax     = 1024      // rows of one Scan
	ScanBytesMax    = 4 << 20   // bytes of one Scan, one row excepted
	SweepRowsMax    = 256       // expiry rows handled by one batch of the sweeper
	GiveUpRowsMax   = 64        // rows of a partition given up that go in one batch
	ReapKeysMax     = 1024      // tombstones of a partition that are reaped together
	ReapBytesMax    = 512 << 10 // bytes of keys and contexts of those; a larger one stays
	ChunkBytesMax   = 4 << 20   // bytes of rows in one answer to another node's pull, one row excepted
	ChunkRowsMax    = 1024      // rows of the same
	SketchRowsMax   = 4096      // rows that one question of a pull says the asker holds
	AcceptRowsMax   = 32        // rows from another node that go in one batch: their keys' locks are held over it
	AcceptBytesMax  = 128 << 10 // bytes of values of the same, one row excepted
	sliceRows       = 8         // rows of background work between two looks at the clock
	walkRowsMax     = 16384     // rows looked at for one question or answer of a pull
	UnreadableMax   = 1024      // rows of one partition that a scan removes because they cannot be read; with more the disk is to be replaced
	logNameBytesMax = 128       // bytes of a key that a log line shows
	treesPortion    = 16        // part of MemoryBytes that hash trees of full depth may fill; further ones are small
	rowsPortion     = 10        // sixteenths of it that the row cache may fill, its index of a fifteenth of that not counted
	pebblePortion   = 3         // sixteenths of it that memtables and block cache may fill together
	memtablePortion = 16        // part of it that one memtable may fill; less below MemoryBytesDefault
	lockShards      = 1024      // mutexes that the keys share
	keyScratchSize  = 128       // bytes first reserved for a key being built
	heldRowsMin     = 16        // rows of a batch that are first made room for
	heldRowsMax     = 1024      // and the most at a time
	rowRoomMax      = 4 << 10   // bytes of the piece of memory that several rows of a batch are read to: what one of them keeps alive
	rowsRoomMin     = 8         // rows that such a piece must have room for
	rowRoomSpare    = 64        // bytes by which the next row may be longer
	scratchKeepMax  = 1 << 20   // bytes of a scratch buffer that is kept for reuse

	cacheShards        = 64        // parts of the row cache, each with a mutex
	cachePortion       = 16        // segments of a shard of the row cache; no row may be longer than one
	segmentBytesMax    = 1 << 20   // bytes of a segment, which is gone through under the shard's mutex
	shardBytesMax      = 1<<32 - 2 // bytes of a shard: places in it are numbers of 32 bits
	indexSlotBytes     = 8         // of a shard's index
	indexSlotsMin      = 512       // of a shard's index, once it holds a row
	indexGrowth        = 4         // a full index grows by this part of it
	indexLoadNum       = 7         // an index is full when rows fill this part,
	indexLoadDen       = 8         // of so many, of its slots
	MemoryBytesDefault = 512 << 20 // row cache, block cache and memtables
	MemoryBytesMin     = 8 << 20   // less is taken as this
	memtableBytesMax   = 64 << 20  // bytes of one memtable
	memtableBytesMin   = 4 << 20   // unless that is more than its portion
	memtablesMax       = 4         // memtables before writes stall
	memtablesCalm      = 2         // while flushes keep up: the one written to and the one that is flushed
	sublevelsCalm      = 4         // of level 0, while compactions keep up
	sublevelsLate      = 12        // when they need all the time that there is
	debtCalm           = 8         // memtables' worth of what is to be compacted, while compactions keep up
	debtLate           = 32        // when they need all the time that there is
	openFilesMax       = 1024      // table files kept open

	ReserveBytesMin = 64 << 20 // least free disk space that is kept for deletes and handoff
	ReserveBytesMax = 1 << 30  // most, unless configured
	reservePercent  = 5        // of the disk
)

// The periods of the background work.
const (
	sliceLeast      = 500 * time.Microsecond // of reading and hashing, before clients come first
	tablePeriod     = time.Millisecond       // of which flushes and compactions have a part, and rest together in what is left
	tableWorkMin    = 200 * time.Microsecond // that part while they keep up
	paceEvery       = 100 * time.Millisecond // look whether they do, at most so often
	syncEvery       = time.Second            // real fsync of the log at SyncOS and SyncNone
	spaceEvery      = time.Second            // look at the free disk space
	leaseEvery      = time.Second            // look whether the clock's lease runs out
	clockLease      = 5 * time.Second        // how far ahead the clock's high-water mark is leased
	clockLeaseLow   = 2 * time.Second        // remaining lease at which it is extended
	sweepEvery      = time.Second            // look for expired siblings
	handoffEvery    = time.Second            // look for hints to deliver, independent of traffic
	deliverTimeout  = 30 * time.Second       // one delivery, from the reading of what it carries
	parcelFresh     = 5 * time.Second        // a parcel that waited longer for leave is read once more
	DriftMaxDefault = 5 * time.Second        // clock drift between nodes that is expected
)
