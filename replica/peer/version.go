package peer

// The protocol between nodes has versions, so that a cluster can be upgraded node by node: both sides of a connection speak the
// highest that both know, and each version's nodes speak the one before.
//
//	1  everything but what follows
//	2  an accepter that stops in good order says goodbye; before, it finished what it had begun and closed the connection, and
//	   what had been forwarded and not begun was lost; forwarded operations tell until when they may be minted, before, that was
//	   their deadline
//
// What a version adds is asked for by its number, like goodbyeSince. Control requests need none: a node answers those that
// it does not know with an error, and the connection stays. So do bytes at the end of a hello.
const (
	VersionMin   = 1
	goodbyeSince = 2
	mintSince    = 2
)
