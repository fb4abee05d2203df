// Package table writes services and events for people. Text that came from
// services is cleaned, so that none of it can act on a terminal.
package table

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// Options say how tables are written. The zero value does not cut lines and
// counts ages from the year 1: set Now.
type Options struct {
	// Now is what ages are counted from.
	Now time.Time
	// Width is where lines are cut, in cells of a terminal; 0 means nowhere.
	Width int
}

const (
	gap         = 2  // cells between two columns
	mostFree    = 32 // cells of an id or a name, where lines are cut
	leastFree   = 8  // that a narrow terminal leaves of them
	leastOfLast = 20 // cells of the last column before others give way to it
)

// grid gathers rows and writes them aligned.
type grid struct {
	opts Options
	free []int // the columns of free text that may be cut, by number
	rows [][]string
}

func newGrid(opts Options, free ...int) *grid { return &grid{opts: opts, free: free} }

// row adds a row; each cell is cleaned here, once.
func (g *grid) row(texts ...string) {
	row := make([]string, len(texts))
	for i, text := range texts {
		if row[i] = laneswap.Sanitize(text); row[i] == "" {
			row[i] = "-"
		}
	}
	g.rows = append(g.rows, row)
}

// fits reports whether all rows fit without anything being cut.
func (g *grid) fits() bool {
	if g.opts.Width <= 0 || len(g.rows) == 0 {
		return true
	}
	whole := make([]int, len(g.rows[0]))
	for _, row := range g.rows {
		for i, cell := range row {
			whole[i] = max(whole[i], cells(cell))
		}
	}
	need := gap * (len(whole) - 1)
	for _, width := range whole {
		need += width
	}
	return need <= g.opts.Width
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

// widths returns the width of each column. Where lines are cut, free text gives
// way, the widest first, until something of the last column is seen.
func (g *grid) widths() []int {
	if len(g.rows) == 0 {
		return nil
	}
	widths := make([]int, len(g.rows[0]))
	for _, row := range g.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cells(cell))
		}
	}
	if g.opts.Width <= 0 {
		return widths
	}
	for _, i := range g.free {
		widths[i] = min(widths[i], mostFree)
	}
	last := len(widths) - 1
	need := min(widths[last], leastOfLast) + gap*last - g.opts.Width
	for _, width := range widths[:last] {
		need += width
	}
	for ; need > 0; need-- {
		widest := -1
		for _, i := range g.free {
			if widths[i] > leastFree && (widest < 0 || widths[i] > widths[widest]) {
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

// age says in a few letters how long ago t was; "" for the zero time.
func (o Options) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(o.Now.Sub(t))
}

// span is a duration with the two units that matter.
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

// stamp is a time as people read it; "" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
