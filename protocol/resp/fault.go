package resp

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// Redis's own texts.
const (
	faultSyntax     = "ERR syntax error"
	faultNotInteger = "ERR value is not an integer or out of range"
	faultOverflow   = "ERR increment or decrement would overflow"
	faultDecrement  = "ERR decrement would overflow"
	faultDBIndex    = "ERR DB index is out of range"
	faultName       = "ERR Client names cannot contain spaces, newlines or special characters."
	faultNoProto    = "NOPROTO unsupported protocol version"
	// faultNoRESP3 has the code that Redis has for a version that it lacks, and the words by which rueidis, which looks
	// at nothing else, knows that it must fall back to RESP2.
	faultNoRESP3  = "NOPROTO unsupported protocol version: take it as unknown command 'HELLO' and speak RESP2"
	faultInternal = "ERR internal error; the command was perhaps executed; the node's log says more"
)

// outcome is how a command ended, for the metrics.
type outcome string

const (
	outcomeOK         outcome = "ok"
	outcomeError      outcome = "error" // the client's mistake
	outcomeNoQuorum   outcome = "noquorum"
	outcomeMaybe      outcome = "maybe"
	outcomeTryAgain   outcome = "tryagain"
	outcomeTooBig     outcome = "toobig"
	outcomeBadContext outcome = "badcontext"
	outcomeInternal   outcome = "internal"
)

// Outcomes returns every outcome that Metrics.Observe may be given.
func Outcomes() []string {
	return []string{"ok", "error", "noquorum", "maybe", "tryagain", "toobig", "badcontext", "internal"}
}

// outcomeOf reads the outcome off an error's code.
func outcomeOf(fault string) outcome {
	code, _, _ := strings.Cut(fault, " ")
	switch code {
	case "NOQUORUM", "MAYBE", "TRYAGAIN", "TOOBIG", "BADCONTEXT":
		return outcome(strings.ToLower(code))
	}
	if fault == faultInternal {
		return outcomeInternal
	}
	return outcomeError
}

// errReplyTooBig stops a command that reads more than ReplyBytesMax.
var errReplyTooBig = errors.New("reply too big")

// wireError turns the error of a command into what the client is told: what happened, to what, what to do.
// It is the one place where errors become text. writes says whether the command changes keys: if it does and the
// error leaves open whether it was executed, the answer is MAYBE.
func wireError(m *command, err error) string {
	var quorum *request.QuorumError
	errors.As(err, &quorum)
	switch {
	case errors.Is(err, request.ErrNotInteger):
		return faultNotInteger
	case errors.Is(err, request.ErrOverflow):
		return faultOverflow
	case errors.Is(err, causal.ErrBadToken):
		return fmt.Sprintf("BADCONTEXT the context given to '%s' is damaged or of another key: nothing was written. Read the key with GETV and use the context that it returns", m.name)
	case errors.Is(err, errReplyTooBig):
		return fmt.Sprintf("TOOBIG '%s' would answer more than %d bytes. Ask for fewer keys at a time", m.name, ReplyBytesMax)
	case errors.Is(err, request.ErrTooManySiblings):
		return fmt.Sprintf("TOOBIG the key holds %d concurrent values, the most it can: nothing was written. Merge them: GETV, then PUTCTX with its context", request.SiblingsMax)
	case errors.Is(err, request.ErrTooBig):
		return fmt.Sprintf("TOOBIG '%s' would exceed %d bytes in one value: nothing was written", m.name, request.ValueBytesMax)
	case errors.Is(err, request.ErrNoQuorum):
		return "NOQUORUM " + noQuorum(m, quorum)
	case request.NotExecuted(err):
		return fmt.Sprintf("TRYAGAIN '%s' was not executed: %v. Try again in a moment", m.name, reason(err))
	case errors.Is(err, request.ErrCorrupt):
		return fmt.Sprintf("ERR '%s' met a damaged copy of the key on disk; the node's log names it", m.name)
	case m.writes():
		return "MAYBE " + maybe(m, quorum)
	case errors.Is(err, request.ErrLost), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, request.ErrMaybe):
		return fmt.Sprintf("TRYAGAIN '%s' was not answered in time. Try again in a moment", m.name)
	}
	return faultInternal
}

func noQuorum(m *command, q *request.QuorumError) string {
	counts := "fewer replicas are in reach than it needs"
	if q != nil {
		counts = fmt.Sprintf("it needs %d replicas and %d are in reach", q.Need, q.Have)
	}
	return fmt.Sprintf("'%s' was not executed: %s. Try again when more nodes are up", m.name, counts)
}

func maybe(m *command, q *request.QuorumError) string {
	counts := "too few replicas answered in time"
	if q != nil {
		counts = fmt.Sprintf("%d of the %d replicas needed answered in time", q.Have, q.Need)
	}
	return fmt.Sprintf("'%s' was perhaps executed: %s. Read the key before you send it again", m.name, counts)
}

// reason returns the sentinel inside an error that says that nothing was done: the rest is for the log.
func reason(err error) error {
	for _, e := range []error{
		request.ErrOverloaded, request.ErrClosed, request.ErrDiskLow, request.ErrHintsFull,
		request.ErrUnreachable, request.ErrNotOwner, request.ErrExpired,
	} {
		if errors.Is(err, e) {
			return e
		}
	}
	return err
}

// firstError returns what the client is told of a call's failed operations, or "" if none failed. Of a command that
// writes several keys, it may be only that some were written and some were not.
func firstError(q *call) string {
	failed, sure := 0, true
	var first error
	for _, op := range q.ops {
		if err := op.Result.Err; err != nil {
			failed++
			sure = sure && refused(err)
			if first == nil {
				first = err
			}
		}
	}
	switch {
	case first == nil:
		return ""
	case len(q.ops) == 1 || !q.cmd.writes() || failed == len(q.ops) && sure:
		return wireError(q.cmd, first)
	}
	return fmt.Sprintf("MAYBE '%s' was executed on %d of %d keys; on the others: %v. Read the keys before you send it again",
		q.cmd.name, len(q.ops)-failed, len(q.ops), root(first))
}

// refused reports whether err says that nothing was written.
func refused(err error) bool { return request.NotExecuted(err) || errors.Is(err, request.ErrTooBig) }

// root returns the request error inside err, without what its passage added.
func root(err error) error {
	for _, e := range []error{request.ErrNoQuorum, request.ErrMaybe, request.ErrTooManySiblings, request.ErrTooBig, request.ErrLost} {
		if errors.Is(err, e) {
			return e
		}
	}
	return reason(err)
}

func faultArity(m *command) string {
	return "ERR wrong number of arguments for '" + m.name + "' command"
}

func faultExpire(m *command) string {
	return "ERR invalid expire time in '" + m.name + "' command"
}

// faultUnknown names a command that does not exist, and the start of its arguments, as Redis does.
func faultUnknown(args [][]byte) string {
	var preview strings.Builder
	for _, a := range args[1:] {
		room := PreviewBytesMax - preview.Len()
		if room <= 0 {
			break
		}
		preview.WriteString("'" + clip(a, room) + "' ")
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", clip(args[0], PreviewBytesMax), preview.String())
}

func faultSubcommand(m *command, name []byte) string {
	return fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", clip(name, PreviewBytesMax), strings.ToUpper(m.name))
}

// clip returns the first n bytes of b, up to a NUL: Redis prints arguments as C strings.
func clip(b []byte, n int) string {
	if end := indexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b[:min(n, len(b))])
}
