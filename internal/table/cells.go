package table

import "github.com/mattn/go-runewidth"

// ellipsis marks a text that was cut; it takes one cell.
const ellipsis = "…"

// terminal measures text in cells. It is a Condition of our own since the global one
// depends on the locale.
var terminal = &runewidth.Condition{StrictEmojiNeutral: true}

// cells returns how many cells s takes.
func cells(s string) int { return terminal.StringWidth(s) }

// cut shortens s to limit cells, the last of them an ellipsis. 0 means no limit.
func cut(s string, limit int) string {
	if limit <= 0 {
		return s
	}
	return terminal.Truncate(s, limit, ellipsis)
}

// pad fills s up to width cells.
func pad(s string, width int) string { return terminal.FillRight(s, width) }
