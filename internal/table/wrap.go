package table

import (
	"strings"
	"unicode/utf8"
)

const (
	minWrapped = 24 // cells of a wrapped line after its indent
	hanging    = 4  // cells of the indent if there would be fewer
)

// wrap breaks a line at spaces into lines of at most width cells. All but the first begin
// with indent spaces, or fewer if that leaves little room. It breaks words that are longer
// than a line. A width of 0 means no limit.
func wrap(line string, width, indent int) string {
	if width <= 0 || cells(line) <= width {
		return line
	}
	if width-indent < minWrapped {
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
			// Not within the indent of the first line, which has only spaces.
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
