package resp

import (
	"math"

	"github.com/holdfastdb/holdfast/request"
)

// unit is how a command gives an expiry time.
type unit uint8

const (
	unitNone unit = iota
	unitEX        // seconds from now
	unitPX        // milliseconds from now
	unitEXAT      // Unix time in seconds
	unitPXAT      // Unix time in milliseconds
)

// optionSet says which options a command knows.
type optionSet uint8

const (
	optCond    optionSet = 1 << iota // NX, XX
	optGet                           // GET
	optKeepTTL                       // KEEPTTL
	optPersist                       // PERSIST
	optW                             // W n
)

// options are what follows the fixed arguments of SET, GETEX and PUTCTX.
type options struct {
	cond    request.Cond
	get     bool
	persist bool
	unit    unit
	raw     []byte // the expiry time as given
	w       uint8
}

// parseOptions reads options. known are those of the command beside the expiry times, which all know. The rules of
// which exclude which are Redis's: a time given twice in one unit is not an error, the last counts.
func parseOptions(args [][]byte, known optionSet) (o options, fault string) {
	for len(args) > 0 {
		n := o.flag(args[0], known)
		if n == 0 && len(args) > 1 {
			n, fault = o.pair(args[0], args[1], known)
		}
		if fault != "" {
			return o, fault
		}
		if n == 0 {
			return o, faultSyntax
		}
		args = args[n:]
	}
	return o, ""
}

// flag takes an option without a value: 1 if it did.
func (o *options) flag(word []byte, known optionSet) int {
	timed := o.unit != unitNone
	switch {
	case known&optCond != 0 && equalFold(word, "nx") && o.cond&request.IfPresent == 0:
		o.cond |= request.IfAbsent
	case known&optCond != 0 && equalFold(word, "xx") && o.cond&request.IfAbsent == 0:
		o.cond |= request.IfPresent
	case known&optGet != 0 && equalFold(word, "get"):
		o.get = true
	case known&optKeepTTL != 0 && equalFold(word, "keepttl") && !timed:
		o.cond |= request.KeepTTL
	case known&optPersist != 0 && equalFold(word, "persist") && !timed:
		o.persist = true
	default:
		return 0
	}
	return 1
}

// pair takes an option with a value: 2 if it did.
func (o *options) pair(word, value []byte, known optionSet) (n int, fault string) {
	if known&optW != 0 && equalFold(word, "w") {
		o.w, fault = parseQuorum(value)
		return 2, fault
	}
	u := parseUnit(word)
	if u == unitNone || o.cond&request.KeepTTL != 0 || o.persist || o.unit != unitNone && o.unit != u {
		return 0, ""
	}
	o.unit, o.raw = u, value
	return 2, ""
}

func parseUnit(word []byte) unit {
	switch {
	case equalFold(word, "ex"):
		return unitEX
	case equalFold(word, "px"):
		return unitPX
	case equalFold(word, "exat"):
		return unitEXAT
	case equalFold(word, "pxat"):
		return unitPXAT
	}
	return unitNone
}

// parseQuorum reads the n of R n and W n.
func parseQuorum(b []byte) (n uint8, fault string) {
	v, ok := parseInt(b)
	if !ok || v < 1 || v > math.MaxUint8 {
		return 0, "ERR a quorum is a number from 1 to 255"
	}
	return uint8(v), ""
}

// expireAt returns the Unix milliseconds that raw means in a command that sets a value: a time of 0 or less is wrong.
func (c *conn) expireAt(m *command, u unit, raw []byte) (at int64, fault string) {
	n, ok := parseInt(raw)
	if !ok {
		return 0, faultNotInteger
	}
	if n > 0 {
		n, ok = scale(n, u, c.now)
		if ok {
			return n, ""
		}
	}
	return 0, faultExpire(m)
}

// scale turns a time in some unit into Unix milliseconds; false if it does not fit.
func scale(n int64, u unit, now int64) (int64, bool) {
	if u == unitEX || u == unitEXAT {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return 0, false
		}
		n *= 1000
	}
	if u == unitEX || u == unitPX {
		if n > math.MaxInt64-now {
			return 0, false
		}
		n += now
	}
	return n, true
}
