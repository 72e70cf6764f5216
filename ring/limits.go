package ring

// The caps of a ring document. What exceeds one is refused when it is decoded, and by State.Check before it is sent.
const (
	PartitionsMax   = 4096    // Q; a power of two, so that every partition has Slots/Q slots
	ReplicasMax     = 16      // N
	MembersMax      = 1024    // members that are not removed
	RecordsMax      = 8192    // members' records, removed ones included: a removed id is fenced for ever
	joinableRecords = 7168    // records beyond which nobody may join: nodes that are asked at the same time stay below RecordsMax together
	NameBytesMax    = 128     // a member's, a zone's or a cluster's name, and a version
	AddressBytesMax = 262     // host:port: 253 bytes of DNS name, brackets, colon, five digits
	SeedsMax        = 64      // addresses in a newcomer's list of seeds
	NewcomersMax    = 256     // empty nodes that one founding may gather
	WeightMax       = 1 << 16 // a member's weight
	ChangesMax      = 64      // partitions of which an owner is being exchanged at one time
	IncomingMax     = 16      // of those, with one and the same incoming owner
	NoteBytesMax    = 8 << 20 // an encoded Note or State; memberlist carries at most 20 MiB
)

// Slots is the number of hash slots: Redis Cluster's, so that cluster-aware clients find a key's owners by themselves.
const Slots = 16384
