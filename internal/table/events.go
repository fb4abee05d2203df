package table

import (
	"fmt"
	"io"

	"github.com/laneswap/laneswap"
)

// Events writes one row for each event.
func Events(w io.Writer, events []laneswap.Event, opts Options) error {
	g := newGrid(opts, 3)
	g.row("SEQUENCE", "TIME", "KIND", "SERVICE", "FROM", "TO", "AFTER", "MESSAGE")
	for _, ev := range events {
		g.row(fmt.Sprint(ev.Sequence), stamp(ev.At), string(ev.Kind), string(ev.Service), string(ev.From), string(ev.To), lasted(ev), ev.Message)
	}
	return g.flush(w)
}

// Event writes one event as a line with fixed columns. An event of LaneSwap itself has no
// service and no statuses.
func Event(w io.Writer, ev laneswap.Event, opts Options) error {
	service := laneswap.Sanitize(string(ev.Service))
	if opts.Width > 0 {
		service = cut(service, maxFree)
	}
	line := fmt.Sprintf("%6d  %s  %-9s", ev.Sequence, stamp(ev.At), ev.Kind)
	if ev.Service != "" {
		line += fmt.Sprintf("  %-8s -> %-8s  %s", ev.From, ev.To, service)
	}
	if d := lasted(ev); d != "" {
		line += "  after " + d
	}
	if ev.Message != "" {
		line += "  " + ev.Message
	}
	_, err := fmt.Fprintln(w, cut(laneswap.Sanitize(line), opts.Width))
	return err
}

// lasted formats the duration of what ev ended; "" if it ended nothing.
func lasted(ev laneswap.Event) string {
	switch ev.Kind {
	case laneswap.EventRecovered, laneswap.EventRemoved, laneswap.EventStorageBack:
		return span(ev.Duration)
	}
	return ""
}
