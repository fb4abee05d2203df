// Package text cuts and cleans text that comes from elsewhere.
package text

import (
	"strings"
	"unicode/utf8"
)

// Cut returns the first n bytes of s, or a few less: it never splits a rune.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// CutStart returns the last n bytes of s, or a few less: it never splits a rune.
func CutStart(s string, n int) string {
	begin := max(len(s)-n, 0)
	for begin < len(s) && !utf8.RuneStart(s[begin]) {
		begin++
	}
	return s[begin:]
}

// CutRunes returns the first n runes of s.
func CutRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// Clip returns s as one clean line for an error or a log. When s is longer than
// n bytes, the line ends with "...".
func Clip(s string, n int) string {
	if len(s) > n {
		s = Cut(s, n) + "..."
	}
	return Line(s)
}

// Line returns s without control characters (C0, DEL, C1), invalid UTF-8,
// bidirectional controls, line and paragraph separators, and zero-width
// characters. Newlines and tabs become spaces.
func Line(s string) string { return clean(s, false) }

// Lines does the same as Line, but keeps newlines, tabs, and the joiners that
// emoji need.
func Lines(s string) string { return clean(s, true) }

// Trim is Line without white space around it.
func Trim(s string) string { return strings.TrimSpace(Line(s)) }

func clean(s string, lines bool) string {
	dirty := false // most text is not, and each heartbeat asks
	for i := 0; i < len(s) && !dirty; i++ {
		dirty = s[i] < ' ' || s[i] >= 0x7f
	}
	if !dirty {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			if lines {
				return r
			}
			return ' '
		case r == 0x200c || r == 0x200d:
			if lines {
				return r
			}
			return -1
		case r == 0x200b, 0x2060 <= r && r <= 0x2064, r == 0xfeff, 0xe0000 <= r && r <= 0xe007f:
			return -1
		case r < ' ', 0x7f <= r && r <= 0x9f, r == 0x2028, r == 0x2029,
			r == 0x061c, r == 0x200e, r == 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
