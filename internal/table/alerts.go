package table

import (
	"fmt"
	"io"
	"time"

	"github.com/laneswap/laneswap"
)

// Notifiers writes one row for each notifier.
func Notifiers(w io.Writer, list []laneswap.NotifierStatus, opts Options) error {
	g := newGrid(opts, 0)
	g.row("NOTIFIER", "STATE", "WAITING", "OLDEST", "SENT", "GIVEN UP", "LAST SENT", "RETRY IN", "LAST ERROR")
	for _, n := range list {
		failed := n.LastError
		if failed != "" {
			failed = opts.age(n.LastErrorAt) + " ago: " + failed
		}
		g.row(n.Name, string(n.State), fmt.Sprint(n.Waiting), opts.age(n.Oldest), fmt.Sprint(n.Sent), fmt.Sprint(n.Dead),
			opts.age(n.LastSent), opts.ahead(n.RetryAt), failed)
	}
	return g.flush(w)
}

// ahead says in a few letters how far off t is; "" for the zero time.
func (o Options) ahead(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(t.Sub(o.Now))
}

// NotifierTest writes what came back for a test as a line.
func NotifierTest(w io.Writer, test laneswap.NotifierTest, opts Options) error {
	line := test.Notifier + ": not delivered: " + test.Error
	if test.Delivered {
		line = test.Notifier + ": delivered" + named(test.MessageID)
	}
	return writeLine(w, line, opts)
}

// named is what the receiver calls a message.
func named(messageID string) string {
	if messageID == "" {
		return ""
	}
	return " as message " + messageID
}

// Explanation writes an event and what became of each notice of it, with the steps
// below it.
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
		g.row("Notices:", "none, nobody is told of it")
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

// what is the kind of an event, and its statuses if it has them.
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
	if err := writeLine(w, line, opts); err != nil {
		return err
	}
	for _, step := range n.Steps {
		if err := writeLine(w, "  "+stamp(step.At)+"  "+step.Text, opts); err != nil {
			return err
		}
	}
	return nil
}

// writeLine writes one clean line.
func writeLine(w io.Writer, line string, opts Options) error {
	_, err := fmt.Fprintln(w, cut(laneswap.Sanitize(line), opts.Width))
	return err
}
