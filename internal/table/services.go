package table

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/laneswap/laneswap"
)

// Services writes one row per service.
func Services(w io.Writer, services []laneswap.ServiceStatus, opts Options) error {
	g := newGrid(opts, 1, 2)
	g.row("STATUS", "ID", "NAME", "SINCE", "LAST BEAT", "MESSAGE")
	for _, st := range services {
		g.row(status(st), string(st.ID), st.Name, opts.age(st.Since), opts.age(st.LastHeartbeat), st.Message)
	}
	return g.flush(w)
}

func status(st laneswap.ServiceStatus) string {
	if st.Late {
		return string(st.Status) + " (late)"
	}
	return string(st.Status)
}

// Service writes the details of one service and its latest events.
func Service(w io.Writer, st laneswap.ServiceStatus, opts Options) error {
	g := newGrid(opts)
	g.row("ID:", string(st.ID))
	g.row("Name:", st.Name)
	if st.Status != st.ReportedStatus {
		g.row("Status:", fmt.Sprintf("%s, reported %s", status(st), st.ReportedStatus))
	} else {
		g.row("Status:", status(st))
	}
	g.row("Since:", since(stamp(st.Since), opts.age(st.Since)))
	g.row("Last beat:", since(stamp(st.LastHeartbeat), opts.age(st.LastHeartbeat)))
	g.row("Beats:", fmt.Sprint(st.Beats))
	g.row("Registered:", since(stamp(st.CreatedAt), opts.age(st.CreatedAt)))
	if st.Interval > 0 {
		g.row("Interval:", st.Interval.String())
	}
	if st.Window > 0 {
		g.row("Window:", st.Window.String())
	} else {
		g.row("Window:", "none, it never becomes stale")
	}
	if t := st.AlertAfter; t != (laneswap.Threshold{}) {
		g.row("Alert after:", threshold(t))
	}
	if t := st.RecoverAfter; t != (laneswap.Threshold{}) {
		g.row("Recover after:", threshold(t))
	}
	if !st.Deadline.IsZero() {
		g.row("Deadline:", stamp(st.Deadline))
	}
	if len(st.Tags) > 0 {
		g.row("Tags:", strings.Join(st.Tags, ", "))
	}
	if len(st.Metadata) > 0 {
		data, err := json.Marshal(st.Metadata)
		if err != nil {
			return err
		}
		g.row("Metadata:", string(data))
	}
	if i := st.Incident; i != nil {
		g.row("Incident:", fmt.Sprintf("%s, %s: %s", i.ID, since(stamp(i.StartedAt), opts.age(i.StartedAt)), i.Cause))
	}
	if err := g.flush(w); err != nil {
		return err
	}
	if err := message(w, st.Message, opts); err != nil || len(st.Events) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return Events(w, st.Events, opts)
}

func threshold(t laneswap.Threshold) string {
	switch {
	case t.Beats == 1:
		return "1 heartbeat"
	case t.Beats > 1:
		return fmt.Sprintf("%d heartbeats", t.Beats)
	}
	return t.String()
}

func since(at, age string) string {
	if at == "" {
		return ""
	}
	return at + " (" + age + ")"
}

// message writes a message line by line, since it may hold the end of a log.
func message(w io.Writer, text string, opts Options) error {
	if text == "" {
		return nil
	}
	if _, err := fmt.Fprintln(w, "Message:"); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(laneswap.Sanitize(strings.TrimSuffix(line, "\n")), " ")
		if _, err := fmt.Fprintln(w, cut("  "+line, opts.Width)); err != nil {
			return err
		}
	}
	return nil
}
