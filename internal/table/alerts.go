package table

import (
	"fmt"
	"io"
	"time"

	"github.com/laneswap/laneswap"
)

// Notifiers writes one row per notifier. If the errors do not fit into the rows, it writes
// them in full below.
func Notifiers(w io.Writer, list []laneswap.NotifierStatus, opts Options) error {
	g := newGrid(opts, 0)
	errs := make([]string, len(list))
	g.row("NOTIFIER", "STATE", "WAITING", "OLDEST", "SENT", "GIVEN UP", "LAST SENT", "RETRY IN", "LAST ERROR")
	for i, n := range list {
		if n.LastError != "" {
			errs[i] = opts.age(n.LastErrorAt) + " ago: " + n.LastError
		}
		g.row(n.Name, string(n.State), fmt.Sprint(n.Waiting), opts.age(n.Oldest), fmt.Sprint(n.Sent), fmt.Sprint(n.Dead),
			opts.age(n.LastSent), opts.ahead(n.RetryAt), errs[i])
	}
	if g.fits() {
		return g.flush(w)
	}
	for i, row := range g.rows {
		g.rows[i] = row[:len(row)-1]
	}
	if err := g.flush(w); err != nil {
		return err
	}
	for i, n := range list {
		if errs[i] != "" {
			if err := writeLine(w, n.Name+", "+errs[i], opts, hanging); err != nil {
				return err
			}
		}
	}
	return nil
}

// ahead formats the time until t; "" for the zero time.
func (o Options) ahead(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(t.Sub(o.Now))
}

// NotifierTest writes the result of a test as a line.
func NotifierTest(w io.Writer, test laneswap.NotifierTest, opts Options) error {
	line := test.Notifier + ": not delivered: " + test.Error
	if test.Delivered {
		line = test.Notifier + ": delivered" + named(test.MessageID)
	}
	return writeLine(w, line, opts, hanging)
}

// named returns the receiver's id of a message as text.
func named(messageID string) string {
	if messageID == "" {
		return ""
	}
	return " as message " + messageID
}

// Explanation writes an event and each of its notices with their steps.
func Explanation(w io.Writer, explained laneswap.Explanation, opts Options) error {
	ev := explained.Event
	g := newGrid(opts)
	g.row("Event:", ev.ID)
	g.row("Time:", stamp(ev.At))
	if ev.Service != "" {
		g.row("Service:", whose(ev))
	}
	g.row("What:", what(ev))
	if ev.Message != "" {
		g.row("Message:", ev.Message)
	}
	if ev.Cause != "" {
		g.row("Cause:", ev.Cause)
	}
	if len(explained.Notices) == 0 {
		g.row("Notices:", "none, no notifier gets this event")
	}
	if err := g.flush(w); err != nil {
		return err
	}
	for _, n := range explained.Notices {
		if err := notice(w, n, opts); err != nil {
			return err
		}
	}
	return nil
}

func whose(ev laneswap.Event) string {
	if ev.Name == "" || ev.Name == string(ev.Service) {
		return string(ev.Service)
	}
	return fmt.Sprintf("%s (%s)", ev.Service, ev.Name)
}

// what returns the kind of an event, with its statuses if it has any.
func what(ev laneswap.Event) string {
	text := string(ev.Kind)
	if ev.Service != "" {
		text = fmt.Sprintf("%s, %s -> %s", ev.Kind, ev.From, ev.To)
	}
	if d := lasted(ev); d != "" {
		text += " after " + d
	}
	return text
}

func notice(w io.Writer, n laneswap.NoticeTrace, opts Options) error {
	line := n.Notifier + ": " + string(n.State) + named(n.MessageID)
	switch {
	case n.Attempts == 1:
		line += ", 1 attempt"
	case n.Attempts > 1:
		line += fmt.Sprintf(", %d attempts", n.Attempts)
	}
	if err := writeLine(w, line, opts, hanging); err != nil {
		return err
	}
	for _, step := range n.Steps {
		head := "  " + stamp(step.At) + "  "
		if err := writeLine(w, head+step.Text, opts, cells(head)); err != nil {
			return err
		}
	}
	return nil
}

// writeLine cleans and writes a line, wrapped with an indent if it is too long.
func writeLine(w io.Writer, line string, opts Options, indent int) error {
	_, err := fmt.Fprintln(w, wrap(laneswap.Sanitize(line), opts.Width, indent))
	return err
}
