// Package table writes services and events for people. Text that came from
// services is cleaned, so that none of it can act on a terminal.
package table

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// Options say how tables are written. The zero value does not cut lines and
// counts ages from the year 1: set Now.
type Options struct {
	// Now is what ages are counted from.
	Now time.Time
	// Width is where lines are cut, in characters; 0 means nowhere.
	Width int
}

// grid gathers rows and writes them aligned.
type grid struct {
	opts Options
	buf  bytes.Buffer
	tab  *tabwriter.Writer
}

func newGrid(opts Options) *grid {
	g := &grid{opts: opts}
	g.tab = tabwriter.NewWriter(&g.buf, 0, 0, 2, ' ', 0)
	return g
}

// row adds a row; each cell is cleaned here, once.
func (g *grid) row(cells ...string) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(g.tab, "\t")
		}
		if cell = laneswap.Sanitize(cell); cell == "" {
			cell = "-"
		}
		fmt.Fprint(g.tab, cell)
	}
	fmt.Fprint(g.tab, "\n")
}

// flush writes all rows to w.
func (g *grid) flush(w io.Writer) error {
	if err := g.tab.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(g.buf.String()) {
		if _, err := fmt.Fprintln(w, cut(strings.TrimRight(line, " \n"), g.opts.Width)); err != nil {
			return err
		}
	}
	return nil
}

// cut returns at most width characters of s; the last one says that there was
// more.
func cut(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
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
