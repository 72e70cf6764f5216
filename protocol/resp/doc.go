// Package resp is the Redis front-end: clients that speak RESP2 use the store as they use Redis.
//
// A connection is one goroutine: read what is there, decode every complete command (decoder), run consecutive data
// commands as one batch (wave), write the replies in order, flush when the input is used up. Each command is an
// entry of one table, which COMMAND answers from.
//
// Replies and error texts are those of Redis 7.0.15 where Redis has the command; a test runs both side by side. What
// only a replicated store can say has codes of its own: -NOQUORUM, -MAYBE, -TRYAGAIN, -TOOBIG, -BADCONTEXT.
//
// The decoder is our own because no byte of a client may end the process, cost more than linear time, or claim more
// memory than was sent; of redcon only the encoders are used.
package resp
