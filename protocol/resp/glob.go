package resp

// matchGlob reports whether s matches the pattern as Redis matches without regard to case: * any bytes, ? one byte,
// [a-z] and [^a-z] a set, \ the next byte itself. O(len(pattern) * len(s)) at worst: it goes back to the last * only.
func matchGlob(pattern []byte, s string) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, i
			p++
			continue
		}
		if n, ok := matchOne(pattern[p:], lower(s[i])); ok {
			p, i = p+n, i+1
			continue
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches b against the first element of the pattern, which is n bytes long.
func matchOne(pattern []byte, b byte) (n int, ok bool) {
	if len(pattern) == 0 {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		return matchSet(pattern, b)
	case '\\':
		if len(pattern) > 1 {
			return 2, lower(pattern[1]) == b
		}
	}
	return 1, lower(pattern[0]) == b
}

// matchSet matches b against the [set] that the pattern begins with. A set that is not closed ends with the pattern.
func matchSet(pattern []byte, b byte) (n int, ok bool) {
	i := 1
	negate := i < len(pattern) && pattern[i] == '^'
	if negate {
		i++
	}
	found := false
	for i < len(pattern) && pattern[i] != ']' {
		low, high, size := setRange(pattern[i:])
		found = found || b >= low && b <= high
		i += size
	}
	return min(i+1, len(pattern)), found != negate
}

// setRange reads one member of a set: a byte, an escaped byte, or a range in either order.
func setRange(p []byte) (low, high byte, size int) {
	switch {
	case p[0] == '\\' && len(p) > 1:
		return lower(p[1]), lower(p[1]), 2
	case len(p) > 2 && p[1] == '-':
		a, b := lower(p[0]), lower(p[2])
		return min(a, b), max(a, b), 3
	}
	return lower(p[0]), lower(p[0]), 1
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
