package coordinator

import (
	"strconv"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// live returns the sibling that GET shows: the newest, unless it has expired by now (Unix milliseconds).
func live(s causal.State, now int64) (causal.Sibling, bool) {
	w, ok := s.Winner()
	if !ok || expired(w.ExpireAt, now) {
		return causal.Sibling{}, false
	}
	return w, true
}

func expired(at, now int64) bool { return at != 0 && at <= now }

// change is what a Modify makes of a key: the versions to write over everything seen, or nothing.
type change struct {
	write    bool
	versions []causal.Version // empty with write set: a delete
	result   request.Result
}

// modify computes a Modify or a Delete from what the key holds now. It is a pure function; the coordinator writes what
// it says under the key's lock. cur is the synced state of the quorum read and of the coordinator's own copy.
func modify(op *request.Op, cur causal.State, now int64) change {
	old, present := live(cur, now)
	if op.Verb == request.Delete {
		return deletion(cur, present, request.Result{Int: truth(present)})
	}
	switch op.Change {
	case request.ChangeSet:
		return changeSet(op, old, present)
	case request.ChangeAdd:
		return changeAdd(op, old, present)
	case request.ChangeAppend:
		return changeAppend(op, old, present)
	case request.ChangeDelete:
		return deletion(cur, present, request.Result{Int: truth(present), State: showing(old, present)})
	case request.ChangeExpire:
		return changeExpire(op, cur, old, present, now)
	}
	return refused(request.ErrInternal)
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func refused(err error) change { return change{result: request.Result{Err: err}} }

// showing wraps the old value for the result. Its dot is a stand-in: the value may be one that an earlier operation of
// the same round made and that was never minted by itself.
func showing(old causal.Sibling, present bool) causal.State {
	if !present {
		return causal.State{}
	}
	old.Dot = causal.Dot{Actor: causal.Actor{Boot: 1, Seq: 1}, Counter: 1}
	return causal.State{Seen: causal.Context{}.Add(old.Dot), Siblings: []causal.Sibling{old}}
}

func deletion(cur causal.State, present bool, r request.Result) change {
	r.Wrote = present
	return change{write: len(cur.Siblings) > 0, result: r}
}

func changeSet(op *request.Op, old causal.Sibling, present bool) change {
	r := request.Result{State: showing(old, present)}
	if op.Cond&request.IfAbsent != 0 && present || op.Cond&request.IfPresent != 0 && !present {
		return change{result: r}
	}
	v := causal.Version{Stamp: op.Stamp, ExpireAt: op.ExpireAt, Flags: op.Flags, Value: op.Value}
	if op.Cond&request.KeepTTL != 0 && present {
		v.ExpireAt = old.ExpireAt
	}
	r.Wrote, r.Int = true, 1
	return change{write: true, versions: []causal.Version{v}, result: r}
}

func changeAdd(op *request.Op, old causal.Sibling, present bool) change {
	var n int64
	if present {
		var ok bool
		if n, ok = parseInteger(old.Value); !ok {
			return refused(request.ErrNotInteger)
		}
	}
	sum := n + op.Delta
	if op.Delta > 0 && sum < n || op.Delta < 0 && sum > n {
		return refused(request.ErrOverflow)
	}
	v := successor(op, old, present)
	v.Value = strconv.AppendInt(nil, sum, 10)
	return change{write: true, versions: []causal.Version{v}, result: request.Result{Int: sum, Wrote: true}}
}

// parseInteger accepts exactly what Redis's string2ll does: an optional minus, no leading zeros, 64 bits.
func parseInteger(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(b) > 1 || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// successor is a version that takes over the old one's expiry and flags.
func successor(op *request.Op, old causal.Sibling, present bool) causal.Version {
	v := causal.Version{Stamp: op.Stamp, Flags: op.Flags}
	if present {
		v.ExpireAt, v.Flags = old.ExpireAt, old.Flags
	}
	return v
}

func changeAppend(op *request.Op, old causal.Sibling, present bool) change {
	if len(old.Value)+len(op.Value) > request.ValueBytesMax {
		return refused(request.ErrTooBig)
	}
	v := successor(op, old, present)
	v.Value = append(append(make([]byte, 0, len(old.Value)+len(op.Value)), old.Value...), op.Value...)
	r := request.Result{Int: int64(len(v.Value)), Wrote: true}
	if !present && len(op.Value) == 0 {
		r.Wrote = false // Redis: APPEND of nothing to nothing makes no key
		return change{result: r}
	}
	return change{write: true, versions: []causal.Version{v}, result: r}
}

// changeExpire rewrites every live sibling with the new expiry: expiry belongs to the sibling, and a dot's content
// never changes, so each gets a new dot and keeps its stamp and value.
func changeExpire(op *request.Op, cur causal.State, old causal.Sibling, present bool, now int64) change {
	r := request.Result{State: showing(old, present)}
	if !present || !expiryAllowed(op, old) {
		return change{result: r}
	}
	r.Int, r.Wrote = 1, true
	if expired(op.ExpireAt, now) {
		return change{write: true, result: r}
	}
	c := change{write: true, result: r}
	for _, s := range cur.Siblings {
		if expired(s.ExpireAt, now) {
			continue
		}
		s.Version.ExpireAt = op.ExpireAt
		c.versions = append(c.versions, s.Version)
	}
	return c
}

// expiryAllowed judges NX, XX, GT and LT of EXPIRE against the value that GET shows; no expiry counts as infinitely
// late. PERSIST is ExpireAt 0 with IfTTL.
func expiryAllowed(op *request.Op, old causal.Sibling) bool {
	has := old.ExpireAt != 0
	switch {
	case op.Cond&request.IfNoTTL != 0 && has:
		return false
	case op.Cond&request.IfTTL != 0 && !has:
		return false
	case op.Cond&request.IfLater != 0 && (!has || op.ExpireAt <= old.ExpireAt):
		return false
	case op.Cond&request.IfEarlier != 0 && has && op.ExpireAt >= old.ExpireAt:
		return false
	}
	return true
}
