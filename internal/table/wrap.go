package table

import (
	"strings"
	"unicode/utf8"
)

const (
	leastWrapped = 24 // cells of a wrapped line behind its indent
	hanging      = 4  // cells of the indent where that would leave less
)

// wrap breaks a line at spaces, into lines of at most so many cells; those behind
// the first begin with indent spaces, or fewer where that leaves hardly any room. A
// word that is longer than a line is broken. A width of 0 means no limit.
func wrap(line string, width, indent int) string {
	if width <= 0 || cells(line) <= width {
		return line
	}
	if width-indent < leastWrapped {
		indent = min(hanging, width/2)
	}
	margin := strings.Repeat(" ", indent)
	var b strings.Builder
	for first := true; ; first = false {
		room := width
		if !first {
			b.WriteString("\n" + margin)
			room -= indent
		}
		end := fitting(line, room)
		if end == len(line) {
			b.WriteString(line)
			return b.String()
		}
		text := line[:end]
		if line[end] != ' ' {
			// Not within the indent of the first line, which is nothing but spaces.
			if i := strings.LastIndexByte(text, ' '); strings.TrimSpace(text[:max(i, 0)]) != "" {
				text = text[:i]
			}
		}
		b.WriteString(strings.TrimRight(text, " "))
		line = strings.TrimLeft(line[len(text):], " ")
		if line == "" {
			return b.String()
		}
	}
}

// fitting returns how many bytes of s fit into so many cells: at least one character.
func fitting(s string, room int) int {
	if n := len(terminal.Truncate(s, room, "")); n > 0 {
		return n
	}
	_, size := utf8.DecodeRuneInString(s)
	return size
}
