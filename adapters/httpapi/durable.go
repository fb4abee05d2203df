package httpapi

import (
	"context"
	"net/http"
)

// durability is the member "durable" of an answer, which is there only when it is
// false: what was acknowledged is lost if the server is killed before its storage
// is back.
type durability struct {
	Durable *bool `json:"durable,omitempty"`
}

func durabilityOf(durable bool) durability {
	if durable {
		return durability{}
	}
	return durability{&durable}
}

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
		return writeJSON(w, http.StatusOK, durabilityOf(false))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
