package resp

import (
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// The caps on what a client sends.
const (
	BulkBytesMax        = request.ValueBytesMax + 1<<20 // one argument; beyond a value's cap, so that a value somewhat too big gets -TOOBIG and keeps its connection
	ArgsMax             = 1 << 20                       // arguments of one command
	CommandBytesMax     = 64 << 20                      // all arguments of one command, argBytesFixed counted for each
	LineBytesMax        = 64 << 10                      // an inline command, or a header that does not end; Redis's PROTO_INLINE_MAX_SIZE
	headerBytesMax      = 32                            // bytes of a header that are kept: a longer one is no number
	argBytesFixed       = 24                            // what an argument costs beside its bytes
	KeysMax             = 64 << 10                      // keys of one command: each becomes an operation, which is much larger than its argument
	commandNameBytesMax = 32                            // longer than any command's name; a longer one is unknown without a look
	NameBytesMax        = 1 << 10                       // a client's or library's name
	PreviewBytesMax     = 128                           // of an unknown command and its arguments that an error repeats, as in Redis
)

// The sizes of one connection's buffers.
const (
	ReadBufferBytesMin = 16 << 10 // read buffer of a quiet connection
	ReadBufferBytesMax = 64 << 10 // read buffer of a busy one
	quietReadsMax      = 32       // small reads in a row after which a grown buffer is given back
	arenaBytes         = 4 << 10  // one piece of memory for small arguments
	arenaArgBytesMax   = 512      // larger arguments get memory of their own
	bulkBytesFirst     = 16 << 10 // first memory of a long argument; doubles as its bytes arrive, never as they are announced
	argsKeptMax        = 4 << 10  // argument slots kept between batches
	slabMax            = 64       // operations allocated at once
	SpillBytes         = 64 << 10 // replies held back before they are written although commands wait
	DirectBytesMin     = 32 << 10 // values from here on are written without a copy
)

// The caps of one batch.
const (
	CommandsPerBatchMax = 1024      // commands decoded before they are executed
	WindowMin           = 1         // operations in one call of the store when values are large
	windowFirst         = 64        // the same for a new connection
	WindowMax           = 1024      // the same when values are small
	windowBytes         = 16 << 20  // answers of one call beyond which the window halves
	ReplyBytesMax       = 256 << 20 // values in the answer to one command
)

// The caps on waiting.
const (
	WaitMax        = 60 * time.Second // WAIT, also when it asks for ever
	waitPollMin    = time.Millisecond // first pause of WAIT between counts; doubles
	waitPollMax    = 50 * time.Millisecond
	operatorBudget = 30 * time.Second // HOLDFAST LEAVE and REMOVE
	repairBudget   = 24 * time.Hour   // HOLDFAST REPAIR
)
