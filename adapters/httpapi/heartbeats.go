package httpapi

import (
	"bytes"
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
	brief := prefers(r, "return", "minimal")
	var st laneswap.ServiceStatus
	durable := true
	switch {
	case reg != nil:
		reg.ID = id
		st, err = h.m.Announce(r.Context(), *reg, hb)
		durable = !st.NotDurable
	case brief:
		durable, err = h.m.BeatAndWait(r.Context(), id, hb)
	default:
		st, err = h.m.Report(r.Context(), id, hb)
	}
	if err != nil {
		return err
	}
	if brief {
		w.Header().Set("Preference-Applied", "return=minimal")
		return writeDone(w, durable)
	}
	return writeJSON(w, http.StatusOK, st)
}

// parseHeartbeat reads the body of a heartbeat. An empty body means healthy.
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
		Final: f.flag("final"),
	}
}

// prefers reports whether the client states a preference (RFC 7240).
func prefers(r *http.Request, name, value string) bool {
	for _, line := range r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			n, v, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(n), name) && strings.Trim(v, ` "`) == value {
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
