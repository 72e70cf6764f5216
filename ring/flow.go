package ring

// A flow is a network in which a maximum flow of minimum cost is sought. Costs may be negative where no cycle is.
//
// It augments along all cheapest paths at once: label every vertex with its cheapest distance, send what fits along arcs
// that lie on cheapest paths, label again. Path costs here take few distinct values, so there are few rounds.
type flow struct {
	arcs []arc     // arc i and its reverse i^1 stand together
	out  [][]int32 // arcs leaving each vertex
	dist []int64
	next []int32 // first arc of each vertex that may still carry flow in this round
	on   []bool  // on the path being searched, or in the queue
}

type arc struct {
	to   int32
	room int32
	cost int64
}

const unreached = int64(1) << 62

func newFlow(vertices int) *flow {
	return &flow{
		out:  make([][]int32, vertices),
		dist: make([]int64, vertices),
		next: make([]int32, vertices),
		on:   make([]bool, vertices),
	}
}

// connect adds an arc and returns its index. An arc without room is added too: callers count on the order.
func (f *flow) connect(from, to int, room int64, cost int64) int {
	i := len(f.arcs)
	f.arcs = append(f.arcs, arc{int32(to), int32(room), cost}, arc{int32(from), 0, -cost})
	f.out[from] = append(f.out[from], int32(i))
	f.out[to] = append(f.out[to], int32(i+1))
	return i
}

// carried returns the flow on an arc.
func (f *flow) carried(i int) int32 { return f.arcs[i^1].room }

// run sends as much as it can from source to sink, as cheaply as it can, and returns the amount.
func (f *flow) run(source, sink int) (sent int64) {
	for f.label(source, sink) {
		clear(f.next)
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
	queue := []int32{int32(source)}
	for len(queue) > 0 {
		v := queue[0]
		queue, f.on[v] = queue[1:], false
		for _, i := range f.out[v] {
			a := f.arcs[i]
			if d := f.dist[v] + a.cost; a.room > 0 && d < f.dist[a.to] {
				f.dist[a.to] = d
				if !f.on[a.to] {
					queue, f.on[a.to] = append(queue, a.to), true
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
	for ; int(f.next[v]) < len(f.out[v]); f.next[v]++ {
		i := f.out[v][f.next[v]]
		a := f.arcs[i]
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
