package resp

import (
	"bytes"
	"maps"
	"slices"
	"strconv"

	"github.com/holdfastdb/holdfast/request"
)

// parameters returns what CONFIG GET shows: the node's settings under Redis's names, for tools that ask.
func (s *Server) parameters() map[string]string {
	p := map[string]string{
		"appendonly":         "yes", // every acknowledged write is on disk or on its way there
		"cluster-enabled":    "yes",
		"databases":          strconv.Itoa(request.SpacesMax),
		"maxclients":         strconv.Itoa(s.cfg.ConnectionsMax),
		"maxmemory":          strconv.FormatInt(s.cfg.Info().MemoryMaxBytes, 10),
		"maxmemory-policy":   "noeviction",
		"proto-max-bulk-len": strconv.Itoa(BulkBytesMax),
		"save":               "",
		"timeout":            strconv.FormatInt(int64(s.cfg.Idle.Seconds()), 10),
	}
	maps.Copy(p, s.cfg.Parameters)
	return p
}

// runConfigGet answers the parameters that any of the names and patterns means, each once. One asked for by its name is
// spelled as it was asked for.
func runConfigGet(c *conn, q *call) {
	all := c.srv.parameters()
	sorted := slices.Sorted(maps.Keys(all))
	var pairs []string
	seen := map[string]bool{}
	for _, asked := range q.args[2:] {
		exact := !bytes.ContainsAny(asked, "[*?")
		for _, name := range sorted {
			if seen[name] || !matchGlob(asked, name) {
				continue
			}
			seen[name] = true
			shown := name
			if exact {
				shown = string(asked)
			}
			pairs = append(pairs, shown, all[name])
		}
	}
	c.out.dict(len(pairs) / 2)
	for _, s := range pairs {
		c.out.text(s)
	}
}

func runConfigSet(_ *conn, q *call) {
	q.fault = "ERR CONFIG SET is not supported: a node's settings are its flags. Start it again with another flag"
}
