package resp

import "strings"

func runClientID(c *conn, _ *call) { c.out.int(c.profile.id) }

func runClientSetName(c *conn, q *call) {
	if q.fault = checkName(q.args[2]); q.fault != "" {
		return
	}
	c.profile.edit(func(v *view) { v.name = string(q.args[2]) })
	c.out.simple("OK")
}

// checkName refuses names that would break the lines of CLIENT LIST.
func checkName(name []byte) (fault string) {
	if !printable(name) {
		return faultName
	}
	return ""
}

func printable(name []byte) bool {
	for _, b := range name {
		if b < '!' || b > '~' {
			return false
		}
	}
	return len(name) <= NameBytesMax
}

func runClientGetName(c *conn, _ *call) {
	if name := c.profile.view().name; name != "" {
		c.out.text(name)
	} else {
		c.out.null()
	}
}

// runClientSetInfo keeps the library's name and version. Redis has it since 7.2; libraries send it to any server.
func runClientSetInfo(c *conn, q *call) {
	value := q.args[3]
	attribute := strings.ToLower(clip(q.args[2], PreviewBytesMax))
	switch {
	case attribute != "lib-name" && attribute != "lib-ver":
		q.fault = "ERR Unrecognized option '" + clip(q.args[2], PreviewBytesMax) + "'"
		return
	case !printable(value):
		q.fault = "ERR " + attribute + " cannot contain spaces, newlines or special characters."
		return
	}
	c.profile.edit(func(v *view) {
		if attribute == "lib-name" {
			v.library = string(value)
		} else {
			v.libno = string(value)
		}
	})
	c.out.simple("OK")
}

func runClientInfo(c *conn, q *call) {
	v := c.profile.view()
	v.space, v.command = c.space, q.cmd.name
	c.out.text(v.line(c.start))
}

func runClientList(c *conn, q *call) {
	wanted, fault := parseListFilter(q.args[2:])
	if fault != "" {
		q.fault = fault
		return
	}
	c.profile.ran(q.cmd.name)
	var b strings.Builder
	for _, v := range c.srv.profiles() {
		if wanted(v.id) {
			b.WriteString(v.line(c.start))
		}
	}
	c.out.text(b.String())
}

// parseListFilter reads TYPE type and ID id ... of CLIENT LIST. All clients are of type normal.
func parseListFilter(args [][]byte) (wanted func(id int64) bool, fault string) {
	switch {
	case len(args) == 0:
		return func(int64) bool { return true }, ""
	case len(args) == 2 && equalFold(args[0], "type"):
		return parseListType(args[1])
	case len(args) > 1 && equalFold(args[0], "id"):
		return parseListIDs(args[1:])
	}
	return nil, faultSyntax
}

func parseListType(name []byte) (wanted func(id int64) bool, fault string) {
	switch {
	case equalFold(name, "normal"):
		return func(int64) bool { return true }, ""
	case equalFold(name, "master"), equalFold(name, "replica"), equalFold(name, "slave"), equalFold(name, "pubsub"):
		return func(int64) bool { return false }, ""
	}
	return nil, "ERR Unknown client type '" + clip(name, PreviewBytesMax) + "'"
}

func parseListIDs(args [][]byte) (wanted func(id int64) bool, fault string) {
	ids := make(map[int64]bool, len(args))
	for _, a := range args {
		id, ok := parseInt(a)
		if !ok {
			return nil, "ERR Invalid client ID"
		}
		ids[id] = true
	}
	return func(id int64) bool { return ids[id] }, ""
}

// runOnOff answers OK to ON and OFF: a switch for what does not exist here (CLIENT NO-EVICT, NO-TOUCH).
func runOnOff(c *conn, q *call) {
	if q.is(2, "on") || q.is(2, "off") {
		c.out.simple("OK")
		return
	}
	q.fault = faultSyntax
}

// runClientTracking refuses what would make a client trust its cache without ever being told of changes.
func runClientTracking(c *conn, q *call) {
	switch {
	case q.is(2, "off"):
		c.out.simple("OK")
	case q.is(2, "on"):
		q.fault = "ERR client-side caching is not supported: nothing would be invalidated. Connect without it"
	default:
		q.fault = faultSyntax
	}
}
