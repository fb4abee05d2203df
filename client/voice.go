package client

import (
	"log/slog"
	"time"

	"github.com/laneswap/laneswap"
)

// The kinds of failures of an agent. There are few, so that telling each one now
// and then floods nobody.
const (
	kindUnreachable  = "unreachable"
	kindServer       = "server"
	kindDenied       = "denied"
	kindRegistration = "registration"
	kindHeartbeat    = "heartbeat"
	kindReport       = "report"
)

const (
	tellPause = time.Minute // between two calls of OnError for one kind
	logPause  = time.Hour   // between two log lines of one kind
)

// voice tells the host of failures, without flooding it. It belongs to the
// agent's loop.
type voice struct {
	log     *slog.Logger
	id      laneswap.ServiceID
	onError func(error) // may be nil
	told    map[string]time.Time
	logged  map[string]time.Time
	failing bool // the log knows of it
}

func newVoice(log *slog.Logger, id laneswap.ServiceID) *voice {
	return &voice{log: log, id: id, told: map[string]time.Time{}, logged: map[string]time.Time{}}
}

// complain tells of a failure.
func (v *voice) complain(kind string, err error, now time.Time) {
	if pass(v.logged, kind, now, logPause) {
		v.failing = v.failing || kind != kindReport && kind != kindHeartbeat
		v.log.Warn("heartbeats are not delivered as reported", "service", v.id, "err", err)
	}
	if v.onError != nil && pass(v.told, kind, now, tellPause) {
		v.call(err)
	}
}

// well tells the log that an outage it knows of is over.
func (v *voice) well() {
	if v.failing {
		v.failing = false
		v.log.Info("heartbeats are delivered again", "service", v.id)
	}
}

// call calls the host's function; it must not take the program down.
func (v *voice) call(err error) {
	defer func() {
		if p := recover(); p != nil {
			v.log.Error("OnError panicked", "service", v.id, "err", p)
		}
	}()
	v.onError(err)
}

// pass reports whether a kind may pass at now, and notes it.
func pass(times map[string]time.Time, kind string, now time.Time, pause time.Duration) bool {
	if at, ok := times[kind]; ok && now.Sub(at) < pause {
		return false
	}
	times[kind] = now
	return true
}
