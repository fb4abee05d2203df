package laneswap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// stopTimeout bounds Stop when its context has no deadline.
const stopTimeout = 10 * time.Second

// Manager is told by services that they are alive, notices when one falls
// silent, and tells notifiers. It is made by NewManager; the zero value is not
// usable. All methods may be called concurrently.
//
// Its state is kept in memory. Without a notifier it takes and answers
// everything before Start, but then silence is noticed only when somebody asks,
// and a pause of the process looks like silence.
type Manager struct {
	base         time.Time // the zero of the monotonic instants
	interceptors []Interceptor
	opts         options
	optErr       error
	log          *slog.Logger

	judge    *judge
	registry *registry
	journal  *journal
	speeches speeches

	stage atomic.Int32            // one of the stages below; changed under life
	posts atomic.Pointer[[]*post] // replaced under life
	turn  sync.Mutex              // held by whoever takes records off the agenda
	nudge chan struct{}           // tells the watching loop of an earlier deadline
	heard chan absence            // absences to be logged

	life     sync.Mutex // guards starting, stopping and adding notifiers
	quit     chan struct{}
	watched  chan struct{} // closed when the watching loop has ended
	logged   chan struct{} // closed when the logging of absences has ended
	ctx      context.Context
	cancel   context.CancelFunc
	finished chan struct{} // closed when Stop is done
	stopErr  error
}

// The stages of a Manager.
const (
	stageNew int32 = iota
	stageStarted
	stageStopped
)

// NewManager makes a Manager. It starts nothing; an option out of its range is
// reported by Start and by every verb.
func NewManager(opts ...Option) *Manager {
	o := options{staleThreshold: DefaultStaleThreshold, checkInterval: DefaultCheckInterval, events: 1 << 14}
	for _, opt := range opts {
		opt(&o)
	}
	m := &Manager{
		base: time.Now(), opts: o, log: o.logger, interceptors: o.interceptors,
		registry: newRegistry(), nudge: make(chan struct{}, 1), heard: make(chan absence, 64),
		quit: make(chan struct{}), watched: make(chan struct{}), logged: make(chan struct{}), finished: make(chan struct{}),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.optErr = m.opts.check()
	m.judge = newJudge(o.staleThreshold, m.now())
	m.journal = newJournal(max(1, o.events))
	m.speeches.limit = speechTotal
	m.ctx, m.cancel = context.WithCancel(context.Background())
	posts := make([]*post, 0, len(o.notifiers))
	if m.optErr == nil {
		for _, n := range o.notifiers {
			posts = append(posts, newPost(n))
		}
	}
	m.posts.Store(&posts)
	return m
}

// Start begins to watch. The context bounds the starting only. It returns
// ErrAlreadyStarted when called again and ErrStopped after Stop.
func (m *Manager) Start(ctx context.Context) error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.optErr != nil {
		return failed("start", "", m.optErr)
	}
	switch m.stage.Load() {
	case stageStarted:
		return failed("start", "", ErrAlreadyStarted)
	case stageStopped:
		return failed("start", "", ErrStopped)
	}
	if err := ctx.Err(); err != nil {
		return failed("start", "", err)
	}
	// Heartbeats before Start were heard: only the watching was missing.
	m.judge.absences.start(m.now(), false)
	for _, p := range *m.posts.Load() {
		go m.work(m.ctx, p) // ended by Stop
	}
	go m.watch()       // ended by Stop
	go m.logAbsences() // ended by Stop
	m.stage.Store(stageStarted)
	return nil
}

// Stop ends the watching, delivers the notices that are owed and ends the
// watches. It waits until ctx ends, at most 10 seconds when ctx has no deadline,
// and returns an error that matches ErrNotifier when by then a notifier had not
// finished or notices were not delivered. After it reads answer and changes
// return ErrStopped. Calling it again waits for the first call and returns the
// same.
func (m *Manager) Stop(ctx context.Context) error {
	m.life.Lock()
	before := m.stage.Swap(stageStopped)
	m.life.Unlock()
	if before == stageStopped {
		select {
		case <-m.finished:
			return m.stopErr
		case <-ctx.Done():
			return failed("stop", "", ctx.Err())
		}
	}
	defer close(m.finished)
	defer m.cancel()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stopTimeout)
		defer cancel()
	}
	close(m.quit)
	m.judge.absences.stop()
	m.settleDown()
	if before == stageStarted {
		<-m.watched
		m.stopErr = failed("stop", "", m.drain(ctx))
		select {
		case <-m.logged:
		case <-ctx.Done(): // a logger that blocks
		}
	}
	m.journal.close()
	return m.stopErr
}

// settleDown waits for whoever is still judging or changing something. All of
// them look at the stage again under one of these locks, so that nothing happens
// after it. Beats of handles go the slow path from now on and find the end.
func (m *Manager) settleDown() {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	for _, r := range m.registry.byID {
		r.mu.Lock()
		r.cell.slow.Store(true)
		r.mu.Unlock()
	}
}

