package resp

import "strings"

// runCommand answers COMMAND without a subcommand: all of them.
func runCommand(c *conn, _ *call) {
	c.out.array(len(c.srv.table.list))
	for i := range c.srv.table.list {
		c.writeCommand(&c.srv.table.list[i])
	}
}

func runCommandCount(c *conn, _ *call) { c.out.int(int64(len(c.srv.table.list))) }

// runCommandInfo answers null for a command that does not exist.
func runCommandInfo(c *conn, q *call) {
	if len(q.args) == 2 {
		runCommand(c, q)
		return
	}
	c.out.array(len(q.args) - 2)
	for _, name := range q.args[2:] {
		if m := c.srv.table.full(name); m != nil {
			c.writeCommand(m)
		} else {
			c.out.null()
		}
	}
}

// writeCommand writes the ten fields of a command's entry.
func (c *conn) writeCommand(m *command) {
	w := &c.out
	w.array(10)
	w.text(m.name)
	w.int(int64(m.arity))
	w.words(strings.Fields(m.flags))
	w.int(int64(m.keys.first))
	w.int(int64(m.keys.last))
	w.int(int64(m.keys.step))
	w.words(strings.Fields(m.acl))
	w.texts(strings.Fields(m.tips))
	writeKeySpecs(w, m.keys, m.note)
	w.array(len(m.subs))
	for i := range m.subs {
		c.writeCommand(&m.subs[i])
	}
}

// writeKeySpecs writes where the keys are in the form that Redis 7 introduced: a start, a range, a step.
func writeKeySpecs(w *writer, k keys, note string) {
	if k.first == 0 {
		w.array(0)
		return
	}
	last := k.last
	if last >= 0 {
		last -= k.first // counted from the first key
	}
	w.array(1)
	if note == "" {
		w.dict(3)
	} else {
		w.dict(4)
		w.entry("notes", note)
	}
	w.text("flags")
	w.words(strings.Fields(k.access))
	w.text("begin_search")
	w.dict(2)
	w.entry("type", "index")
	w.text("spec")
	w.dict(1)
	w.text("index")
	w.int(int64(k.first))
	w.text("find_keys")
	w.dict(2)
	w.entry("type", "range")
	w.text("spec")
	w.dict(3)
	w.text("lastkey")
	w.int(int64(last))
	w.text("keystep")
	w.int(int64(k.step))
	w.text("limit")
	w.int(0)
}

// runCommandDocs answers a map from names to documents; a command that does not exist is left out.
func runCommandDocs(c *conn, q *call) {
	var found []*command
	for _, name := range q.args[2:] {
		if m := c.srv.table.full(name); m != nil {
			found = append(found, m)
		}
	}
	if len(q.args) == 2 {
		for i := range c.srv.table.list {
			found = append(found, &c.srv.table.list[i])
		}
	}
	c.writeDocs(found)
}

func (c *conn) writeDocs(list []*command) {
	c.out.dict(len(list))
	for _, m := range list {
		c.out.text(m.name)
		c.writeDoc(m)
	}
}

func (c *conn) writeDoc(m *command) {
	fields := []string{"summary", m.summary, "since", m.since, "group", m.group, "complexity", m.complexity}
	n := len(fields) / 2
	if len(m.subs) > 0 {
		n++
	}
	c.out.dict(n)
	for _, f := range fields {
		c.out.text(f)
	}
	if len(m.subs) == 0 {
		return
	}
	subs := make([]*command, len(m.subs))
	for i := range m.subs {
		subs[i] = &m.subs[i]
	}
	c.out.text("subcommands")
	c.writeDocs(subs)
}

// runCommandList answers the names of all commands, or of those that a filter lets through.
func runCommandList(c *conn, q *call) {
	keep, ok := parseCommandFilter(q.args[2:])
	if !ok {
		q.fault = faultSyntax
		return
	}
	var names []string
	for i := range c.srv.table.list {
		m := &c.srv.table.list[i]
		if keep(m) {
			names = append(names, m.name)
		}
		for j := range m.subs {
			if len(q.args) > 2 && keep(&m.subs[j]) {
				names = append(names, m.subs[j].name)
			}
		}
	}
	c.out.texts(names)
}

// parseCommandFilter reads FILTERBY MODULE, ACLCAT or PATTERN. There are no modules.
func parseCommandFilter(args [][]byte) (keep func(*command) bool, ok bool) {
	if len(args) == 0 {
		return func(*command) bool { return true }, true
	}
	if len(args) != 3 || !equalFold(args[0], "filterby") {
		return nil, false
	}
	switch by := args[1]; {
	case equalFold(by, "module"):
		return func(*command) bool { return false }, true
	case equalFold(by, "aclcat"):
		category := "@" + strings.ToLower(string(args[2]))
		return func(m *command) bool { return hasWord(m.acl, category) }, true
	case equalFold(by, "pattern"):
		pattern := args[2]
		return func(m *command) bool { return matchGlob(pattern, m.name) }, true
	}
	return nil, false
}

// runCommandGetKeys answers the keys of the command that follows it.
func runCommandGetKeys(c *conn, q *call) {
	args := q.args[2:]
	m := c.srv.table.find(args[0])
	if m != nil && m.subs != nil && len(args) > 1 {
		m = m.sub(args[1])
	}
	switch {
	case m == nil:
		q.fault = "ERR Invalid command specified"
	case m.keys.first == 0:
		q.fault = "ERR The command has no key arguments"
	case !m.accepts(len(args)):
		q.fault = "ERR Invalid number of arguments specified for command"
	default:
		at := m.keys.positions(len(args))
		c.out.array(len(at))
		for _, i := range at {
			c.out.bulk(args[i])
		}
	}
}

// runHelp returns the HELP of a container, made from the summaries of its subcommands.
func runHelp(container string) func(*conn, *call) {
	return func(c *conn, _ *call) {
		m := c.srv.table.byName[container]
		lines := []string{strings.ToUpper(container) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}
		for i := range m.subs {
			_, own, _ := strings.Cut(m.subs[i].name, "|")
			lines = append(lines, strings.ToUpper(own)+m.subs[i].usage(), "    "+m.subs[i].summary)
		}
		c.out.words(lines)
	}
}

// usage returns the arguments of a subcommand as HELP shows them, behind a blank.
func (m *command) usage() string {
	if m.args == "" {
		return ""
	}
	return " " + m.args
}
