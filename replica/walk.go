package replica

import (
	"bytes"
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Cursor is a place in a partition's rows, which stand keyspace after keyspace, each by key. The zero value is the
// beginning.
type Cursor struct {
	Space uint8
	Name  []byte
}

// before reports whether the cursor stands before the key, or at it.
func (c Cursor) before(k request.Key) bool {
	return k.Space > c.Space || k.Space == c.Space && bytes.Compare(k.Name, c.Name) >= 0
}

// After reports whether c stands behind o.
func (c Cursor) After(o Cursor) bool {
	return !c.before(request.Key{Space: o.Space, Name: o.Name})
}

// cursorAt returns the cursor of a key, whose name it copies.
func cursorAt(k request.Key) *Cursor { return &Cursor{k.Space, bytes.Clone(k.Name)} }

// walk calls visit with the rows of a partition, in order and from the cursor on, until it returns false or an error. The
// key's name and the value are valid during the call.
func walk(ctx context.Context, r pebble.Reader, p ring.Partition, from Cursor, visit func(k request.Key, value []byte) (bool, error)) (err error) {
	bounds := &pebble.IterOptions{LowerBound: place{from.Space, p}.append([]byte{prefixData}), UpperBound: []byte{prefixData + 1}}
	it, err := r.NewIterWithContext(ctx, bounds)
	if err != nil {
		return readError(err)
	}
	defer func() { err = firstError(err, it.Close()) }()
	for space := from.Space; space < request.SpacesMax; space++ {
		start := place{space, p}.append([]byte{prefixData})
		if space == from.Space {
			start = append(start, from.Name...)
		}
		if more, err := walkSpace(ctx, it, start, visit); err != nil || !more {
			return err
		}
	}
	return nil
}

// stroll is walk for background work: in slices of sliceLeast or a little more, after each of which clients come first. A wait keeps the
// iterator open, and with it the tables that it reads. The rest of the last slice is told, too, when all went well.
func (s *Store) stroll(ctx context.Context, r pebble.Reader, p ring.Partition, from Cursor, visit func(k request.Key, value []byte) (bool, error)) error {
	began, rows := time.Now(), 0
	err := walk(ctx, r, p, from, func(k request.Key, value []byte) (bool, error) {
		if rows++; rows%sliceRows == 0 && time.Since(began) >= sliceLeast {
			if err := s.cfg.Worked(ctx, time.Since(began)); err != nil {
				return false, err
			}
			began = time.Now()
		}
		return visit(k, value)
	})
	if err != nil {
		return err
	}
	return s.cfg.Worked(ctx, time.Since(began))
}

// walkSpace visits the rows of one keyspace, and reports whether visit wants more.
func walkSpace(ctx context.Context, it *pebble.Iterator, start []byte, visit func(k request.Key, value []byte) (bool, error)) (more bool, err error) {
	prefix := start[:1+placeSize]
	for ok := it.SeekGE(start); ok && bytes.HasPrefix(it.Key(), prefix); ok = it.Next() {
		k, _ := splitKey(it.Key()[1:])
		value, err := it.ValueAndErr()
		if err != nil {
			return false, readError(err)
		}
		if more, err := visit(k, value); err != nil || !more {
			return false, err
		}
	}
	if err := it.Error(); err != nil {
		return false, readError(err)
	}
	return true, ctx.Err()
}
