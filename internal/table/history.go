package table

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/laneswap/laneswap"
)

// History writes the history of a service in a period: the figures, then spans, incidents
// and absences.
func History(w io.Writer, past laneswap.History, opts Options) error {
	g := newGrid(opts)
	g.row("ID:", string(past.Service))
	g.row("Period:", fmt.Sprintf("%s to %s (%s)", second(past.From), second(past.To), lasting(past.To.Sub(past.From))))
	if known := past.KnownFrom; !known.Before(past.To) {
		g.row("Known:", "nothing of this period")
	} else if known.After(past.From) {
		g.row("Known:", "only from "+second(known)+" on")
	}
	g.row("Uptime:", uptime(past))
	g.row("Up:", lasting(past.Up))
	g.row("Down:", lasting(past.Down)+incidents(past))
	if past.Recovered > 0 {
		g.row("MTTR:", lasting(past.MeanTimeToRecovery)+", the mean time to recovery")
	}
	if past.Unknown > 0 {
		g.row("Unknown:", lasting(past.Unknown))
	}
	if past.Absent > 0 {
		g.row("Absent:", lasting(past.Absent)+", in which LaneSwap itself could not receive heartbeats")
	}
	if past.Truncated {
		g.row("Listed:", "the newest only; --limit lists more")
	}
	if err := g.flush(w); err != nil {
		return err
	}
	for _, list := range []*grid{spans(past, opts), pastIncidents(past, opts), absences(past, opts)} {
		if len(list.rows) == 1 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := list.flush(w); err != nil {
			return err
		}
	}
	return nil
}

func spans(past laneswap.History, opts Options) *grid {
	g := newGrid(opts)
	g.row("STATUS", "FROM", "FOR", "BEATS", "GAP", "MESSAGE")
	for _, s := range past.Spans {
		gap := ""
		if s.LongestGap > 0 {
			gap = lasting(s.LongestGap)
		}
		g.row(string(s.Status), second(s.From), lasting(until(s.To, past.To).Sub(s.From)), fmt.Sprint(s.Beats), gap, s.Message)
	}
	return g
}

func pastIncidents(past laneswap.History, opts Options) *grid {
	g := newGrid(opts)
	g.row("INCIDENT", "LASTED", "WORST", "CAUSE")
	for _, i := range past.Incidents {
		lasted := lasting(i.Duration)
		if i.EndedAt.IsZero() {
			lasted += " so far"
		}
		g.row(second(i.StartedAt), lasted, string(i.Worst), i.Cause)
	}
	return g
}

func absences(past laneswap.History, opts Options) *grid {
	g := newGrid(opts)
	g.row("ABSENCE", "LASTED")
	for _, a := range past.Absences {
		g.row(second(a.From), lasting(until(a.To, past.To).Sub(a.From)))
	}
	return g
}

// until returns the end of something, or the end of the period while it lasts.
func until(end, period time.Time) time.Time {
	if end.IsZero() {
		return period
	}
	return end
}

// uptime formats the uptime in percent. It never rounds to 0 or 100.
func uptime(past laneswap.History) string {
	percent, ok := past.Uptime()
	if !ok {
		return ""
	}
	percent = math.Round(percent*1000) / 1000
	if past.Down > 0 {
		percent = min(percent, 99.999)
	}
	if past.Up > 0 {
		percent = max(percent, 0.001)
	}
	return fmt.Sprintf("%.3f %%", percent)
}

func incidents(past laneswap.History) string {
	if past.IncidentCount == 0 {
		return ""
	}
	noun := "incidents"
	if past.IncidentCount == 1 {
		noun = "incident"
	}
	return fmt.Sprintf(" in %d %s, %d recovered", past.IncidentCount, noun, past.Recovered)
}

// lasting formats a duration, below a second in milliseconds.
func lasting(d time.Duration) string {
	if ms := d.Milliseconds(); 0 < ms && ms < 1000 {
		return fmt.Sprintf("%dms", ms)
	}
	return span(d)
}

// Errors writes one row per reported error.
func Errors(w io.Writer, records []laneswap.ErrorRecord, opts Options) error {
	g := newGrid(opts, 1)
	g.row("TIME", "TYPE", "MESSAGE")
	for _, rec := range records {
		text := rec.Message
		if text == "" {
			text = rec.Stack
		}
		g.row(second(rec.At), rec.Type, text)
	}
	return g.flush(w)
}

// second formats a time to the second.
func second(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
