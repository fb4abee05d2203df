package client

import (
	"log/slog"
	"time"

	"github.com/laneswap/laneswap"
)

// The kinds of failures of an agent. Each is reported and logged at its own pace.
const (
	kindUnreachable  = "unreachable"
	kindServer       = "server"
	kindDenied       = "denied"
	kindRegistration = "registration"
	kindHeartbeat    = "heartbeat"
	kindReport       = "report"
)

const (
	callPause = time.Minute // between two calls of OnError for one kind
	logPause  = time.Hour   // between two log lines of one kind
)

// voice reports failures to the program, at a limited rate. It belongs to the loop of the
// agent.
type voice struct {
	log     *slog.Logger
	id      laneswap.ServiceID
	onError func(error)          // may be nil
	called  map[string]time.Time // by kind
	logged  map[string]time.Time // by kind
	failing bool                 // an outage was logged
}

func newVoice(log *slog.Logger, id laneswap.ServiceID) *voice {
	return &voice{log: log, id: id, called: map[string]time.Time{}, logged: map[string]time.Time{}}
}

// complain reports a failure.
func (v *voice) complain(kind string, err error, now time.Time) {
	if pass(v.logged, kind, now, logPause) {
		v.failing = v.failing || kind != kindReport && kind != kindHeartbeat
		v.log.Warn("heartbeats are not delivered as reported", "service", v.id, "err", err)
	}
	if v.onError != nil && pass(v.called, kind, now, callPause) {
		v.call(err)
	}
}

// well logs the end of an outage that was logged.
func (v *voice) well() {
	if v.failing {
		v.failing = false
		v.log.Info("heartbeats are delivered again", "service", v.id)
	}
}

// call calls OnError and recovers its panics.
func (v *voice) call(err error) {
	defer func() {
		if p := recover(); p != nil {
			v.log.Error("OnError panicked", "service", v.id, "err", p)
		}
	}()
	v.onError(err)
}

// pass reports whether a kind may pass at now, and records it.
func pass(times map[string]time.Time, kind string, now time.Time, pause time.Duration) bool {
	if at, ok := times[kind]; ok && now.Sub(at) < pause {
		return false
	}
	times[kind] = now
	return true
}
