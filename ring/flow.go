package ring

// A flow is a network in which a maximum flow of minimum cost is sought. Costs may be negative where no cycle is.
//
// It augments along all cheapest paths at once: label every vertex with its cheapest distance, send what fits along arcs
// that lie on cheapest paths, label again. Path costs here take few distinct values, so there are few rounds.
type flow struct {
	arcs  []arc   // arc i and its reverse i^1 stand together
	out   []int32 // the arcs that leave the first vertex, in the order in which they were added, then those of the second, ...
	first []int32 // where each vertex's begin in out; one more for the end
	dist  []int64
	next  []int32 // in out: the first arc of each vertex that may still carry flow in this round
	on    []bool  // on the path being searched, or in the queue
	queue []int32
}

type arc struct {
	to   int32
	room int32
	cost int64
}

const unreached = int64(1) << 62

// newFlow sets memory aside for so many vertices and arcs, not counting the reverse ones.
func newFlow(vertices, arcs int) *flow {
	return &flow{
		arcs:  make([]arc, 0, 2*arcs),
		first: make([]int32, vertices+1),
		dist:  make([]int64, vertices),
		next:  make([]int32, vertices),
		on:    make([]bool, vertices),
	}
}

// connect adds an arc and returns its index. An arc without room is added too: callers count on the order.
func (f *flow) connect(from, to int, room int64, cost int64) int {
	i := len(f.arcs)
	f.arcs = append(f.arcs, arc{int32(to), int32(room), cost}, arc{int32(from), 0, -cost})
	return i
}

// index lists the arcs by the vertices that they leave: arc i leaves where its reverse leads to.
func (f *flow) index() {
	f.out = make([]int32, len(f.arcs))
	for i := range f.arcs {
		f.first[f.arcs[i^1].to+1]++
	}
	for v := range f.next {
		f.first[v+1] += f.first[v]
	}
	copy(f.next, f.first)
	for i := range f.arcs {
		from := f.arcs[i^1].to
		f.out[f.next[from]] = int32(i)
		f.next[from]++
	}
}

// carried returns the flow on an arc.
func (f *flow) carried(i int) int32 { return f.arcs[i^1].room }

// run sends as much as it can from source to sink, as cheaply as it can, and returns the amount. It is called once, after all connects.
func (f *flow) run(source, sink int) (sent int64) {
	f.index()
	for f.label(source, sink) {
		copy(f.next, f.first)
		for {
			pushed := f.push(int32(source), int32(sink), 1<<30)
			if pushed == 0 {
				break
			}
			sent += int64(pushed)
		}
	}
	return sent
}

// label computes cheapest distances from the source (Bellman-Ford with a queue) and reports whether the sink has one.
func (f *flow) label(source, sink int) bool {
	for v := range f.dist {
		f.dist[v] = unreached
	}
	f.dist[source] = 0
	f.queue = append(f.queue[:0], int32(source))
	for at := 0; at < len(f.queue); at++ {
		v := f.queue[at]
		f.on[v] = false
		for _, i := range f.out[f.first[v]:f.first[v+1]] {
			a := &f.arcs[i]
			if d := f.dist[v] + a.cost; a.room > 0 && d < f.dist[a.to] {
				f.dist[a.to] = d
				if !f.on[a.to] {
					f.queue, f.on[a.to] = append(f.queue, a.to), true
				}
			}
		}
	}
	return f.dist[sink] < unreached
}

// push sends at most limit from v towards the sink along arcs of cheapest paths. Paths are as long as a chain of displacements,
// so that recursion stays within the number of vertices.
func (f *flow) push(v, sink int32, limit int32) (sent int32) {
	if v == sink {
		return limit
	}
	f.on[v] = true
	for ; f.next[v] < f.first[v+1]; f.next[v]++ {
		i := f.out[f.next[v]]
		a := &f.arcs[i]
		if a.room == 0 || f.on[a.to] || f.dist[a.to] != f.dist[v]+a.cost {
			continue
		}
		pushed := f.push(a.to, sink, min(limit-sent, a.room))
		f.arcs[i].room -= pushed
		f.arcs[i^1].room += pushed
		if sent += pushed; sent == limit {
			break
		}
	}
	f.on[v] = false
	return sent
}
