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
	Storage *laneswap.StorageHealth `json:"storage,omitempty"`
}

// readyz says whether requests should be sent here: not before the Manager was
// started and has read its storage, and not while it stops. A storage that is
// away later is said in the body: heartbeats are still heard, and nobody should
// cut them off. Under ?strict=1 it is a 503, too.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	strict := p.flag("strict")
	if p.err != nil {
		return p.err
	}
	err := h.m.Ready(r.Context())
	own := h.m.Health()
	status, body := http.StatusServiceUnavailable, readiness{Storage: own.Storage}
	switch {
	case h.closing.Err() != nil, errors.Is(err, laneswap.ErrStopped):
		body.health = health{"stopping", "no new work is taken"}
	case errors.Is(err, laneswap.ErrNotStarted):
		body.health = health{"starting", "the manager was not started"}
	case errors.Is(err, laneswap.ErrLoading), own.Stage == "loading":
		body.health = health{"loading", "the storage could not be read yet"}
	case err != nil:
		return err
	case own.Storage != nil && own.Storage.State != "ok":
		body.health = health{"degraded", "what is told is heard, but not stored"}
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
