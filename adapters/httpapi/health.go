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

// healthz answers for the services of WithHealthServices.
func (h *Handler) healthz(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	if len(h.health) > 0 { // without ids, Unhealthy checks all services
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

// readyz says whether requests should be sent here: not before the Manager is
// started and has read its storage, and not while it stops. When the storage fails
// later, or a notifier does not deliver, the answer is 200 with status "degraded":
// the server still receives heartbeats. With ?strict=1 it is a 503.
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
		body.health = health{"stopping", "the server is stopping"}
	case errors.Is(err, laneswap.ErrNotStarted):
		body.health = health{"starting", "the manager is not started"}
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

// notifierPatience is how long a notifier may fail before /readyz reports it.
// Receivers that restart, or ask for a pause, are usually back sooner.
const notifierPatience = 10 * time.Minute

// troublesOf returns the problems of a running Manager, in words.
func troublesOf(own laneswap.Health, now time.Time) (troubles []string) {
	if own.Storage != nil && own.Storage.State != "ok" {
		troubles = append(troubles, "heartbeats are received, but the storage does not accept writes")
	}
	var failing []string
	for _, n := range own.Notifiers {
		if undelivered(n, now) {
			failing = append(failing, n.Name+" is "+string(n.State))
		}
	}
	if len(failing) > 0 {
		troubles = append(troubles, "notices are not delivered: "+strings.Join(failing, ", "))
	}
	return troubles
}

// undelivered reports whether a notifier does not deliver and will not soon. A
// retrying one counts when it delivered nothing for notifierPatience, and a notice
// has waited for as long.
func undelivered(n laneswap.NotifierStatus, now time.Time) bool {
	switch n.State {
	case laneswap.NotifierDisabled, laneswap.NotifierStuck:
		return true
	case laneswap.NotifierRetrying:
		return !n.Oldest.IsZero() && now.Sub(n.Oldest) >= notifierPatience && now.Sub(n.LastSent) >= notifierPatience
	}
	return false
}
