package resp

import (
	"bytes"
	"errors"
)

// errUnbalanced: a quote that is not closed, or closed in the middle of a word.
var errUnbalanced = errors.New("unbalanced quotes in request")

// splitLine splits an inline command into words as Redis does (sdssplitargs): blanks separate, "double quotes" know
// \n \r \t \a \b \xHH and any other byte behind a backslash as itself, 'single quotes' know \' alone. A NUL ends the
// line. The words share no memory with the line.
func splitLine(line []byte) ([][]byte, error) {
	if end := indexByte(line, 0); end >= 0 {
		line = line[:end]
	}
	var words [][]byte
	for {
		line = bytes.TrimLeft(line, " \t\n\v\f\r")
		if len(line) == 0 {
			return words, nil
		}
		word, rest, err := splitWord(line)
		if err != nil {
			return nil, err
		}
		words, line = append(words, word), rest
	}
}

// splitWord takes the first word of a line that begins with one. It may be made of quoted and bare parts; a closing
// quote ends it.
func splitWord(line []byte) (word, rest []byte, err error) {
	word = []byte{}
	for i := 0; i < len(line); i++ {
		switch b := line[i]; b {
		case ' ', '\n', '\r', '\t':
			return word, line[i:], nil
		case '"', '\'':
			word, rest, err = splitQuoted(word, line[i+1:], b)
			return word, rest, err
		default:
			word = append(word, b)
		}
	}
	return word, nil, nil
}

// splitQuoted appends the quoted part that line begins with, behind its opening quote, to word.
func splitQuoted(word, line []byte, quote byte) (_, rest []byte, err error) {
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case b == quote:
			if i+1 < len(line) && !isSpace(line[i+1]) {
				return nil, nil, errUnbalanced
			}
			return word, line[i+1:], nil
		case b == '\\' && quote == '"':
			c, n := unescape(line[i:])
			word, i = append(word, c), i+n-1
		case b == '\\' && i+1 < len(line) && line[i+1] == '\'':
			word, i = append(word, '\''), i+1
		default:
			word = append(word, b)
		}
	}
	return nil, nil, errUnbalanced
}

// unescape returns the byte that the escape at the start of s stands for, and the escape's length.
func unescape(s []byte) (c byte, n int) {
	if len(s) >= 4 && s[1] == 'x' && isHex(s[2]) && isHex(s[3]) {
		return hexDigit(s[2])<<4 | hexDigit(s[3]), 4
	}
	if len(s) < 2 {
		return '\\', 1
	}
	switch s[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'a':
		return '\a', 2
	}
	return s[1], 2
}

func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// hexDigit returns the value of a digit for which isHex holds.
func hexDigit(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return (b | 0x20) - 'a' + 10
}

func indexByte(s []byte, b byte) int { return bytes.IndexByte(s, b) }
