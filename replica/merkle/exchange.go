package merkle

import "errors"

// ErrAnswer says that an answer does not fit its question.
var ErrAnswer = errors.New("merkle: the answer does not fit the question")

// Question asks for the children of some nodes of a tree.
type Question struct {
	Level   int      // of the parents, 0 to DepthMax-1
	Parents []uint16 // ascending, 1 to ParentsMax
}

// Answer holds the sums of the children, in the order of the question's parents.
type Answer [][Fan]uint64

// Answer answers the question from the tree. A question below the leaves is answered with nothing.
func (t *Tree) Answer(q Question) Answer {
	if q.Level >= t.Depth() {
		return nil
	}
	a := make(Answer, len(q.Parents))
	for i, parent := range q.Parents {
		a[i] = t.children(q.Level, int(parent))
	}
	return a
}

// Exchange finds the leaves in which another node's tree differs from this node's, one level a question, and asks only
// below what differs. The local tree may change meanwhile: a change that is seen on one level and not on another makes a leaf
// differ, or be found equal, as it was at some moment between.
type Exchange struct {
	local  *Tree
	depth  int
	level  int      // of the nodes in differ
	differ []uint16 // ascending
}

// NewExchange begins with the other tree's root and depth.
func NewExchange(local *Tree, r Root) *Exchange {
	x := &Exchange{local: local, depth: min(local.Depth(), r.Depth)}
	if local.Root() != r.Sum {
		x.differ = []uint16{0}
	}
	return x
}

// Next returns what to ask; false when there is nothing more to ask.
func (x *Exchange) Next() (q Question, more bool) {
	if len(x.differ) == 0 || x.level == x.depth {
		return q, false
	}
	return Question{x.level, x.differ}, true
}

// Hear takes the answer to Next's question. ErrAnswer if it is none.
func (x *Exchange) Hear(a Answer) error {
	if len(a) != len(x.differ) {
		return ErrAnswer
	}
	var below []uint16
	for i, parent := range x.differ {
		ours := x.local.children(x.level, int(parent))
		for j := range ours {
			if ours[j] != a[i][j] {
				below = append(below, parent*Fan+uint16(j))
			}
		}
	}
	x.level++
	x.differ = below
	return nil
}

// Differing returns the leaves that differ, once Next has nothing more to ask.
func (x *Exchange) Differing() *Leaves {
	l := &Leaves{depth: x.depth}
	for _, i := range x.differ {
		l.add(int(i))
	}
	return l
}
