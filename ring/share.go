package ring

// A claim is one node's side of an allocation: how much it weighs, and what it may hold.
type claim struct {
	weight int64
	zone   int
}

// A share is an exact fraction of copies: num/den. Fractions, not floating point: every node must round alike.
type share struct{ num, den int64 }

func (s share) floor() int64 { return s.num / s.den }
func (s share) ceil() int64  { return (s.num + s.den - 1) / s.den }

// A zoneRule bounds how many copies of one partition a zone holds.
type zoneRule struct{ least, most int64 }

// zoneRules spreads n copies of a partition over zones of the given sizes as evenly as the sizes allow: it raises one level for
// all zones until n copies fit under it. With at least n zones the level is 1, which means distinct zones.
func zoneRules(sizes []int64, n int64) []zoneRule {
	level := int64(1)
	for fits(sizes, level) < n {
		level++
	}
	rules := make([]zoneRule, len(sizes))
	for z, size := range sizes {
		rules[z] = zoneRule{least: min(size, level-1), most: min(size, level)}
	}
	return rules
}

func fits(sizes []int64, level int64) (copies int64) {
	for _, size := range sizes {
		copies += min(size, level)
	}
	return copies
}

// fairShares divides q*n copies by weight, under the rules that no node holds more than q (one copy of each partition) and each
// zone between its least and its most per partition. What a bound takes from one goes to, or comes from, the others by weight.
//
// A zone outside its bounds is fixed at the bound it breaks, and the rest is divided again: first those above if they exceed
// by more than the others lack, else those below. Source: CSS Flexible Box Layout, section 9.7, which divides space alike.
func fairShares(claims []claim, rules []zoneRule, q, n int64) []share {
	shares := make([]share, len(claims))
	fixed := make([]bool, len(rules))
	left := q * n
	for {
		divide(shares, claims, func(c claim) bool { return !fixed[c.zone] }, left, q)
		breaking := breakers(shares, claims, rules, fixed, q)
		if len(breaking) == 0 {
			return shares
		}
		for zone, total := range breaking {
			fixed[zone] = true
			left -= total
			divide(shares, claims, func(c claim) bool { return c.zone == zone }, total, q)
		}
	}
}

// breakers returns the zones that break a bound, with the total to fix each at: those above or those below, whichever side breaks its
// bounds by more.
func breakers(shares []share, claims []claim, rules []zoneRule, fixed []bool, q int64) map[int]int64 {
	totals := make([]share, len(rules))
	den := openDenominator(shares, claims, fixed)
	for i, c := range claims {
		if !fixed[c.zone] {
			totals[c.zone] = share{totals[c.zone].num + shares[i].num*(den/shares[i].den), den}
		}
	}
	over, under := map[int]int64{}, map[int]int64{}
	var excess, lack int64
	for z, t := range totals {
		switch most, least := rules[z].most*q, rules[z].least*q; {
		case fixed[z]:
		case t.num > most*den:
			over[z], excess = most, excess+t.num-most*den
		case t.num < least*den:
			under[z], lack = least, lack+least*den-t.num
		}
	}
	if excess >= lack {
		return over
	}
	return under
}

// openDenominator returns the denominator of the shares just divided: capped nodes have 1, all others the same.
func openDenominator(shares []share, claims []claim, fixed []bool) int64 {
	den := int64(1)
	for i, c := range claims {
		if !fixed[c.zone] {
			den = max(den, shares[i].den)
		}
	}
	return den
}

// divide gives total copies to the claims taken by weight, none more than most. It leaves the other shares alone.
func divide(shares []share, claims []claim, taken func(claim) bool, total, most int64) {
	capped := make([]bool, len(claims))
	for again := true; again; {
		again = false
		weight := openWeight(claims, capped, taken)
		rest := total
		for i, c := range claims {
			if !capped[i] || !taken(c) {
				continue
			}
			rest -= most
		}
		for i, c := range claims {
			if capped[i] || !taken(c) {
				continue
			}
			shares[i] = share{c.weight * rest, weight}
			if c.weight*rest > most*weight {
				shares[i], capped[i], again = share{most, 1}, true, true
			}
		}
	}
}

func openWeight(claims []claim, capped []bool, taken func(claim) bool) (weight int64) {
	for i, c := range claims {
		if !capped[i] && taken(c) {
			weight += c.weight
		}
	}
	return weight
}
