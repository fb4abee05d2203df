package httpapi

import (
	"math"
	"net/http"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// reportError answers POST /api/services/{id}/errors.
func (h *Handler) reportError(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	body, err := readBody(w, r, MaxErrorBytes)
	if err != nil {
		return err
	}
	rep, err := parseErrorReport(body)
	if err != nil {
		return err
	}
	rec, err := h.m.ReportError(r.Context(), id, rep)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, struct {
		laneswap.ErrorRecord
		wirejson.Durability
	}{rec, wirejson.DurabilityOf(!rec.NotDurable)})
}

// parseErrorReport reads the body of a reported error. Older scripts send the
// longer names; the short names win over them.
func parseErrorReport(body []byte) (laneswap.ErrorReport, error) {
	f, err := parseObject(body, laneswap.ErrInvalidErrorReport)
	if err != nil {
		return laneswap.ErrorReport{}, err
	}
	rep := laneswap.ErrorReport{
		Type:     f.firstText("type", "error_type"),
		Message:  f.firstText("message", "error_message"),
		Stack:    f.firstText("stack", "stack_trace", "traceback"),
		Metadata: f.object("metadata"),
	}
	return rep, f.err
}

// firstText returns the first member that is not empty; all of them must be
// strings.
func (f *fields) firstText(keys ...string) string {
	found := ""
	for _, key := range keys {
		if text := f.text(key); found == "" {
			found = text
		}
	}
	return found
}

// listErrors answers GET /api/services/{id}/errors.
func (h *Handler) listErrors(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	q := laneswap.ErrorQuery{Before: p.text("before"), Limit: p.count("limit")}
	if p.err != nil {
		return p.err
	}
	limit := q.Limit
	if limit > 0 && limit < math.MaxInt {
		q.Limit++ // one more says whether there is a next page
	}
	out := newJSONStream(w)
	out.raw(`{"errors":[`)
	last, next := "", ""
	for rec, err := range h.m.Errors(r.Context(), id, q) {
		if err == nil && limit > 0 && out.items == limit {
			next = last
			break
		}
		if err == nil {
			err = out.item(rec)
		}
		if err != nil {
			return err
		}
		last = rec.ID
		if r.Method == http.MethodHead {
			break
		}
	}
	out.raw("]")
	if next != "" {
		out.raw(`,"next":`)
		if err := out.value(next); err != nil {
			return err
		}
	}
	out.raw("}")
	return out.end()
}
