package httpapi

import (
	"context"
	"net/http"

	"github.com/laneswap/laneswap/internal/wirejson"
)

// durable waits until what was told the Manager is stored, and reports whether it
// is. The error is that of the context; any other failure of the storage makes
// the acknowledgement a weaker one, and nothing else.
func (h *Handler) durable(ctx context.Context) (bool, error) {
	err := h.m.Sync(ctx)
	if err != nil && ctx.Err() != nil {
		return false, ctx.Err()
	}
	return err == nil, nil
}

// writeDone answers with nothing, or with the one thing that there is to say.
func writeDone(w http.ResponseWriter, durable bool) error {
	if !durable {
		return writeJSON(w, http.StatusOK, wirejson.DurabilityOf(false))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
