// Package middleware turns the requests of an HTTP service into heartbeats, and
// answers health checks of a program that embeds a laneswap.Manager.
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

// retryPause is the minimum time between two attempts to register, unless the Manager
// only was not started yet.
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

// Heartbeat returns a Handler that passes every request on to next and sends a
// heartbeat of the service reg to m. An answer below 500 is a healthy heartbeat. An
// answer of 500 or above, or a panic, which goes on unchanged, is a StatusError with
// a message that names method, route and status.
//
// A request that ends with http.ErrAbortHandler sends no heartbeat, and neither does
// a 5xx answer to a client that had disconnected.
//
// A service without traffic is not stale: when reg sets neither Interval nor
// StaleAfter, the service is registered with NoDeadline.
//
// A Manager that is not started, or that refuses the registration, never fails or
// delays a request. Heartbeat registers the service at once if it can, otherwise a
// later request does. Handler.Err returns the last error.
func Heartbeat(m *laneswap.Manager, reg laneswap.Registration, next http.Handler, opts ...Option) *Handler {
	if reg.Interval == 0 && reg.StaleAfter == 0 {
		reg.NoDeadline = true
	}
	h := &Handler{m: m, reg: reg, base: time.Now()}
	h.observed = Observe(h.beat, next, opts...)
	// The service is known before its first request: a health check that fails until
	// there is traffic would keep the traffic away.
	_, _ = h.join()
	h.retryAt.Store(0) // the first request tries again
	return h
}

// ServeHTTP passes the request on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.observed.ServeHTTP(w, r) }

// ID returns the id of the service: that of the registration, or else the one that
// the Manager made. It is "" while a service without an id is not registered.
func (h *Handler) ID() laneswap.ServiceID {
	if handle := h.handle.Load(); handle != nil {
		return handle.ID()
	}
	return h.reg.ID
}

// Err returns why requests send no heartbeats: the error of the last attempt to
// register, or that of laneswap.Handle.Err. It is nil when they do.
func (h *Handler) Err() error {
	if handle := h.handle.Load(); handle != nil {
		return handle.Err()
	}
	if err := h.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// beat sends a heartbeat of the service. It never waits.
func (h *Handler) beat(hb laneswap.Heartbeat) {
	if handle := h.handle.Load(); handle != nil {
		send(handle, hb)
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
			send(handle, hb)
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

// send is the hot path: an empty heartbeat costs a healthy service two atomic
// operations.
func send(handle *laneswap.Handle, hb laneswap.Heartbeat) {
	if hb.Status == "" {
		handle.Beat()
		return
	}
	err := handle.Report(hb)
	var field *laneswap.ValidationError
	if errors.As(err, &field) && field.Field == "message" {
		// The Manager has a smaller limit than maxMessage: the status matters more.
		_ = handle.Report(laneswap.Heartbeat{Status: hb.Status})
	}
}
