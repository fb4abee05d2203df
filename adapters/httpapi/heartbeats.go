package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
)

// beat answers POST /api/services/{id}/heartbeat.
func (h *Handler) beat(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	reg, err := registrationOf(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, MaxBodyBytes)
	if err != nil {
		return err
	}
	hb, err := parseHeartbeat(body)
	if err != nil {
		return err
	}
	ctx, brief := r.Context(), prefersMinimal(r)
	var st laneswap.ServiceStatus
	tell := func() (err error) {
		if brief {
			return h.m.Beat(ctx, id, hb)
		}
		st, err = h.m.Report(ctx, id, hb)
		return err
	}
	err = tell()
	if reg != nil && errors.Is(err, laneswap.ErrServiceNotFound) {
		reg.ID = id
		err = h.create(ctx, *reg, tell)
	}
	if err != nil {
		return err
	}
	if brief {
		w.Header().Set("Preference-Applied", "return=minimal")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return writeJSON(w, http.StatusOK, st)
}

// parseHeartbeat reads the body of a heartbeat; an empty one says that all is
// well.
func parseHeartbeat(body []byte) (laneswap.Heartbeat, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return laneswap.Heartbeat{}, nil
	}
	f, err := parseObject(body, laneswap.ErrInvalidHeartbeat)
	if err != nil {
		return laneswap.Heartbeat{}, err
	}
	return f.heartbeat(), f.err
}

func (f *fields) heartbeat() laneswap.Heartbeat {
	return laneswap.Heartbeat{
		Status: laneswap.Status(f.text("status")), Message: f.text("message"), Metadata: f.object("metadata"),
	}
}

// prefersMinimal reports whether the client wants no body (RFC 7240).
func prefersMinimal(r *http.Request) bool {
	for _, line := range r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "return") && strings.Trim(value, ` "`) == "minimal" {
				return true
			}
		}
	}
	return false
}

// listHeartbeats answers GET /api/services/{id}/heartbeats.
func (h *Handler) listHeartbeats(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	out := newJSONStream(w)
	out.raw(`{"heartbeats":[`)
	for rec, err := range h.m.Heartbeats(r.Context(), id) {
		if err == nil {
			err = out.item(rec)
		}
		if err != nil {
			return err
		}
	}
	out.raw("]}")
	return out.end()
}
