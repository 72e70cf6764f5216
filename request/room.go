package request

// Room is memory for the elements of the batches that one goroutine at a time decodes. It is used again after Reset: an element lives
// until then, and whoever resets must know that nobody holds one any more. The zero value is empty.
type Room[T any] struct {
	items []T
	at    []*T
}

// take returns n zero elements. Those taken before stay where they are.
func (m *Room[T]) take(n int) []*T {
	if n > cap(m.items)-len(m.items) {
		m.items = make([]T, 0, max(n, min(2*cap(m.items), roomItemsMax)))
	}
	if n > cap(m.at)-len(m.at) {
		m.at = make([]*T, 0, max(n, min(2*cap(m.at), roomItemsMax)))
	}
	first := len(m.at)
	for range n {
		m.items = m.items[:len(m.items)+1]
		m.at = append(m.at, &m.items[len(m.items)-1])
	}
	return m.at[first:len(m.at):len(m.at)]
}

// Reset takes all elements back, and lets go of what they refer to. What a large batch needed is not kept.
func (m *Room[T]) Reset() {
	if cap(m.items) > roomItemsMax || cap(m.at) > roomItemsMax {
		*m = Room[T]{}
		return
	}
	clear(m.items)
	clear(m.at)
	m.items, m.at = m.items[:0], m.at[:0]
}
