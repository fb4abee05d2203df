package laneswap

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap/internal/text"
)

// Handle sends heartbeats of one service inside the process of the Manager. It is faster
// than Manager.Beat. Its methods may be called concurrently. Manager.Handle makes it; the
// zero value is not usable.
//
// When the Manager has forgotten the service (Registration.ForgetAfter), the next
// heartbeat registers it again. After Remove or Stop the handle is dead: Beat does
// nothing, Report returns an error, and Err returns the reason.
type Handle struct {
	m *Manager
	r atomic.Pointer[record]
}

// Handle returns a handle for a registered service. It returns ErrServiceNotFound when
// no service has the id, and ErrStopped after Stop.
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

// Beat sends an empty heartbeat: the service is healthy. It takes no lock and allocates
// nothing, unless the status changes or the Manager has an interceptor.
func (h *Handle) Beat() {
	r := h.r.Load()
	if h.m.interceptors != nil {
		_ = h.Report(Heartbeat{})
		return
	}
	mono := int64(time.Since(h.m.base))
	if r.cell.Beat(mono) {
		if err := h.m.beatSlow(r, mono); err != nil {
			_ = h.revive(r, Heartbeat{}, err)
		}
	}
}

// Report sends hb. It returns the errors of Manager.Beat.
func (h *Handle) Report(hb Heartbeat) error {
	r := h.r.Load()
	err := h.m.writable(context.Background())
	if err == nil {
		_, _, err = h.m.applyBeat(context.Background(), r, hb)
	}
	if err != nil {
		err = h.revive(r, hb, err)
	}
	return failed("report", r.id, err)
}

// Err returns ErrServiceNotFound after Remove, ErrStopped after Stop, and nil while
// the handle works.
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

// revive repeats the heartbeat on the successor of r, and registers the service again if
// it was forgotten. Otherwise it returns err. It keeps a registration that was made in
// the meantime.
func (h *Handle) revive(r *record, hb Heartbeat, err error) error {
	last, gone := r.latest()
	switch gone {
	case removed:
		return err
	case forgotten:
		if last, err = h.m.reregister(last); err != nil {
			return err
		}
	}
	if last == r {
		return err
	}
	h.r.CompareAndSwap(r, last)
	_, _, err = h.m.applyBeat(context.Background(), last, hb)
	return err
}

// latest follows the successors of a forgotten record to the last one.
func (r *record) latest() (last *record, gone removal) {
	for {
		r.mu.Lock()
		next, gone := r.successor, r.removal
		r.mu.Unlock()
		if next == nil {
			return r, gone
		}
		r = next
	}
}

const (
	finalTimeout = 2 * time.Second  // for a final heartbeat, after the context has ended
	idleInterval = 20 * time.Second // between heartbeats of a service without interval and deadline
)

// Beater is the interface that Pulse, Wrap and Watchdog use. *Manager and
// *client.Client implement it.
type Beater interface {
	Register(ctx context.Context, reg Registration) (ServiceStatus, error)
	Beat(ctx context.Context, id ServiceID, hb Heartbeat) error
	Service(ctx context.Context, id ServiceID) (ServiceStatus, error)
}

// Pulse registers a service and sends heartbeats until ctx ends. It then reports
// StatusShutdown and returns nil. It sends one every reg.Interval, three in each window
// when Interval is zero, and one every 20 s when the service has no window either. Pulse
// proves only that the process runs. A Watchdog also proves that its work makes progress.
//
// Pulse returns the error of the registration, and ErrStopped. After any other error it
// goes on with the next heartbeat. When the Manager does not know the service any more,
// Pulse registers it again under its id.
func Pulse(ctx context.Context, b Beater, reg Registration) error {
	return pulse(ctx, b, reg, 1, func() bool { return true })
}

// pulse calls alive checks times per interval. It sends a heartbeat when one is due and
// alive returns true.
func pulse(ctx context.Context, b Beater, reg Registration, checks int64, alive func() bool) error {
	st, err := b.Register(ctx, reg)
	if err != nil {
		return err
	}
	reg.ID = st.ID
	every := pulseInterval(st)
	ticker := time.NewTicker(max(every/time.Duration(checks), time.Millisecond))
	defer ticker.Stop()
	var next time.Time
	for {
		if now := time.Now(); !now.Before(next) && alive() {
			next = now.Add(every * 9 / 10) // a tick may come a little early
			err := b.Beat(ctx, reg.ID, Heartbeat{})
			if errors.Is(err, ErrServiceNotFound) {
				if _, err = b.Register(ctx, reg); err == nil {
					err = b.Beat(ctx, reg.ID, Heartbeat{})
				}
			}
			if errors.Is(err, ErrStopped) {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalTimeout)
			defer cancel()
			_ = b.Beat(last, reg.ID, Heartbeat{Status: StatusShutdown}) // if it fails, the service becomes stale
			return nil
		}
	}
}

