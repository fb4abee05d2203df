package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// health is the answer of /healthz and /readyz.
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

// readyz says whether requests should be sent here: not before the Manager was
// started, and not while it stops.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	err := h.m.Ready(r.Context())
	switch {
	case h.closing.Err() != nil, errors.Is(err, laneswap.ErrStopped):
		return writeJSON(w, http.StatusServiceUnavailable, health{"stopping", "no new work is taken"})
	case errors.Is(err, laneswap.ErrNotStarted):
		return writeJSON(w, http.StatusServiceUnavailable, health{"starting", "the manager was not started"})
	case err != nil:
		return err
	}
	return writeJSON(w, http.StatusOK, health{Status: "ok"})
}
