package httpapi

import (
	"context"
	"net/http"

	"github.com/laneswap/laneswap/internal/wirejson"
)

// durable waits for the storage and reports whether it has everything accepted so
// far. The error is that of the context: any other failure of the storage only
// makes the acknowledgement weaker.
func (h *Handler) durable(ctx context.Context) (bool, error) {
	err := h.m.Sync(ctx)
	if err != nil && ctx.Err() != nil {
		return false, ctx.Err()
	}
	return err == nil, nil
}

// writeDone answers 204, or 200 with "durable": false.
func writeDone(w http.ResponseWriter, durable bool) error {
	if !durable {
		return writeJSON(w, http.StatusOK, wirejson.DurabilityOf(false))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
