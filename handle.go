package laneswap

import (
	"context"
	"errors"
	"fmt"
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
	if r.cell.Beat(mono) {
		if err := h.m.beatSlow(r, mono); err != nil {
			_ = h.revive(r, Heartbeat{}, err)
		}
	}
}

// Report says more than Beat. The error is that of Manager.Beat.
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

// latest follows the heirs of a forgotten record to the last of them.
func (r *record) latest() (last *record, gone removal) {
	for {
		r.mu.Lock()
		heir, gone := r.successor, r.removal
		r.mu.Unlock()
		if heir == nil {
			return r, gone
		}
		r = heir
	}
}

const (
	goodbyeTimeout = 2 * time.Second  // for the last words
	restingPulse   = 20 * time.Second // between beats of a service without interval and deadline
)

// Beater is what Pulse, Wrap and Watchdog need. *Manager and the client have it.
type Beater interface {
	Register(ctx context.Context, reg Registration) (ServiceStatus, error)
	Beat(ctx context.Context, id ServiceID, hb Heartbeat) error
	Service(ctx context.Context, id ServiceID) (ServiceStatus, error)
}

// Pulse registers a service and beats for it until ctx ends; then it says
// goodbye with StatusShutdown and returns nil. It beats every reg.Interval, or
// three times in a window when there is none. It says only that the process
// runs: a Watchdog says that its work goes on.
//
// An error to register is returned, and so is ErrStopped. A heartbeat that fails
// is followed by the next one; when the service is no longer known it is
// registered again under its id.
func Pulse(ctx context.Context, b Beater, reg Registration) error {
	return pulse(ctx, b, reg, 1, func() bool { return true })
}

// pulse beats as often as the registration says, whenever alive says so; it asks
// that many times an interval.
func pulse(ctx context.Context, b Beater, reg Registration, asks int64, alive func() bool) error {
	st, err := b.Register(ctx, reg)
	if err != nil {
		return err
	}
	reg.ID = st.ID
	every := pulseInterval(st)
	ticker := time.NewTicker(max(every/time.Duration(asks), time.Millisecond))
	defer ticker.Stop()
	var next time.Time
	for {
		if now := time.Now(); !now.Before(next) && alive() {
			next = now.Add(every * 9 / 10) // a ticker may be a little early
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
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
			defer cancel()
			_ = b.Beat(last, reg.ID, Heartbeat{Status: StatusShutdown}) // who cannot hear it will call us stale
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
	return restingPulse
}

// Watchdog beats for a service as long as the program's own loop says that it
// goes on. A loop that hangs stops saying so, and the service goes stale, which
// a Pulse beside the loop would hide.
type Watchdog struct {
	b      Beater
	reg    Registration
	ticked atomic.Bool
}

// NewWatchdog makes a Watchdog; Run starts it.
func NewWatchdog(b Beater, reg Registration) *Watchdog {
	return &Watchdog{b: b, reg: reg}
}

// Tick says that the loop goes on. It costs one atomic store.
func (w *Watchdog) Tick() { w.ticked.Store(true) }

// Run is Pulse, but a beat waits for a Tick since the beat before; it looks for
// one ten times an interval. The first beat waits for the first Tick.
func (w *Watchdog) Run(ctx context.Context) error {
	return pulse(ctx, w.b, w.reg, 10, func() bool { return w.ticked.Swap(false) })
}

// WrapOption changes what Wrap reports.
type WrapOption func(*wrapper)

// WithSuccessStatus sets what is reported when the function returned nil;
// StatusHealthy unless set.
func WithSuccessStatus(s Status) WrapOption {
	return func(w *wrapper) { w.success = s }
}

// WithBeatError sets a function that is told of heartbeats that failed; they
// never change what the wrapped function returns.
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

// Wrap puts a function under a heartbeat. The returned function reports
// StatusBusy, runs fn, and reports success, or StatusError with the message
// when fn returns an error or panics; the metadata "execution_time" is how long
// it took, in seconds. Where the last report was bad the start repeats it: a
// failing job does not look recovered each time that it starts. An fn that ends
// because its context was cancelled has not failed; unless the last report was
// bad it leaves the service idle.
//
// The service must be registered. No beat is sent while fn runs: give a service
// whose function takes longer than its window a longer one. The error and the
// panic of fn pass through.
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

// begin reports the start, and returns whether the last report was bad.
func (w *wrapper) begin(ctx context.Context) (wasBad bool) {
	hb := Heartbeat{Status: StatusBusy}
	bounded, cancel := context.WithTimeout(ctx, goodbyeTimeout) // a monitor that hangs must not hold up the work
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

// send reports; the end of ctx must not swallow the outcome. What was refused,
// for a message too long, say, is sent again with the status alone.
func (w *wrapper) send(ctx context.Context, hb Heartbeat) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	hb.Message = cutBytes(hb.Message, 4<<10)
	err := w.b.Beat(ctx, w.id, hb)
	if errors.Is(err, ErrInvalidHeartbeat) {
		w.onError(err)
		err = w.b.Beat(ctx, w.id, Heartbeat{Status: hb.Status})
	}
	if err != nil {
		w.onError(err)
	}
}
