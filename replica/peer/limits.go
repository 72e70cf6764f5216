package peer

import (
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The caps of the wire between nodes. Sizes are bytes.
const (
	FrameBytesMax = 64 << 20 // one frame, its header included; a longer one closes the connection
	HelloBytesMax = 4 << 10  // one frame before both sides have said hello
	ChunkBytesMax = 4 << 20  // a batch above it travels in several frames, so that others pass between them
	QueueBytesMax = 32 << 20 // frames waiting to be written to one connection; a single larger frame may wait alone
	NameBytesMax  = 255      // a node's name
	AuthBytesMax  = 1 << 10  // what a later version may prove itself with

	// ControlBytesMax is the payload of a control request, and of its answer but for Fetch. A ring document is told in one: whatever
	// document may be decoded may be told.
	ControlBytesMax    = ring.NoteBytesMax
	ControlAllBytesMax = 2 * ControlBytesMax // the payloads of the control requests executing at once for one connection

	FetchBytesMax = FrameBytesMax - headerBytes // the answer to Fetch

	readBufferBytes = 64 << 10 // what one read from the socket can bring; longer frames get a buffer of their own
	writeBytesMax   = 1 << 20  // one write to the socket; each has writeTimeout
	keepBytesMax    = 1 << 20  // a write buffer that grew larger is given back once it is empty
	readWindowBytes = 16 << 20 // values from one call of the handler beyond which the next brings fewer
	answerBytesMax  = FrameBytesMax - headerBytes - 4*request.BatchMax - 16
)

// The caps of what runs at once.
const (
	PeersMax         = 1024 // nodes that one node keeps connections to
	ConnsMax         = 2048 // accepted connections whose dialers have proved themselves; more are closed at once
	StrangersMax     = 256  // accepted connections whose dialers have not; for one more the oldest is closed
	CallsMax         = 8192 // requests in flight on one connection; more are refused unexecuted
	WaitingMax       = 1024 // requests that wait for a peer's first connection
	CoordinateMax    = 1024 // forwarded batches executing at once for one connection: one for each of a thousand clients that do not pipeline
	CoordinateAllMax = 4096 // the same for the whole node
	ControlMax       = 32   // control requests executing at once for one connection
	GroupMax         = 1024 // reads or writes that gather for the handler, unless one frame alone holds more
	ReadWindowMax    = 256  // reads in one call of the handler while values are small
	WriteQueueMax    = 8192 // writes of one connection that wait while a commit is under way
	refusalsMax      = 256  // peers whose refusals are logged apart
	readWindowFirst  = 32   // reads in the first call of the handler for a connection
)

// The times of the wire.
const (
	HelloTimeout   = 2 * time.Second        // from the connection to the end of the hello
	DialTimeout    = time.Second            // for the connection
	ConnectWait    = 100 * time.Millisecond // how long a request waits for a peer's first connection
	BulkWait       = time.Second            // how long a bulk request waits for its connection to a peer that is up
	BackoffMin     = 50 * time.Millisecond  // between two dials
	BackoffMax     = time.Second            // between two dials
	PingEvery      = 250 * time.Millisecond // on every connection
	SuspectAfter   = 400 * time.Millisecond // a ping unanswered for so long makes its peer suspect
	DeadAfter      = 2 * time.Second        // a ping unanswered for so long closes the connection
	BulkDeadAfter  = 30 * time.Second       // the same for bulk, where an answer waits for what is before it
	IdleMax        = 30 * time.Second       // an accepted connection without a byte for so long is closed
	BeatEvery      = 100 * time.Millisecond // the beat that notices a pause
	PauseMax       = time.Second            // a beat late by so much means that the process was paused
	DeadlineMax    = time.Minute            // of any request; a later deadline is brought forward
	PartingMax     = DeadAfter              // from the goodbye to the dialers' last close
	writeTimeout   = 5 * time.Second        // for writeBytesMax; bulk requests have BulkDeadAfter
	refusalEvery   = time.Minute            // between two log lines about one refused peer
	acceptRetryMin = 5 * time.Millisecond   // after a failed accept, doubling
	acceptRetryMax = time.Second

	timeoutsMax   = 3  // consecutive requests without an answer that make a peer suspect
	offsetSamples = 32 // pings among which the quickest tells the offset of the other clock: eight seconds
)
