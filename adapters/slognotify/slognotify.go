// Package slognotify is a notifier that writes notifications to a slog.Logger.
package slognotify

import (
	"context"
	"log/slog"
	"time"

	"github.com/laneswap/laneswap"
)

// Notifier logs one record for each service of a notification, at the level of its
// event: errors at error level, warnings at warn level, the rest at info level. It is
// safe for concurrent use.
type Notifier struct {
	log  *slog.Logger
	name string
}

// Option changes a Notifier while New creates it.
type Option func(*Notifier)

// WithName sets the name of the notifier in logs, API answers and the storage. The
// default is "slog".
func WithName(name string) Option { return func(n *Notifier) { n.name = name } }

// New returns a Notifier that writes to log. nil means slog.Default at the time of each
// call of Notify.
func New(log *slog.Logger, opts ...Option) *Notifier {
	n := &Notifier{log: log, name: "slog"}
	for _, opt := range opts {
		opt(n)
	}
	return n
}

// Name returns the notifier's name in logs, API answers and the storage: "slog", or
// that of WithName.
func (n *Notifier) Name() string { return n.name }

// Notify writes a record for each item, in order. For a mass silence it first writes a
// record with the title and the finding. It does not write the title of a digest, which
// only counts the items. Notify fails only if ctx has ended: then it has written
// nothing, or not everything.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	log := n.log
	if log == nil {
		log = slog.Default()
	}
	if note.Kind == laneswap.NoticeMassSilence {
		attrs := []slog.Attr{text("notice", string(note.Kind)), slog.Int("services", len(note.Items))}
		if note.Finding != "" {
			attrs = append(attrs, text("finding", note.Finding))
		}
		log.LogAttrs(ctx, level(note.Event), laneswap.Sanitize(note.Title), attrs...)
	}
	for i := range note.Items {
		if err := ctx.Err(); err != nil {
			return err
		}
		item := &note.Items[i]
		log.LogAttrs(ctx, level(item.Event), message(note, item), attrs(note, item)...)
	}
	return nil
}

// message returns the text of an item. An item made by hand may have none of its own.
func message(note laneswap.Notification, item *laneswap.Item) string {
	switch {
	case item.Text != "":
		return laneswap.Sanitize(item.Text)
	case len(note.Items) == 1:
		return laneswap.Sanitize(note.Text)
	}
	return laneswap.Sanitize(note.Title)
}

// attrs returns the attributes of an item, without those that are empty.
func attrs(note laneswap.Notification, item *laneswap.Item) []slog.Attr {
	ev := &item.Event
	attrs := []slog.Attr{
		text("notice", string(note.Kind)), text("kind", string(ev.Kind)), text("service", string(ev.Service)),
		text("from", string(ev.From)), text("to", string(ev.To)), text("event", ev.ID), slog.Time("at", ev.At),
	}
	if ev.Incident != "" {
		attrs = append(attrs, text("incident", ev.Incident))
	}
	if ev.Duration > 0 {
		attrs = append(attrs, slog.Duration("duration", ev.Duration))
	}
	if len(item.Earlier) > 0 {
		attrs = append(attrs, slog.Int("earlier", len(item.Earlier)))
	}
	if item.Flapping > 0 {
		attrs = append(attrs, slog.Int("flapping", item.Flapping))
	}
	if item.Reminder > 0 {
		attrs = append(attrs, slog.Duration("reminder", item.Reminder.Round(time.Millisecond)))
	}
	return attrs
}

// text returns an attribute without control characters: some handlers do not escape
// them.
func text(key, value string) slog.Attr { return slog.String(key, laneswap.Sanitize(value)) }

func level(ev laneswap.Event) slog.Level {
	switch ev.Level() {
	case laneswap.LevelError:
		return slog.LevelError
	case laneswap.LevelWarning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
