package model

import (
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/ring"
)

// hintSeq is replica's: the actor minted in a hint.
const hintSeq = 1 << 63

// boot is under which bits a node mints, and the lease of the actor sequence. Twin of replica's boot and lease.
type boot struct {
	current, previous bootID
	resumable         bool
	next, end         uint64
}

// start begins a boot, durably. Twin of Store.startBoot.
func (n *node) startBoot() {
	d := n.store.live
	b := boot{previous: d.boot, resumable: d.clean, current: bootID{n.w.draw(), d.boot.number + 1}}
	floor := d.clock
	if d.clean {
		floor = d.stood
	}
	b.next = max(d.actors, 1)
	if fault.On(fault.ForgetSequence) {
		b.next = 1
	}
	b.end = b.next + actorLease
	n.boot = b
	n.clock = causal.NewClock(n.wall, floor, time.Duration(driftMax))
	lease := leasedClock(max(floor, causal.TimeOf(n.wall().UnixMilli(), 0)))
	spare := n.w.draw()
	n.store.commit(func(d *disk) {
		d.boot, d.spare, d.clean, d.actors, d.clock = b.current, spare, false, b.end, lease
	})
	n.store.syncAll()
}

func leasedClock(from causal.Time) causal.Time {
	return causal.TimeOf(from.Millis()+int64(clockLease/milli), 0)
}

// take reserves numbers of the actor sequence, leased durably. Twin of Store.takeActors; the fsync takes no time here.
func (n *node) take(numbers uint64) (first uint64) {
	b := &n.boot
	if b.end-b.next < numbers {
		b.end += actorLease
		end := b.end
		n.store.commit(func(d *disk) { d.actors = end })
		n.store.syncAll()
	}
	first = b.next
	b.next += numbers
	return first
}

// extendClock is Store.extendClock.
func (n *node) extendClock() {
	last := n.clock.Last()
	if n.store.live.clock.Millis()-last.Millis() > int64(clockLeaseLow/milli) {
		return
	}
	n.store.commit(func(d *disk) { d.clock = leasedClock(last) })
	n.store.syncAll()
}

// markClean is Store.markClean.
func (n *node) markClean() {
	b, last, told := n.boot.current, n.clock.Last(), n.settlement.Save(nil)
	n.store.commit(func(d *disk) { d.boot, d.spare, d.clean, d.stood, d.told = b, 0, true, last, told })
	n.store.syncAll()
}

// renew goes over to the spare bits, and draws new spare ones.
func (n *node) renew() bool {
	if n.store.live.spare == 0 {
		return false
	}
	n.boot.current.bits, n.boot.resumable = n.store.live.spare, false
	b, spare := n.boot.current, n.w.draw()
	n.store.commit(func(d *disk) { d.boot, d.spare = b, spare })
	n.store.syncAll()
	return true
}

// lost is boot.lost of package replica.
func (n *node) lost(seen, local causal.Context, just minted) (lost bool) {
	b := &n.boot
	seen.Each(func(a causal.Actor, max uint64) bool {
		if a.Boot != b.current.bits && a.Boot != b.previous.bits || a.Seq&hintSeq != 0 || !just.beyond(a, max, local) {
			return true
		}
		if a.Boot == b.previous.bits {
			b.resumable = false
		}
		lost = lost || a.Boot == b.current.bits
		return true
	})
	return lost
}

// minted is the dots that a delta adds under an actor.
type minted struct {
	actor causal.Actor
	count uint64
}

func mintedBy(actor causal.Actor, delta causal.State) minted {
	m := minted{actor: actor}
	for _, x := range delta.Siblings {
		if x.Dot.Actor == actor {
			m.count++
		}
	}
	return m
}

func (m minted) beyond(a causal.Actor, n uint64, local causal.Context) bool {
	known := local.Max(a)
	if a == m.actor {
		known += m.count
	}
	return n > known
}

// confirmBoot asks every node in reach whether it has seen this boot; saved is the ring document of the directory as it was
// found. Twin of node's confirmBoot.
func (n *node) confirmBoot(saved ring.State, try int) {
	if try == resumeTries {
		return
	}
	n.after(second, func() {
		var asked []ring.NodeID
		fresh, silent, open := 0, 0, 0
		for _, to := range n.w.nodes {
			if to == n || !n.sees[to.id] {
				continue
			}
			var yes, said bool
			open++
			id := n.boot.current
			n.call(to, n.w.now+2*second, func(answer func(error)) {
				yes, said = to.confirms(n.id, id), true
				answer(nil)
			}, func(err error) {
				open--
				switch {
				case err != nil || !said:
					silent++
				case yes:
					asked, fresh = append(asked, n.w.ids[to.id]), fresh+1
				default:
					asked = append(asked, n.w.ids[to.id])
				}
				switch {
				case open > 0:
				case fresh < len(asked) && !fault.On(fault.ResumeUnconfirmed):
				case silent == 0 && saved.MostOthers(n.w.ids[n.id], asked):
					n.resume()
				default:
					n.confirmBoot(saved, try+1)
				}
			})
		}
		if open == 0 {
			n.confirmBoot(saved, try+1)
		}
	})
}

// confirms is Store.ConfirmBoot.
func (n *node) confirms(id int, b bootID) bool {
	known := n.store.live.peers[id]
	if b.number <= known.number {
		return b == known
	}
	n.store.commit(func(d *disk) { d.peers[id] = b })
	n.store.syncAll()
	return true
}

// resume is node.resumeBoot and Store.ResumeBoot.
func (n *node) resume() {
	if !n.boot.resumable {
		return
	}
	n.boot.current.bits, n.boot.resumable = n.boot.previous.bits, false
	b := n.boot.current
	n.store.commit(func(d *disk) { d.boot = b })
	n.store.syncAll()
}
