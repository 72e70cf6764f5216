package node

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

func (n *Node) serveBoot(from ring.NodeID, payload []byte) ([]byte, error) {
	if len(payload) != 16 || n.store == nil {
		return nil, request.ErrInternal
	}
	isFresh, err := n.store.ConfirmBoot(replica.BootID{Node: from, Bits: binary.BigEndian.Uint64(payload), Number: binary.BigEndian.Uint64(payload[8:])})
	if err != nil {
		return nil, err
	}
	if isFresh {
		return []byte{byte(fresh)}, nil
	}
	return []byte{byte(stale)}, nil
}

// confirmBoot tells every other node of this boot, and takes the former boot's bits up again if none of them has seen this one
// before, and most of the members that the directory knew of say so: a directory that was restored or copied has been seen by
// most of the same members, and one of them is asked again. Until then, and otherwise, this node mints under new bits, which
// is always safe and only lets contexts grow.
func (n *Node) confirmBoot(ctx context.Context, saved ring.State) {
	id := n.store.Boot()
	payload := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id.Bits), id.Number)
	_, clean := n.store.PreviousBoot()
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	for range resumeTries {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		answers := collect(n, ctx, controlPatience, func(ctx context.Context, to ring.NodeID) (confirmation, error) {
			b, err := n.control(ctx, to, controlBoot, payload)
			if err != nil || len(b) != 1 {
				return confirmation{to, unconfirmed}, nil
			}
			return confirmation{to, freshness(b[0])}, nil
		})
		switch confirmed(saved, n.id, answers) {
		case stale:
			n.cfg.Logger.Warn("another node has met a later start of this directory: it was restored or copied; writing under a new identity")
			return
		case fresh:
			if clean {
				n.resumeBoot()
			}
			return
		}
	}
}

// confirmation is a node's answer to controlBoot.
type confirmation struct {
	by ring.NodeID
	is freshness
}

// freshness says whether a boot was seen before.
type freshness uint8

const (
	stale       freshness = iota // the node has seen this boot number before
	fresh                        // it has not, and has noted it
	unconfirmed                  // it did not answer: it is asked again
)

// confirmed sums up one round of answers: stale if anyone has seen the boot before, fresh if all that were asked answered and most of the
// other members of the directory's ring document are among them, else unconfirmed.
func confirmed(saved ring.State, self ring.NodeID, answers []confirmation) freshness {
	all := fresh
	by := make([]ring.NodeID, len(answers))
	for i, a := range answers {
		by[i] = a.by
		switch {
		case a.is == stale && !fault.On(fault.ResumeUnconfirmed):
			return stale
		case a.is == unconfirmed:
			all = unconfirmed
		}
	}
	if !saved.MostOthers(self, by) {
		return unconfirmed
	}
	return all
}

func (n *Node) resumeBoot() {
	if err := n.store.ResumeBoot(); err != nil {
		n.cfg.Logger.Info("writing under a new identity", "reason", err)
	}
}
