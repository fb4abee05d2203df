package laneswap

import (
	"context"
	"sync/atomic"
	"time"
)

// Handle is a service of this process: the fast way to beat. Its methods may be
// called concurrently.
//
// A handle whose service was forgotten (Registration.ForgetAfter) registers it
// again on its next beat. After Remove it is dead: beats do nothing, and Err
// says so.
type Handle struct {
	m *Manager
	r atomic.Pointer[record]
}

// Handle returns a handle for a registered service; ErrServiceNotFound when
// there is none.
func (m *Manager) Handle(id ServiceID) (*Handle, error) {
	if err := m.writable(context.Background()); err != nil {
		return nil, failed("handle", id, err)
	}
	r, err := m.find(id)
	if err != nil {
		return nil, failed("handle", id, err)
	}
	h := &Handle{m: m}
	h.r.Store(r)
	return h, nil
}

// ID returns the id of the service.
func (h *Handle) ID() ServiceID { return h.r.Load().id }

// Beat says that all is well. It takes no lock and allocates nothing, unless
// the service was not well before or an interceptor wants to see the beat.
func (h *Handle) Beat() {
	r := h.r.Load()
	if h.m.interceptors != nil {
		_ = h.Report(Heartbeat{})
		return
	}
	mono := int64(time.Since(h.m.base))
	if r.cell.beat(mono) {
		if err := h.m.strikeSlow(r, mono); err != nil {
			_ = h.revive(r, Heartbeat{}, err)
		}
	}
}

// Report says more than Beat. The error is that of Manager.Beat.
func (h *Handle) Report(hb Heartbeat) error {
	r := h.r.Load()
	err := h.m.writable(context.Background())
	if err == nil {
		_, _, err = h.m.apply(context.Background(), r, hb)
	}
	if err != nil {
		err = h.revive(r, hb, err)
	}
	return failed("report", r.id, err)
}

// Err returns why the handle is dead: ErrServiceNotFound after Remove,
// ErrStopped after Stop. It is nil while beats count.
func (h *Handle) Err() error {
	r := h.r.Load()
	if h.m.stage.Load() == stageStopped {
		return failed("handle", r.id, ErrStopped)
	}
	if _, gone := r.latest(); gone == removed {
		return failed("handle", r.id, ErrServiceNotFound)
	}
	return nil
}

// revive registers the service again if it was forgotten and repeats the
// heartbeat; else it returns err. Who registered it meanwhile is not overruled.
func (h *Handle) revive(r *record, hb Heartbeat, err error) error {
	last, gone := r.latest()
	switch gone {
	case removed:
		return err
	case forgotten:
		if last, err = h.m.succeed(last); err != nil {
			return err
		}
	}
	if last == r {
		return err
	}
	h.r.CompareAndSwap(r, last)
	_, _, err = h.m.apply(context.Background(), last, hb)
	return err
}

// latest follows the heirs of a forgotten record to the last of them.
func (r *record) latest() (last *record, gone fate) {
	for {
		r.mu.Lock()
		heir, gone := r.heir, r.gone
		r.mu.Unlock()
		if heir == nil {
			return r, gone
		}
		r = heir
	}
}
