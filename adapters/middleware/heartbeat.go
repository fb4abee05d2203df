// Package middleware makes the requests of an HTTP service its signs of life,
// and answers health checks for the program that embeds a laneswap.Manager.
//
//	m := laneswap.NewManager()
//	mux.Handle("/", middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop))
//	mux.Handle("/healthz", middleware.Healthz(m, "shop"))
package middleware

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap"
)

// retryPause is the least time between two attempts to register with a Manager
// that refused for another reason than not being started.
const retryPause = time.Second

// Handler is an http.Handler whose requests are the heartbeats of one service.
// It is made by Heartbeat; its methods may be called concurrently.
type Handler struct {
	observed http.Handler
	m        *laneswap.Manager
	reg      laneswap.Registration
	base     time.Time

	handle  atomic.Pointer[laneswap.Handle] // nil until registered
	joining atomic.Bool                     // one attempt to register at a time
	retryAt atomic.Int64                    // ns since base: no attempt before it
	refused atomic.Pointer[error]           // why the last attempt failed
}

// Heartbeat returns a Handler that passes every request on to next and tells m
// how it went, as the service reg: an answer below 500 is a healthy heartbeat;
// a panic, which goes on unchanged, or an answer of 500 and above is reported as
// StatusError with a message that names method, route and status.
//
// Nothing is said of a request that ends with http.ErrAbortHandler, nor of a
// 5xx answer to a client that had hung up: it says nothing about the service.
//
// No traffic is not silence: unless reg sets Interval or StaleAfter, the service
// is registered with NoDeadline.
//
// A Manager that is not started yet, or that refuses, never fails or delays a
// request: the service is registered at once where that is possible, else as
// soon as a request finds that it is. Handler.Err says what is in the way.
func Heartbeat(m *laneswap.Manager, reg laneswap.Registration, next http.Handler, opts ...Option) *Handler {
	if reg.Interval == 0 && reg.StaleAfter == 0 {
		reg.NoDeadline = true
	}
	h := &Handler{m: m, reg: reg, base: time.Now()}
	h.observed = Observe(h.tell, next, opts...)
	// So that the service is known before its first request: a health check that
	// waits for traffic would keep the traffic away.
	_, _ = h.join()
	h.retryAt.Store(0) // the first request tries again
	return h
}

// ServeHTTP passes the request on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.observed.ServeHTTP(w, r) }

// ID returns the id of the service: that of the registration, or the one that
// was made up for it; "" while it is not registered and has none.
func (h *Handler) ID() laneswap.ServiceID {
	if handle := h.handle.Load(); handle != nil {
		return handle.ID()
	}
	return h.reg.ID
}

// Err returns why requests do not count as heartbeats: the error of the last
// attempt to register, or that of laneswap.Handle.Err. It is nil while they do.
func (h *Handler) Err() error {
	if handle := h.handle.Load(); handle != nil {
		return handle.Err()
	}
	if err := h.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// tell passes an outcome to the service. It never waits.
func (h *Handler) tell(hb laneswap.Heartbeat) {
	if handle := h.handle.Load(); handle != nil {
		say(handle, hb)
		return
	}
	if int64(time.Since(h.base)) < h.retryAt.Load() || !h.joining.CompareAndSwap(false, true) {
		return
	}
	// A registration may have to wait for a storage; a request must not. The
	// goroutine ends with that registration.
	go func() {
		defer h.joining.Store(false)
		if handle, err := h.join(); err == nil {
			say(handle, hb)
		}
	}()
}

// join registers the service.
func (h *Handler) join() (*laneswap.Handle, error) {
	st, err := h.m.Register(context.Background(), h.reg)
	var handle *laneswap.Handle
	if err == nil {
		handle, err = h.m.Handle(st.ID)
	}
	if err != nil {
		h.refused.Store(&err)
		if !errors.Is(err, laneswap.ErrNotStarted) {
			h.retryAt.Store(int64(time.Since(h.base) + retryPause))
		}
		return nil, err
	}
	h.handle.Store(handle)
	return handle, nil
}

// say is the hot path: an empty heartbeat costs a healthy service two atomic
// operations.
func say(handle *laneswap.Handle, hb laneswap.Heartbeat) {
	if hb.Status == "" {
		handle.Beat()
		return
	}
	err := handle.Report(hb)
	var field *laneswap.ValidationError
	if errors.As(err, &field) && field.Field == "message" {
		// The Manager was given a limit below ours: the status matters more.
		_ = handle.Report(laneswap.Heartbeat{Status: hb.Status})
	}
}
