package resp

import (
	"math"

	"github.com/holdfastdb/holdfast/request"
)

func runPing(c *conn, q *call) {
	switch len(q.args) {
	case 1:
		c.out.simple("PONG")
	case 2:
		c.out.bulk(q.args[1])
	default:
		q.fault = faultArity(q.cmd)
	}
}

func runEcho(c *conn, q *call) { c.out.bulk(q.args[1]) }

func runOK(c *conn, _ *call) { c.out.simple("OK") }

func runQuit(c *conn, _ *call) {
	c.out.simple("OK")
	c.closing = true
}

// runReset makes the connection as new, but for its id.
func runReset(c *conn, _ *call) {
	c.space, c.r, c.w, c.last = 0, 0, 0, lastWrite{}
	c.profile.edit(func(v *view) { v.name = "" })
	c.out.simple("RESET")
}

// runSelect chooses the keyspace: Redis's numbered databases.
func runSelect(c *conn, q *call) {
	n, ok := parseInt(q.args[1])
	switch {
	case !ok:
		q.fault = faultNotInteger
	case n < math.MinInt32 || n > math.MaxInt32:
		q.fault = "ERR value is out of range, value must between -2147483648 and 2147483647"
	case n < 0 || n >= request.SpacesMax:
		q.fault = faultDBIndex
	default:
		c.space = uint8(n)
		c.out.simple("OK")
	}
}

// runAuth answers as a Redis without passwords does: the default user needs none, and there is no other.
func runAuth(c *conn, q *call) {
	switch len(q.args) {
	case 2:
		q.fault = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	case 3:
		if q.fault = authenticate(q.args[1]); q.fault == "" {
			c.out.simple("OK")
		}
	default:
		q.fault = faultSyntax
	}
}

func authenticate(user []byte) (fault string) {
	if string(user) != "default" {
		return "WRONGPASS invalid username-password pair or user is disabled."
	}
	return ""
}

// runHello answers the handshake. RESP2 is the only version yet: for any other the client is told so in the words
// that make it fall back.
func runHello(c *conn, q *call) {
	var name []byte
	named := false
	if len(q.args) > 1 {
		if q.fault = checkVersion(q.args[1]); q.fault != "" {
			return
		}
		if name, named, q.fault = helloOptions(q.args[2:]); q.fault != "" {
			return
		}
	}
	if named {
		c.profile.edit(func(v *view) { v.name = string(name) })
	}
	c.writeHello()
}

func checkVersion(b []byte) (fault string) {
	n, ok := parseInt(b)
	switch {
	case !ok:
		return "ERR Protocol version is not an integer or out of range"
	case n == 3:
		return faultNoRESP3
	case n != 2:
		return faultNoProto
	}
	return ""
}

// helloOptions reads AUTH user password and SETNAME name. Nothing is done before all is right.
func helloOptions(args [][]byte) (name []byte, named bool, fault string) {
	for len(args) > 0 {
		switch {
		case equalFold(args[0], "auth") && len(args) > 2:
			if fault = authenticate(args[1]); fault != "" {
				return nil, false, fault
			}
			args = args[3:]
		case equalFold(args[0], "setname") && len(args) > 1:
			if fault = checkName(args[1]); fault != "" {
				return nil, false, fault
			}
			name, named, args = args[1], true, args[2:]
		default:
			return nil, false, "ERR Syntax error in HELLO option '" + clip(args[0], PreviewBytesMax) + "'"
		}
	}
	return name, named, ""
}

func (c *conn) writeHello() {
	c.out.dict(7)
	c.out.entry("server", "redis")
	c.out.entry("version", RedisVersion)
	c.out.text("proto")
	c.out.int(int64(c.out.version))
	c.out.text("id")
	c.out.int(c.profile.id)
	c.out.entry("mode", "cluster")
	c.out.entry("role", "master")
	c.out.text("modules")
	c.out.array(0)
}
