package admission

import "time"

// bucket turns a rate into leave for single pieces of work. Leave is given while it holds anything, and what is given may
// take it below nothing: a piece larger than what is there passes, and the next waits for it.
type bucket struct {
	balance int64 // bytes
	at      time.Duration
}

// fill takes in what has become due since the last time.
func (b *bucket) fill(now time.Duration, rate int64) {
	due := int64(float64(rate) * (now - b.at).Seconds())
	b.at = now
	b.balance = min(b.balance+due, rate/burstShare)
}

// take gives leave for the bytes, or says how long to wait before asking again. A rate of zero gives none.
func (b *bucket) take(bytes, rate int64) (wait time.Duration, ok bool) {
	switch {
	case rate == 0:
		return lookEvery, false
	case b.balance > 0:
		b.balance -= bytes
		return 0, true
	}
	short := float64(1-b.balance) / float64(rate)
	return min(time.Duration(short*float64(time.Second))+time.Microsecond, lookEvery), false
}