func pulseInterval(st ServiceStatus) time.Duration {
	switch {
	case st.Interval > 0:
		return st.Interval
	case st.Window > 0:
		return max(st.Window/3, MinDuration/3)
	}
	return idleInterval
}

// Watchdog sends heartbeats while a loop of the program calls Tick. When the loop hangs,
// the heartbeats stop and the service becomes stale. A Pulse beside the loop would hide
// that. Its methods may be called concurrently, but only one Run at a time.
type Watchdog struct {
	b      Beater
	reg    Registration
	ticked atomic.Bool
}

// NewWatchdog makes a Watchdog. Run starts it.
func NewWatchdog(b Beater, reg Registration) *Watchdog {
	return &Watchdog{b: b, reg: reg}
}

// Tick reports that the loop makes progress. It costs one atomic store.
func (w *Watchdog) Tick() { w.ticked.Store(true) }

// Run behaves like Pulse, but sends a heartbeat only if Tick was called since the last
// one. It checks ten times per interval. The first heartbeat waits for the first Tick.
func (w *Watchdog) Run(ctx context.Context) error {
	return pulse(ctx, w.b, w.reg, 10, func() bool { return w.ticked.Swap(false) })
}

// WrapOption configures Wrap.
type WrapOption func(*wrapper)

// WithSuccessStatus sets the status that Wrap reports when the function returns nil,
// default StatusHealthy.
func WithSuccessStatus(s Status) WrapOption {
	return func(w *wrapper) { w.success = s }
}

// WithBeatError sets a function that receives the errors of failed heartbeats. They
// never change the result of the wrapped function. By default they are dropped.
func WithBeatError(f func(error)) WrapOption {
	return func(w *wrapper) {
		if f != nil {
			w.onError = f
		}
	}
}

type wrapper struct {
	b       Beater
	id      ServiceID
	fn      func(context.Context) error
	success Status
	onError func(error)
}

// Wrap returns a function that runs fn and reports its start and its outcome. At the
// start it reports StatusBusy. After a bad status it repeats that status instead, so that
// a failing job does not look recovered each time it starts. At the end it reports the
// success status, or StatusError with a message when fn returned an error or panicked.
// The metadata "execution_time" is the duration in seconds. When fn ends because its
// context was cancelled, it has not failed: Wrap then reports StatusIdle, unless the
// status before was bad.
//
// The service must be registered. Wrap sends no heartbeat while fn runs, so the window
// of the service must be longer than a run. The error and the panic of fn pass through.
func Wrap(b Beater, id ServiceID, fn func(context.Context) error, opts ...WrapOption) func(context.Context) error {
	w := &wrapper{b: b, id: id, fn: fn, success: StatusHealthy, onError: func(error) {}}
	for _, opt := range opts {
		opt(w)
	}
	return w.run
}

func (w *wrapper) run(ctx context.Context) (err error) {
	wasBad := w.begin(ctx)
	start := time.Now()
	returned := false
	defer func() {
		took := map[string]any{"execution_time": time.Since(start).Seconds()}
		p := recover()
		switch {
		case p != nil:
			w.send(ctx, Heartbeat{Status: StatusError, Message: fmt.Sprintf("panic: %v", p), Metadata: took})
			panic(p)
		case !returned:
			w.send(ctx, Heartbeat{Status: StatusError, Message: "the goroutine ended without returning", Metadata: took})
		case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
			if !wasBad {
				w.send(ctx, Heartbeat{Status: StatusIdle, Message: "canceled", Metadata: took})
			}
		case err != nil:
			w.send(ctx, Heartbeat{Status: StatusError, Message: fmt.Sprint(err), Metadata: took}) // Sprint survives a nil pointer in err
		default:
			w.send(ctx, Heartbeat{Status: w.success, Metadata: took})
		}
	}()
	err = w.fn(ctx)
	returned = true
	return err
}

// begin reports the start. It returns whether the reported status before it was bad.
func (w *wrapper) begin(ctx context.Context) (wasBad bool) {
	hb := Heartbeat{Status: StatusBusy}
	bounded, cancel := context.WithTimeout(ctx, finalTimeout) // a monitor that hangs must not delay the work
	defer cancel()
	st, err := w.b.Service(bounded, w.id)
	if err != nil {
		w.onError(err)
	} else if st.ReportedStatus.Bad() {
		hb = Heartbeat{Status: st.ReportedStatus, Message: st.Message}
	}
	w.send(ctx, hb)
	return hb.Status.Bad()
}

// send sends a heartbeat even after ctx has ended, so that the outcome is not lost. When
// the heartbeat is refused, for example for its long message, it sends the status alone.
func (w *wrapper) send(ctx context.Context, hb Heartbeat) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalTimeout)
	defer cancel()
	hb.Message = text.Cut(hb.Message, 4<<10)
	err := w.b.Beat(ctx, w.id, hb)
	if errors.Is(err, ErrInvalidHeartbeat) {
		w.onError(err)
		err = w.b.Beat(ctx, w.id, Heartbeat{Status: hb.Status})
	}
	if err != nil {
		w.onError(err)
	}
}
