package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Newcomer is what an empty node says of itself while it has no cluster.
type Newcomer struct {
	Member  Member
	Cluster Cluster  // what its flags ask for: Name, Q, N, R, W; no ID, no secret
	Seeds   []string // --join: gossip addresses, the first of which founds
	Expect  int      // --expect: how many empty nodes must have met; less than 2 counts as 1
	// First says that the first seed is this node, known by another name than Member.Gossip (a host name, say). Whoever makes
	// the record resolves names; nothing here does.
	First bool
}

// Founds reports whether the node is the one of its list that founds: the first seed, or a node without seeds.
func (n Newcomer) Founds() bool {
	return len(n.Seeds) == 0 || n.First || n.Seeds[0] == n.Member.Gossip
}

// Found decides whether an empty node founds a cluster now. met are the empty nodes that are in reach, itself included or not.
//
// It founds when it is the first seed of its list (or has none) and at least Expect empty nodes, itself included, have met and
// want the same: all that met become active members under Plan's first layout. Else the State is zero, and wait says in
// words whom or what it waits for. An error means that it can never found: settings beyond a cap. random fills a slice with
// random bits, for the cluster's id and secret; it is called only when founding.
//
// Two nodes that would both found, or nodes with different settings, wait and are named: two clusters where the operator
// meant one is the mistake that cannot be undone.
func Found(self Newcomer, met []Newcomer, random func([]byte)) (s State, wait string, err error) {
	all := gather(self, met)
	if wait := self.awaits(all); wait != "" {
		return State{}, wait, nil
	}
	s.Cluster = self.Cluster
	random(s.Cluster.ID[:])
	random(s.Cluster.Secret[:])
	for _, n := range all {
		m := n.Member
		m.Status = Active
		m.Epoch++
		s.Members = append(s.Members, m)
	}
	if s.Layout, err = Plan(nil, s.Members, s.Cluster.Q, s.Cluster.N); err != nil {
		return State{}, "", err
	}
	if err := s.Check(); err != nil {
		return State{}, "", err
	}
	return s, "", nil
}

// gather returns the node and those it met, sorted by id, no two of one. Of its own record it believes itself.
func gather(self Newcomer, met []Newcomer) []Newcomer {
	others := slices.DeleteFunc(slices.Clone(met), func(n Newcomer) bool { return n.Member.ID == self.Member.ID })
	return mergeNewcomers([]Newcomer{self}, mergeNewcomers(sorted(others), nil))
}

// awaits says what keeps the node from founding, or nothing.
func (n Newcomer) awaits(all []Newcomer) string {
	if !n.Founds() {
		return fmt.Sprintf("the first seed, %s, founds the cluster", n.Seeds[0])
	}
	for _, other := range all {
		switch {
		case other.Member.ID == n.Member.ID:
		case other.Founds():
			return fmt.Sprintf("%s would found a cluster too: give all nodes the same --join", other.Member.Name)
		case other.Cluster != n.Cluster || max(other.Expect, 1) != max(n.Expect, 1):
			return fmt.Sprintf("%s has other settings (--expect, --cluster, --partitions, --n, --r, --w): %s, here %s", other.Member.Name, other.settings(), n.settings())
		}
	}
	if len(all) < n.Expect {
		return fmt.Sprintf("%d of %d nodes have met (%s)%s", len(all), n.Expect, names(all), unmet(n.Seeds, all, n))
	}
	return ""
}

func (n Newcomer) settings() string {
	c := n.Cluster
	return fmt.Sprintf("expect %d, cluster %q, partitions %d, n=%d r=%d w=%d", max(n.Expect, 1), c.Name, c.Q, c.N, c.R, c.W)
}

func names(all []Newcomer) string {
	list := make([]string, len(all))
	for i, n := range all {
		list[i] = n.Member.Name
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// unmet names the seeds that nobody who met advertises. A seed given by another name than its node advertises is named too: the
// list is a hint for people.
func unmet(seeds []string, all []Newcomer, self Newcomer) string {
	var missing []string
	for i, seed := range seeds {
		isSelf := i == 0 && self.First
		if !isSelf && !slices.ContainsFunc(all, func(n Newcomer) bool { return n.Member.Gossip == seed }) {
			missing = append(missing, seed)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "; not heard from " + strings.Join(missing, ", ")
}

// mergeNewcomers merges two lists sorted by id, like the members in them.
func mergeNewcomers(a, b []Newcomer) []Newcomer {
	merged := sorted(slices.Concat(a, b))
	return slices.CompactFunc(merged, func(kept, next Newcomer) bool { return kept.Member.ID == next.Member.ID })
}

// sorted returns a sorted copy: by id, then the record that wins a merge first.
func sorted(list []Newcomer) []Newcomer {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Newcomer) int {
		if c := a.Member.ID.Compare(b.Member.ID); c != 0 {
			return c
		}
		if c := compareRecords(b.Member, a.Member); c != 0 {
			return c
		}
		return bytes.Compare(appendNewcomer(nil, b), appendNewcomer(nil, a))
	})
	return list
}

func (n Newcomer) check() error {
	if len(n.Seeds) > SeedsMax || n.Expect < 0 || n.Expect > NewcomersMax {
		return fmt.Errorf("%w: newcomer with %d seeds, expecting %d", ErrCorrupt, len(n.Seeds), n.Expect)
	}
	for _, seed := range n.Seeds {
		if len(seed) > AddressBytesMax {
			return fmt.Errorf("%w: seed of %d bytes", ErrCorrupt, len(seed))
		}
	}
	if !n.Cluster.ID.IsZero() || n.Cluster.Secret != [32]byte{} {
		return fmt.Errorf("%w: newcomer with a cluster", ErrCorrupt)
	}
	if err := n.Cluster.check(); err != nil {
		return err
	}
	return n.Member.check()
}

func appendNewcomer(dst []byte, n Newcomer) []byte {
	dst = appendCluster(appendMember(dst, n.Member), n.Cluster)
	dst = binary.AppendUvarint(dst, uint64(len(n.Seeds)))
	for _, seed := range n.Seeds {
		dst = appendString(dst, seed)
	}
	first := byte(0)
	if n.First {
		first = 1
	}
	return append(binary.AppendUvarint(dst, uint64(n.Expect)), first)
}

func (r *reader) newcomer() (n Newcomer) {
	n.Member = r.member()
	n.Cluster = r.cluster()
	n.Seeds = make([]string, r.count(SeedsMax, 1))
	for i := range n.Seeds {
		n.Seeds[i] = r.string(AddressBytesMax)
	}
	n.Expect = int(r.number(NewcomersMax))
	n.First = r.number(1) == 1
	return n
}
