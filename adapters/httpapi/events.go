package httpapi

import (
	"net/http"

	"github.com/laneswap/laneswap"
)

// listEvents answers GET /api/events. The client continues behind the sequence of
// the answer, also when no event was selected. The journal names the numbering that
// the sequence belongs to.
func (h *Handler) listEvents(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	q := laneswap.EventQuery{Service: p.id("service"), Limit: p.count("limit")}
	q.After, _ = p.sequence("after")
	if p.err != nil {
		return p.err
	}
	// Read before the events: an event in between is in the answer, or behind its
	// sequence.
	sum, err := h.m.Summary(r.Context())
	if err != nil {
		return err
	}
	sequence := sum.Sequence
	out := newJSONStream(w)
	out.raw(`{"events":[`)
	for ev, err := range h.m.Events(r.Context(), q) {
		if err == nil {
			err = out.item(ev)
		}
		if err != nil {
			return err
		}
		if out.items == q.Limit {
			sequence = ev.Sequence // there may be more behind it
		} else {
			sequence = max(sequence, ev.Sequence)
		}
		if r.Method == http.MethodHead {
			break
		}
	}
	out.raw(`],"sequence":`)
	if err := out.value(sequence); err != nil {
		return err
	}
	out.raw(`,"journal":`)
	if err := out.value(sum.Journal); err != nil {
		return err
	}
	out.raw("}")
	return out.end()
}
