// Package cart is a shopping cart service over a Holdfast cluster: an example of what the version-aware commands are for.
//
// The store never refuses a write because another is under way; where two meet it keeps both, and GETV hands both to the next
// reader. This package merges them so that an added item is never lost.
//
// Dynamo's authors merged carts by union and paid for it: "deleted items can resurface". Of two versions, one with the book
// and one without, the union has the book, for it cannot tell "not added yet" from "removed since". Here every addition has
// an id of its own, and a removal names the ids that it saw. Merging, an addition stays unless a removal names it. So a
// removed item stays removed, and one that somebody adds meanwhile, unseen by the remover, stays: additions win.
//
// A removal is remembered for RemovalsKept after it was made; a version of the cart that was cut off for longer, and
// still holds the item, brings it back. That is the price of a bound, and it is paid on the side of "nothing added is lost".
package cart

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Addition is one act of adding. It never changes.
type Addition struct {
	Item string `json:"item"`
	Qty  int    `json:"qty"`
}

// Cart is one version of a cart. The zero value is the empty cart. Treat it as immutable: its methods return new ones.
type Cart struct {
	Added   map[string]Addition `json:"added"`   // by id
	Removed map[string]int64    `json:"removed"` // ids of removed additions, and when, in Unix seconds
}

// Line is what a person sees: an item, and how many of it.
type Line struct {
	Item string `json:"item"`
	Qty  int    `json:"qty"`
}

// Errors of the cart.
var (
	// ErrFull: the cart holds EntriesMax additions and removals.
	ErrFull = errors.New("cart: full")
	// ErrDamaged: stored bytes are not a cart.
	ErrDamaged = errors.New("cart: stored value is not a cart")
)

// Merge returns what two versions amount to: all that was added in either and removed in neither. It is commutative,
// associative and idempotent, and drops nothing for size. O(a + b).
func Merge(a, b Cart) Cart {
	merged := a.clone()
	for id, at := range b.Removed {
		merged.Removed[id] = max(at, merged.Removed[id])
	}
	for id, addition := range b.Added {
		if other, ok := merged.Added[id]; !ok || other.compare(addition) < 0 {
			merged.Added[id] = addition
		}
	}
	for id := range merged.Removed {
		delete(merged.Added, id)
	}
	return merged
}

// compare orders additions. Two of the same id are equal unless a client gave one id to two of them; then merging must still
// come to one answer, whatever its order.
func (a Addition) compare(b Addition) int {
	return cmp.Or(cmp.Compare(a.Qty, b.Qty), cmp.Compare(a.Item, b.Item))
}

// Add returns the cart with an addition. It changes nothing if the id is known already, added or removed, so that the same
// request may be applied twice. ErrFull at EntriesMax.
func (c Cart) Add(id, item string, qty int) (Cart, error) {
	_, added := c.Added[id]
	_, removed := c.Removed[id]
	if added || removed {
		return c, nil
	}
	if len(c.Added)+len(c.Removed) >= EntriesMax {
		return c, ErrFull
	}
	next := c.clone()
	next.Added[id] = Addition{Item: item, Qty: qty}
	return next, nil
}

// Seen returns the ids of the item's additions, sorted: what a removal of the item takes away.
func (c Cart) Seen(item string) []string {
	var ids []string
	for id, addition := range c.Added {
		if addition.Item == item {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Remove returns the cart without the additions of these ids, whether it has them yet or not. It may be applied twice.
func (c Cart) Remove(ids []string, now time.Time) Cart {
	next := c.clone()
	for _, id := range ids {
		delete(next.Added, id)
		next.Removed[id] = max(next.Removed[id], now.Unix())
	}
	return next
}

// Forget returns the cart without the removals that are older than RemovalsKept.
func (c Cart) Forget(now time.Time) Cart {
	next := c.clone()
	oldest := now.Add(-RemovalsKept).Unix()
	maps.DeleteFunc(next.Removed, func(_ string, at int64) bool { return at < oldest })
	return next
}

// Lines returns the items, sorted, each with the sum of its additions.
func (c Cart) Lines() []Line {
	sums := map[string]int{}
	for _, addition := range c.Added {
		sums[addition.Item] += addition.Qty
	}
	lines := make([]Line, 0, len(sums))
	for _, item := range slices.Sorted(maps.Keys(sums)) {
		lines = append(lines, Line{item, sums[item]})
	}
	return lines
}

// Encode returns the bytes that are stored. Equal carts have equal bytes, so that the store shows two of them as one.
func (c Cart) Encode() []byte {
	b, err := json.Marshal(c.clone())
	if err != nil {
		panic(fmt.Sprintf("cart: a cart does not encode: %v", err)) // strings and numbers always do
	}
	return b
}

// Decode reverses Encode. ErrDamaged if the bytes are something else, so that nobody overwrites what is not a cart.
func Decode(b []byte) (Cart, error) {
	var c Cart
	if len(b) > StoredBytesMax {
		return Cart{}, fmt.Errorf("%w: longer than %d bytes", ErrDamaged, StoredBytesMax)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return Cart{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if c.Added == nil || c.Removed == nil {
		return Cart{}, fmt.Errorf("%w: a field is missing", ErrDamaged)
	}
	for id, addition := range c.Added {
		if _, removed := c.Removed[id]; removed || addition.Qty < 1 || addition.Qty > QtyMax {
			return Cart{}, fmt.Errorf("%w: addition %q", ErrDamaged, id)
		}
	}
	return c, nil
}

// clone returns a copy whose maps are not nil.
func (c Cart) clone() Cart {
	next := Cart{Added: maps.Clone(c.Added), Removed: maps.Clone(c.Removed)}
	if next.Added == nil {
		next.Added = map[string]Addition{}
	}
	if next.Removed == nil {
		next.Removed = map[string]int64{}
	}
	return next
}