// drain lets the workers deliver what is owed until ctx ends. Shortly before,
// they are told to end, so that those that listen can.
func (m *Manager) drain(ctx context.Context) error {
	var errs []error
	posts := *m.posts.Load()
	for _, p := range posts {
		p.courier.close()
	}
	deadline, _ := ctx.Deadline() // Stop has set one
	left := time.Until(deadline)
	soon := time.AfterFunc(left-min(left/4, time.Second), m.cancel)
	defer soon.Stop()
	for _, p := range posts {
		select {
		case <-p.done:
			if n := p.courier.left(); n > 0 {
				errs = append(errs, fmt.Errorf("%w: %s: %d notices not delivered", ErrNotifier, p.name, n))
			}
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("%w: %s did not return", ErrNotifier, p.name))
		}
	}
	return errors.Join(errs...)
}

// Run starts the Manager, waits until ctx ends, and stops it: one line for main
// or an errgroup. It returns nil when both went well.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return m.Stop(context.WithoutCancel(ctx))
}

// AddNotifier adds a notifier, also to a running Manager; it is told of what
// happens from now on. It returns an error that matches ErrNotifier for nil and
// ErrStopped after Stop.
func (m *Manager) AddNotifier(n Notifier) error {
	if n == nil {
		return failed("add notifier", "", fmt.Errorf("%w: it is nil", ErrNotifier))
	}
	m.life.Lock()
	defer m.life.Unlock()
	stage := m.stage.Load()
	if stage == stageStopped {
		return failed("add notifier", "", ErrStopped)
	}
	old := *m.posts.Load()
	p := newPost(n)
	posts := append(append(make([]*post, 0, len(old)+1), old...), p)
	if stage == stageStarted {
		go m.work(m.ctx, p) // ended by Stop
	}
	m.posts.Store(&posts)
	return nil
}

// Ready returns nil while the Manager takes heartbeats: else ErrNotStarted,
// ErrStopped, or what is wrong with an option.
func (m *Manager) Ready(ctx context.Context) error {
	return failed("ready", "", m.writable(ctx))
}

// readable returns why nothing may be read, if so.
func (m *Manager) readable(ctx context.Context) error {
	if m.optErr != nil {
		return m.optErr
	}
	if m.stage.Load() == stageNew && len(*m.posts.Load()) > 0 {
		return ErrNotStarted
	}
	return ctx.Err()
}

// writable returns why nothing may be changed, if so.
func (m *Manager) writable(ctx context.Context) error {
	if m.stage.Load() == stageStopped {
		return ErrStopped
	}
	return m.readable(ctx)
}

// now reads both clocks.
func (m *Manager) now() instant {
	t := time.Now()
	return instant{mono: int64(t.Sub(m.base)), wall: t.UnixNano()}
}

// watch is the loop that notices silence. Start starts it, Stop ends it.
func (m *Manager) watch() {
	defer close(m.watched)
	timer := time.NewTimer(0)
	defer timer.Stop()
	rest := int64(m.opts.checkInterval)
	clean := m.now().mono + rest
	for {
		select {
		case <-timer.C:
		case <-m.nudge:
		case <-m.quit:
			return
		}
		m.catchUp(m.now())
		if now := m.now(); now.mono >= clean {
			clean = now.mono + rest
			m.forgetDue(now)
		}
		timer.Reset(time.Duration(max(0, min(tick, m.judge.agenda.head.Load()-m.now().mono))))
	}
}

// catchUp looks for an absence, then judges every service whose instant has
// come, so that what is read afterwards holds for now.
func (m *Manager) catchUp(now instant) {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.observe(now)
	for n := 1; m.stage.Load() != stageStopped; n++ {
		r := m.judge.agenda.due(now.mono)
		if r == nil {
			return
		}
		r.mu.Lock()
		m.publish(r, m.judge.look(r, now))
		r.mu.Unlock()
		if n%1024 == 0 {
			// A long row of verdicts must not look like a late tick.
			now = m.now()
			m.observe(now)
		}
	}
}

// observe lets the monitor doubt itself before it judges. Locks may be held:
// what it finds is logged elsewhere.
func (m *Manager) observe(now instant) {
	if gone, ok := m.judge.absences.observe(now); ok {
		select {
		case m.heard <- gone:
		default: // a logger that blocks misses some
		}
	}
}

// logAbsences holds no lock: a logger may block, or ask the Manager something.
// Start starts it, Stop ends it.
func (m *Manager) logAbsences() {
	defer close(m.logged)
	for {
		select {
		case gone := <-m.heard:
			m.log.Warn("could not hear for a while; silence in that time is not held against services",
				"seconds", time.Duration(gone.length()).Seconds())
		case <-m.quit:
			return
		}
	}
}

// publish numbers an event and owes it to the notifiers. r.mu is held, so that
// the events of a service keep their order.
func (m *Manager) publish(r *record, ev *Event) {
	if ev == nil {
		return
	}
	m.journal.append(ev)
	r.keep(ev)
	if notable(ev) {
		for _, p := range *m.posts.Load() {
			p.courier.offer(ev)
		}
	}
}

// rouse makes the watching loop look again when a deadline came before the one
// that it waits for.
func (m *Manager) rouse(earlier bool) {
	if !earlier {
		return
	}
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}
