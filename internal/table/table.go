// Package table writes services, events and notifiers as text for people. It removes
// control characters, so that text of services cannot act on a terminal.
package table

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// Options controls how tables are written. Now must be set. Width may be zero.
type Options struct {
	// Now is the time that ages refer to.
	Now time.Time
	// Width limits lines, in cells of a terminal; 0 means no limit.
	Width int
}

const (
	gap     = 2  // cells between two columns
	maxFree = 32 // cells of an id or a name, if Width is set
	minFree = 8  // the same in a narrow terminal
	minLast = 20 // cells of the last column for which others shrink
)

// grid collects rows and writes them aligned.
type grid struct {
	opts Options
	free []int // the numbers of the columns that may be cut
	rows [][]string
}

func newGrid(opts Options, free ...int) *grid { return &grid{opts: opts, free: free} }

// row adds a row and cleans its cells.
func (g *grid) row(texts ...string) {
	row := make([]string, len(texts))
	for i, text := range texts {
		if row[i] = laneswap.Sanitize(text); row[i] == "" {
			row[i] = "-"
		}
	}
	g.rows = append(g.rows, row)
}

// fits reports whether all rows fit without cutting.
func (g *grid) fits() bool {
	if g.opts.Width <= 0 || len(g.rows) == 0 {
		return true
	}
	need := gap * (len(g.rows[0]) - 1)
	for _, width := range g.natural() {
		need += width
	}
	return need <= g.opts.Width
}

// natural returns the width that each column needs.
func (g *grid) natural() []int {
	widths := make([]int, len(g.rows[0]))
	for _, row := range g.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cells(cell))
		}
	}
	return widths
}

// flush writes all rows to w.
func (g *grid) flush(w io.Writer) error {
	widths := g.widths()
	for _, row := range g.rows {
		var line strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				line.WriteString(cell)
				break
			}
			line.WriteString(pad(cut(cell, widths[i]), widths[i]+gap))
		}
		if _, err := fmt.Fprintln(w, cut(strings.TrimRight(line.String(), " "), g.opts.Width)); err != nil {
			return err
		}
	}
	return nil
}

// widths returns the width of each column. If Width is set, it shrinks the free columns,
// the widest first, until minLast cells of the last column fit.
func (g *grid) widths() []int {
	if len(g.rows) == 0 {
		return nil
	}
	widths := g.natural()
	if g.opts.Width <= 0 {
		return widths
	}
	for _, i := range g.free {
		widths[i] = min(widths[i], maxFree)
	}
	last := len(widths) - 1
	need := min(widths[last], minLast) + gap*last - g.opts.Width
	for _, width := range widths[:last] {
		need += width
	}
	for ; need > 0; need-- {
		widest := -1
		for _, i := range g.free {
			if widths[i] > minFree && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// age formats the time since t; "" for the zero time.
func (o Options) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(o.Now.Sub(t))
}

// span formats a duration with its two largest units.
func span(d time.Duration) string {
	d = max(d, 0)
	switch s := int(d.Seconds()); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 60*60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 48*60*60:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
}

// stamp formats a time; "" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
