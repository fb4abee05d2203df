// Package slognotify is a notifier that writes notices to a slog.Logger.
package slognotify

import (
	"context"
	"log/slog"

	"github.com/laneswap/laneswap"
)

// Notifier logs each notice: at error level when a service turned bad or got
// worse, at info level when it recovered or got better, else at warn level.
type Notifier struct {
	log *slog.Logger
}

// New returns a Notifier that writes to log; nil means slog.Default at the time
// of each notice.
func New(log *slog.Logger) *Notifier { return &Notifier{log: log} }

// Name is what the notifier is called in logs.
func (n *Notifier) Name() string { return "slog" }

// Notify writes one record. It never fails.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	log := n.log
	if log == nil {
		log = slog.Default()
	}
	ev := note.Event
	attrs := []slog.Attr{
		slog.String("kind", string(ev.Kind)),
		slog.String("service", string(ev.Service)),
		slog.String("from", string(ev.From)),
		slog.String("to", string(ev.To)),
		slog.String("event", ev.ID),
		slog.Time("at", ev.At),
	}
	if ev.Incident != "" {
		attrs = append(attrs, slog.String("incident", ev.Incident))
	}
	if ev.Duration > 0 {
		attrs = append(attrs, slog.Duration("duration", ev.Duration))
	}
	log.LogAttrs(ctx, level(ev.Kind), note.Text, attrs...)
	return nil
}

func level(kind laneswap.EventKind) slog.Level {
	switch kind {
	case laneswap.EventDown, laneswap.EventWorse:
		return slog.LevelError
	case laneswap.EventRecovered, laneswap.EventBetter, laneswap.EventUp:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
