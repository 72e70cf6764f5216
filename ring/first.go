package ring

import "slices"

// chooseFirst orders each partition's owners: the coordinator first, then the others as they stood before, newcomers last.
//
// It starts from the previous coordinators and improves: a chain of partitions, each passing its first place on to the next node, from
// a node with too many to one with too few. When no chain lessens the sum of squared distances from the fair shares,
// none is possible that does (the distances are convex), and every node is within 1 of its share if any choice has them so.
func (d *draft) chooseFirst() {
	for p := range d.owners {
		d.owners[p] = d.inOldOrder(p)
	}
	c := newChair(d)
	for c.improve() {
	}
	for p, first := range c.first {
		k := slices.Index(d.owners[p], first)
		d.owners[p] = slices.Insert(slices.Delete(d.owners[p], k, k+1), 0, first)
	}
}

func (d *draft) inOldOrder(p int) []int {
	var stay, come []int
	for _, i := range d.kept[p] {
		if slices.Contains(d.owners[p], i) {
			stay = append(stay, i)
		}
	}
	for _, i := range d.owners[p] {
		if !slices.Contains(d.kept[p], i) {
			come = append(come, i)
		}
	}
	return append(stay, come...)
}

// A chair knows who coordinates what.
type chair struct {
	d      *draft
	first  []int   // per partition, a node
	held   []int64 // first places of each node
	weight int64   // of all nodes
}

func newChair(d *draft) *chair {
	c := &chair{d: d, first: make([]int, d.q), held: make([]int64, len(d.nodes))}
	for _, claim := range d.claims {
		c.weight += claim.weight
	}
	for p, owners := range d.owners {
		c.first[p] = owners[0]
		if len(d.kept[p]) == 0 || d.kept[p][0] != owners[0] {
			c.first[p] = slices.MinFunc(owners, func(a, b int) int { return int(c.over(a) - c.over(b)) })
		}
		c.held[c.first[p]]++
	}
	return c
}

// over is how far a node's first places exceed its fair share, times the total weight.
func (c *chair) over(i int) int64 {
	return c.held[i]*c.weight - int64(c.d.q)*c.d.claims[i].weight
}

// improve moves one first place from a node to another that has more need of it, along the shortest chain, and reports
// whether there was one. It tries the most burdened first.
func (c *chair) improve() bool {
	givers := make([]int, len(c.held))
	for i := range givers {
		givers[i] = i
	}
	slices.SortStableFunc(givers, func(a, b int) int { return int(c.over(b) - c.over(a)) })
	passes := c.passes()
	for _, giver := range givers {
		via := c.reach(giver, passes)
		taker := giver
		for i := range c.held {
			if via[i] >= 0 && c.over(i) < c.over(taker) {
				taker = i
			}
		}
		// Squares fall when the two differ by more than one place.
		if c.over(giver)-c.over(taker) > c.weight {
			c.pass(giver, taker, via)
			return true
		}
	}
	return false
}

// passes returns, for each pair of nodes, a partition whose first place the one can pass to the other, or -1.
func (c *chair) passes() [][]int {
	table := make([][]int, len(c.held))
	for i := range table {
		table[i] = slices.Repeat([]int{-1}, len(c.held))
	}
	for p, first := range c.first {
		for _, owner := range c.d.owners[p] {
			if owner != first && table[first][owner] < 0 {
				table[first][owner] = p
			}
		}
	}
	return table
}

// reach returns, for each node that a chain from giver leads to, the last partition of the shortest one; -1 for the others.
func (c *chair) reach(giver int, passes [][]int) []int {
	via := slices.Repeat([]int{-1}, len(passes))
	queue := []int{giver}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for to, p := range passes[from] {
			if p >= 0 && via[to] < 0 && to != giver {
				via[to], queue = p, append(queue, to)
			}
		}
	}
	return via
}

// pass walks the chain from its end: each partition on it goes to the node that the chain leads to.
func (c *chair) pass(giver, taker int, via []int) {
	for to := taker; to != giver; {
		p := via[to]
		from := c.first[p]
		c.first[p] = to
		c.held[from]--
		c.held[to]++
		to = from
	}
}
