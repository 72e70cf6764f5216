package request

// The caps of one request.
const (
	KeyBytesMax   = 64 << 10 // bytes of a key's name
	ValueBytesMax = 8 << 20  // bytes of one value
	SiblingsMax   = 64       // concurrent values of one key; a put beyond is refused before minting
	SpacesMax     = 16       // keyspaces: Redis's default number of databases
)

// The caps of the wire between nodes.
const (
	BatchMax         = 4096 // elements of one batch
	ErrorTextMax     = 200  // bytes of detail that travel with an error
	NoticeRetriedMax = 64   // retried stamps of one notice

	roomItemsMax = 256 // elements that a Room keeps memory for
)
