package httpapi

import (
	"errors"
	"math"
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// register answers POST /api/services with the id, or with the whole status when the
// client prefers a representation.
func (h *Handler) register(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	body, err := readBody(w, r, MaxBodyBytes)
	if err != nil {
		return err
	}
	reg, err := parseRegistration(body)
	if err != nil {
		return err
	}
	st, err := h.m.Register(r.Context(), reg)
	if err != nil {
		return err
	}
	type registered struct {
		ID laneswap.ServiceID `json:"service_id"`
	}
	if !prefers(r, "return", "representation") {
		return writeJSON(w, http.StatusOK, struct {
			registered
			wirejson.Durability
		}{registered{st.ID}, wirejson.DurabilityOf(!st.NotDurable)})
	}
	w.Header().Set("Preference-Applied", "return=representation")
	out := newJSONStream(w)
	if err := out.joined(registered{st.ID}, st); err != nil {
		return err
	}
	return out.end()
}

// parseRegistration reads the body of a registration. service_name, which the
// Python clients send, wins over name.
func parseRegistration(body []byte) (laneswap.Registration, error) {
	f, err := parseObject(body, laneswap.ErrInvalidRegistration)
	if err != nil {
		return laneswap.Registration{}, err
	}
	reg := laneswap.Registration{
		ID:         laneswap.ServiceID(f.text("service_id")),
		Name:       f.text("service_name"),
		Interval:   f.seconds("interval", "a number of seconds"),
		StaleAfter: f.seconds("stale_after", "a number of seconds"),
		NoDeadline: f.flag("no_deadline"),
		MustRun:    f.flag("must_run"),
		Tags:       f.texts("tags"),
		Metadata:   f.object("metadata"),

		AlertAfter:   f.threshold("alert_after"),
		RecoverAfter: f.threshold("recover_after"),
	}
	if name := f.text("name"); reg.Name == "" {
		reg.Name = name
	}
	if f.values["forget_after"] == "never" {
		reg.ForgetAfter = laneswap.Never
	} else {
		reg.ForgetAfter = f.seconds("forget_after", `a number of seconds or "never"`)
	}
	return reg, f.err
}

// registrationOf returns the registration that ?create=1 uses for an unknown
// service, nil without it.
func registrationOf(r *http.Request) (*laneswap.Registration, error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	p := parseParams(r, laneswap.ErrInvalidRegistration)
	create := p.flag("create")
	reg := laneswap.Registration{
		Name: p.text("name"), Interval: p.seconds("interval"), StaleAfter: p.seconds("stale_after"),
		AlertAfter: p.threshold("alert_after"), RecoverAfter: p.threshold("recover_after"),
	}
	if p.err != nil || !create {
		return nil, p.err
	}
	return &reg, nil
}

// getService answers GET /api/services/{id}.
func (h *Handler) getService(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	st, err := h.m.Service(r.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, st)
}

// removeService answers DELETE /api/services/{id}.
func (h *Handler) removeService(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	err := h.m.Remove(r.Context(), id)
	volatile := errors.Is(err, laneswap.ErrDegraded) // removed all the same
	if err != nil && !volatile {
		return err
	}
	return writeDone(w, !volatile)
}

// counts is the summary within a list of services.
type counts struct {
	Total  int                     `json:"total"`
	Counts map[laneswap.Status]int `json:"status_counts"`
}

// listServices answers GET /api/services.
func (h *Handler) listServices(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	q := laneswap.ServiceQuery{
		Status: laneswap.Status(strings.ToLower(p.text("status"))), Tag: p.text("tag"), Name: p.text("name"),
		After: laneswap.ServiceID(p.text("after")), Limit: p.count("limit"), Events: p.count("events"),
	}
	if p.err != nil {
		return p.err
	}
	limit := q.Limit
	if limit > 0 && limit < math.MaxInt {
		q.Limit++ // one more says whether there is a next page
	}
	sum, err := h.m.Summary(r.Context())
	if err != nil {
		return err
	}
	out := newJSONStream(w)
	out.raw(`{"services":{`)
	var last, next laneswap.ServiceID
	for st, err := range h.m.Services(r.Context(), q) {
		if err == nil && limit > 0 && out.items == limit {
			next = last
			break
		}
		if err == nil {
			err = out.member(string(st.ID), st)
		}
		if err != nil {
			return err
		}
		last = st.ID
		if r.Method == http.MethodHead {
			break
		}
	}
	out.raw(`},"summary":`)
	if err := out.value(counts{sum.Total, sum.Counts}); err != nil {
		return err
	}
	if next != "" {
		out.raw(`,"next":`)
		if err := out.value(next); err != nil {
			return err
		}
	}
	out.raw("}")
	return out.end()
}

// summary answers GET /api/summary.
func (h *Handler) summary(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	sum, err := h.m.Summary(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, sum)
}
