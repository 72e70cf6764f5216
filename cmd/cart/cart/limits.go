package cart

import "time"

// Caps of a cart and of a request.
const (
	EntriesMax     = 2048    // additions and removals of one cart; an addition beyond them is refused
	StoredBytesMax = 8 << 20 // of one stored version; several times what EntriesMax can make, for merged ones exceed it
	BodyBytesMax   = 4 << 10 // of a request
	UserBytesMax   = 128
	ItemBytesMax   = 128
	IDBytesMax     = 64 // of an Idempotency-Key
	QtyMax         = 1000
	TriesMax       = 6 // of one request, over all nodes

	RemovalsKept  = 30 * 24 * time.Hour
	requestBudget = 5 * time.Second
	retryPause    = 20 * time.Millisecond // doubled with every try
)
