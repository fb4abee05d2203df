package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/laneswap/laneswap"
)

const (
	// maxTests bounds the notifier tests that run at once; more get a 503.
	maxTests = 16
	// testPatience bounds one test. The Manager ends it after a minute.
	testPatience = 90 * time.Second
)

// explain answers GET /api/events/{id}/explain.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	explained, err := h.m.Explain(r.Context(), string(id))
	if err != nil {
		return err
	}
	if explained.Notices == nil {
		explained.Notices = []laneswap.NoticeTrace{}
	}
	return writeJSON(w, http.StatusOK, explained)
}

// listNotifiers answers GET /api/notifiers.
func (h *Handler) listNotifiers(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	list, err := h.m.Notifiers(r.Context())
	if err != nil {
		return err
	}
	if list == nil {
		list = []laneswap.NotifierStatus{}
	}
	return writeJSON(w, http.StatusOK, struct {
		Notifiers []laneswap.NotifierStatus `json:"notifiers"`
	}{list})
}

// testNotifier answers POST /api/notifiers/{name}/test and ignores its body. It ends
// when the client disconnects or the handler closes.
func (h *Handler) testNotifier(w http.ResponseWriter, r *http.Request, name laneswap.ServiceID) error {
	// net/http notices a disconnect only after the body was read.
	if _, err := readBody(w, r, MaxBodyBytes); err != nil {
		return err
	}
	stopping := fmt.Errorf("test notifier: %w", laneswap.ErrStopped)
	if h.closing.Err() != nil {
		return stopping
	}
	select {
	case h.tests <- struct{}{}:
		defer func() { <-h.tests }()
	default:
		return &requestError{http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d notifier tests are running, which is the limit; try again later", maxTests)}
	}
	ctx, cancel := context.WithTimeout(r.Context(), testPatience)
	defer cancel()
	defer context.AfterFunc(h.closing, cancel)()
	// A test may take longer than the WriteTimeout of the server. When the deadline
	// cannot be moved, that of the server applies.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(testPatience + writePatience))
	test, err := h.m.TestNotifier(ctx, string(name))
	switch {
	case !test.Delivered && h.closing.Err() != nil:
		return stopping
	case err != nil:
		return err
	}
	return writeJSON(w, http.StatusOK, test)
}
