package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// health is the answer of /healthz.
type health struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// apiHealth answers GET /api/health, in the shape that the Python clients expect.
func (h *Handler) apiHealth(w http.ResponseWriter, _ *http.Request, _ laneswap.ServiceID) error {
	return writeJSON(w, http.StatusOK, struct {
		Status    string    `json:"status"`
		Service   string    `json:"service"`
		Timestamp time.Time `json:"timestamp"`
	}{"ok", "LaneSwap API", time.Now().UTC().Truncate(time.Millisecond)})
}

// healthz answers for the services that were chosen.
func (h *Handler) healthz(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	if len(h.health) > 0 { // Unhealthy would take none for all
		if err := h.m.Unhealthy(r.Context(), h.health...); err != nil {
			return writeJSON(w, http.StatusServiceUnavailable, health{"unhealthy", strings.TrimPrefix(err.Error(), "laneswap: unhealthy: ")})
		}
	}
	return writeJSON(w, http.StatusOK, health{Status: "ok"})
}

// readiness is the answer of /readyz.
type readiness struct {
	health
	Storage   *laneswap.StorageHealth   `json:"storage,omitempty"`
	Notifiers []laneswap.NotifierStatus `json:"notifiers,omitempty"`
}

// readyz says whether requests should be sent here: not before the Manager was
// started and has read its storage, and not while it stops. A storage that is
// away later, or a notifier that does not deliver, is said in the body: heartbeats
// are still heard, and nobody should cut them off. Under ?strict=1 it is a 503, too.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	strict := p.flag("strict")
	if p.err != nil {
		return p.err
	}
	err := h.m.Ready(r.Context())
	own := h.m.Health()
	status, body := http.StatusServiceUnavailable, readiness{Storage: own.Storage, Notifiers: own.Notifiers}
	troubles := troublesOf(own, time.Now())
	switch {
	case h.closing.Err() != nil, errors.Is(err, laneswap.ErrStopped):
		body.health = health{"stopping", "no new work is taken"}
	case errors.Is(err, laneswap.ErrNotStarted):
		body.health = health{"starting", "the manager was not started"}
	case errors.Is(err, laneswap.ErrLoading), own.Stage == "loading":
		body.health = health{"loading", "the storage could not be read yet"}
	case err != nil:
		return err
	case len(troubles) > 0:
		body.health = health{"degraded", strings.Join(troubles, "; ")}
		if !strict {
			status = http.StatusOK
		}
	default:
		status, body.Status = http.StatusOK, "ok"
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	return writeJSON(w, status, body)
}

// notifierPatience is how long a notifier may fail before /readyz calls it a
// trouble: receivers that ask for a pause, or are restarted, are back within it.
const notifierPatience = 10 * time.Minute

// troublesOf says, for people, what keeps a running Manager from doing all that it
// should.
func troublesOf(own laneswap.Health, now time.Time) (troubles []string) {
	if own.Storage != nil && own.Storage.State != "ok" {
		troubles = append(troubles, "what is told is heard, but not stored")
	}
	var dumb []string
	for _, n := range own.Notifiers {
		if undelivered(n, now) {
			dumb = append(dumb, n.Name+" is "+string(n.State))
		}
	}
	if len(dumb) > 0 {
		troubles = append(troubles, "notices are not delivered: "+strings.Join(dumb, ", "))
	}
	return troubles
}

// undelivered reports whether a notifier takes nothing and will not soon: one that
// is retrying has done so for long when it took nothing since, and something waits
// for as long.
func undelivered(n laneswap.NotifierStatus, now time.Time) bool {
	switch n.State {
	case laneswap.NotifierDisabled, laneswap.NotifierStuck:
		return true
	case laneswap.NotifierRetrying:
		return !n.Oldest.IsZero() && now.Sub(n.Oldest) >= notifierPatience && now.Sub(n.LastSent) >= notifierPatience
	}
	return false
}
