package causal

// The caps of an encoded context and state. They bound what the decoders accept, and stand far above what the
// coordinator lets a key grow to, because Sync must not drop anything: see State.Fits.
const (
	slabStatesMax = 64       // states that a Slab allocates for at once
	ActorsMax     = 4 << 10  // actors of one context
	GapsMax       = 16 << 10 // counters beyond the contiguous ones, over all actors of one context
	StampsMax     = 16 << 10 // remembered stamps of one context
	SiblingsMax   = 4 << 10  // siblings of one state
	CounterMax    = 1 << 62  // highest counter of a dot
	CoreBytesMax  = 1 << 30  // bytes of a state's encoding, remembered stamps not counted
	BriefBootsMax = 255      // boots that have numbers in briefs
	// TokenBytesMax is the longest token: it holds every context within the caps above, with a third for the text form.
	TokenBytesMax = 1 << 20 // bytes
)
