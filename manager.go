package laneswap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
)

// stopTimeout bounds Stop when its context has no deadline.
const stopTimeout = 10 * time.Second

// closePatience is how long Stop waits for a storage whose context has ended.
const closePatience = time.Second

// Manager is told by services that they are alive, notices when one falls
// silent, and tells notifiers. It is made by NewManager; the zero value is not
// usable. All methods may be called concurrently.
//
// Its state is kept in memory, and in a storage if it is given one. Without a
// notifier and a storage it takes and answers everything before Start, but then
// silence is noticed only when somebody asks, and a pause of the process looks
// like silence.
type Manager struct {
	base         time.Time // the zero of the monotonic instants
	interceptors []Interceptor
	opts         options
	optErr       error
	log          *slog.Logger

	judge    *judge
	registry *registry
	alerts   *alerts
	ring     *ring
	journal  *journal.Journal[sighting] // nil without a storage
	past     past                       // set once, when the storage was read
	speeches speeches
	runs     hoard[span]        // without a storage
	reported hoard[ErrorRecord] // without a storage

	stage atomic.Int32  // one of the stages below; changed under life
	turn  sync.Mutex    // held by whoever takes records off the agenda
	nudge chan struct{} // tells the watching loop of an earlier deadline
	later chan func()   // what is to be logged without waiting for the logger
	began atomic.Int64  // mono: when the reading of the storage began

	life     sync.Mutex // guards starting, stopping and adding notifiers
	quit     chan struct{}
	watched  chan struct{} // closed when the watching loop has ended
	logged   chan struct{} // closed when the logging of absences has ended
	ctx      context.Context
	cancel   context.CancelFunc
	storing  context.Context // ends when nothing is to be stored or read any more
	giveUp   context.CancelFunc
	loading  *loading      // the reading of the storage; nil without one, and before Start
	launched bool          // the goroutines of a started Manager run
	flush    chan struct{} // closed when what is left is to be stored
	written  chan struct{} // closed when the storing has ended
	pruned   chan struct{} // closed when the pruning has ended
	finished chan struct{} // closed when Stop is done
	stopErr  error
}

// The stages of a Manager.
const (
	stageNew     int32 = iota
	stageLoading       // started, and the storage has not been read
	stageStarted
	stageStopped
)

// NewManager makes a Manager. It starts nothing; an option out of its range is
// reported by Start and by every verb.
func NewManager(opts ...Option) *Manager {
	o := options{staleThreshold: DefaultStaleThreshold, checkInterval: DefaultCheckInterval, events: 1 << 14, retention: DefaultRetention, groupWait: DefaultGroupWait, flapLimit: DefaultFlapLimit}
	for _, opt := range opts {
		opt(&o)
	}
	m := &Manager{
		base: time.Now(), opts: o, log: o.logger, interceptors: o.interceptors,
		registry: newRegistry(), nudge: make(chan struct{}, 1), later: make(chan func(), 64),
		quit: make(chan struct{}), watched: make(chan struct{}), logged: make(chan struct{}), finished: make(chan struct{}),
		flush: make(chan struct{}), written: make(chan struct{}), pruned: make(chan struct{}),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.optErr = m.opts.check()
	m.judge = newJudge(o.staleThreshold, m.now())
	m.judge.absences.Note = m.logAbsence
	m.ring = newRing(max(1, o.events), rand.Text())
	if o.storage != nil {
		m.journal = journal.New[sighting]()
	}
	m.speeches = newSpeeches()
	m.runs = hoard[span]{items: pastRecords, bytes: pastBytes, limit: pastTotal}
	m.reported = hoard[ErrorRecord]{items: pastRecords, bytes: pastBytes, limit: pastTotal}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.storing, m.giveUp = context.WithCancel(context.Background())
	m.alerts = &alerts{
		opts: &m.opts, log: m.log, now: m.now, judge: m.judge, registry: m.registry, journal: m.journal, past: &m.past,
		await: m.await, cancel: m.cancel, logLater: m.logLater, storing: m.storing, archive: newArchive(),
		storageHealth: func() *StorageHealth { return m.Health().Storage },
	}
	posts := make([]*post, 0, len(o.notifiers))
	if m.optErr == nil {
		for _, n := range o.notifiers {
			posts = append(posts, m.alerts.newPost(n, posts))
		}
	}
	m.alerts.posts.Store(&posts)
	return m
}

// Start takes up what the storage holds, if there is one, and begins to watch.
// The context bounds the starting only. It returns ErrAlreadyStarted when called
// again and ErrStopped after Stop.
//
// A storage that fails or does not answer for 5 seconds does not fail the start:
// it is read as soon as it can be. Until then heartbeats and registrations of
// services that were registered since the start are held in memory, everything
// that only the storage knows is answered with ErrLoading, and nobody is judged.
// Only a storage that a newer LaneSwap has written is an error.
func (m *Manager) Start(ctx context.Context) error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.optErr != nil {
		return failed("start", "", m.optErr)
	}
	switch m.stage.Load() {
	case stageStarted, stageLoading:
		return failed("start", "", ErrAlreadyStarted)
	case stageStopped:
		return failed("start", "", ErrStopped)
	}
	if err := ctx.Err(); err != nil {
		return failed("start", "", err)
	}
	if m.journal != nil {
		l := m.beginLoading()
		m.life.Unlock() // Stop must not wait for a storage
		err := m.awaitLoading(ctx, l)
		m.life.Lock()
		if m.stage.Load() == stageStopped {
			err = ErrStopped
		}
		if err != nil {
			return failed("start", "", err)
		}
	} else {
		// Heartbeats before Start were heard: only the watching was missing.
		m.judge.absences.Start(m.now(), false)
		m.stage.Store(stageStarted)
	}
	m.launched = true
	for _, p := range *m.alerts.posts.Load() {
		go m.alerts.work(m.ctx, p) // ended by Stop
	}
	go m.watch()      // ended by Stop
	go m.logWaiting() // ended by Stop
	return nil
}

// Stop ends the watching, delivers the notices that are owed, stores what is
// left and ends the watches. It waits until ctx ends, at most 10 seconds when ctx
// has no deadline, and returns an error that matches ErrNotifier when by then a
// notifier had not finished or notices were not delivered, and one that matches
// ErrDegraded when the storage had not taken everything. After it reads answer and changes
// return ErrStopped. Calling it again waits for the first call and returns the
// same.
func (m *Manager) Stop(ctx context.Context) error {
	m.life.Lock()
	before := m.stage.Swap(stageStopped)
	launched, loading := m.launched, m.loading
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
	if before != stageNew {
		m.observe(m.now()) // we listened until now
	}
	close(m.quit)
	m.judge.absences.Stop()
	m.settleDown()
	var errs []error
	if before == stageLoading {
		m.giveUp()
		loading.abandon()
		errs = append(errs, fmt.Errorf("%w: it was never read, what was heard is not stored", ErrDegraded))
	}
	if launched {
		<-m.watched
		errs = append(errs, m.deliver(ctx))
	}
	m.cancel()
	if before == stageStarted {
		errs = append(errs, m.close(ctx))
	}
	if launched {
		select {
		case <-m.logged:
		case <-ctx.Done(): // a logger that blocks
		}
	}
	m.stopErr = failed("stop", "", errors.Join(errs...))
	m.giveUp()
	m.ring.close()
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

// deliver drains the notifiers, and leaves time for the storage.
func (m *Manager) deliver(ctx context.Context) error {
	deadline, _ := ctx.Deadline() // Stop has set one
	if m.journal != nil {
		deadline = deadline.Add(-time.Until(deadline) / 3)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return m.alerts.drain(ctx)
}

// close stores what is left until ctx ends.
func (m *Manager) close(ctx context.Context) error {
	if m.journal == nil {
		return nil
	}
	defer m.giveUp()
	close(m.flush)
	select {
	case <-m.written:
	case <-ctx.Done():
	}
	m.giveUp()
	patience, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	for _, done := range []chan struct{}{m.written, m.pruned} {
		select {
		case <-done:
		case <-patience.Done(): // a storage that does not obey its context
		}
	}
	if rows, _, _, _ := m.journal.Backlog(); rows > 0 {
		return fmt.Errorf("%w: %d rows", ErrDegraded, rows)
	}
	return nil
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
	if err := checkNotifier(n); err != nil {
		return failed("add notifier", "", fmt.Errorf("%w: %w", ErrNotifier, err))
	}
	m.life.Lock()
	defer m.life.Unlock()
	stage := m.stage.Load()
	if stage == stageStopped {
		return failed("add notifier", "", ErrStopped)
	}
	p := m.alerts.newPost(n, *m.alerts.posts.Load())
	m.alerts.fetchNotices(p)
	if m.launched {
		go m.alerts.work(m.ctx, p) // ended by Stop
	}
	return nil
}

// Ready returns nil while the Manager takes heartbeats of all services: else
// ErrNotStarted, ErrLoading, ErrStopped, or what is wrong with an option.
func (m *Manager) Ready(ctx context.Context) error {
	if err := m.writable(ctx); err != nil {
		return failed("ready", "", err)
	}
	return failed("ready", "", m.readable(ctx))
}

// readable returns why nothing may be read, if so.
func (m *Manager) readable(ctx context.Context) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	if m.stage.Load() == stageLoading {
		return ErrLoading
	}
	return nil
}

// usable returns why nothing at all may be done, if so.
func (m *Manager) usable(ctx context.Context) error {
	if m.optErr != nil {
		return m.optErr
	}
	if m.stage.Load() == stageNew && (m.journal != nil || len(*m.alerts.posts.Load()) > 0) {
		return ErrNotStarted
	}
	return ctx.Err()
}

// writable returns why nothing may be changed, if so.
func (m *Manager) writable(ctx context.Context) error {
	if m.stage.Load() == stageStopped {
		return ErrStopped
	}
	return m.usable(ctx)
}

// now reads both clocks.
func (m *Manager) now() instant {
	t := time.Now()
	return instant{Mono: int64(t.Sub(m.base)), Wall: t.UnixNano()}
}

// watch is the loop that notices silence. Start starts it, Stop ends it.
func (m *Manager) watch() {
	defer close(m.watched)
	timer := time.NewTimer(0)
	defer timer.Stop()
	rest := int64(m.opts.checkInterval)
	clean := m.now().Mono + rest
	for {
		select {
		case <-timer.C:
		case <-m.nudge:
		case <-m.quit:
			return
		}
		if m.stage.Load() == stageLoading {
			m.observe(m.now())
			timer.Reset(time.Duration(tick))
			continue
		}
		m.catchUp(m.now())
		if m.journal != nil && m.journal.Overdue(m.now().Mono, m.judge.absences.LatestBack()) {
			m.logLater(m.storageLeft(""))
		}
		if now := m.now(); now.Mono >= clean {
			clean = now.Mono + rest
			m.forgetDue(now)
			m.alerts.agePosts(now)
		}
		timer.Reset(time.Duration(max(0, min(tick, m.judge.agenda.head.Load()-m.now().Mono))))
	}
}

// catchUp looks for an absence, then judges every service whose instant has
// come, so that what is read afterwards holds for now.
func (m *Manager) catchUp(now instant) {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.observe(now)
	for n := 1; m.stage.Load() != stageStopped; n++ {
		r := m.judge.agenda.due(now.Mono)
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
	if gone, ok := m.judge.absences.Observe(now); ok {
		m.logLater(func() {
			m.log.Warn("could not hear for a while; silence in that time is not held against services",
				"seconds", time.Duration(gone.Length()).Seconds())
		})
	}
}

// publish numbers an event, owes it to the notifiers, and notes it with the state
// that it has led to. r.mu is held, so that the events of a service keep their
// order.
func (m *Manager) publish(r *record, ev *Event) {
	if ev == nil {
		return
	}
	m.ring.append(ev)
	r.keep(ev)
	in := m.alerts.intake(r, ev, m.now())
	letters := m.alerts.owe(ev, in)
	var happened []*entry
	if m.journal != nil {
		happened = append([]*entry{eventEntry(ev)}, m.alerts.rowsOf(letters)...)
	}
	ticket := m.note(r, true, happened)
	if len(letters) == 0 {
		return
	}
	before := r.awaited
	switch held := m.alerts.confirm(letters, ticket); {
	case !held:
		r.awaited = 0
	case in.Hold != nil:
		r.awaited = in.Hold.Target
	}
	if before != r.awaited {
		r.cell.slow.Store(!r.quiet())
	}
}

// counted lets go the notices that wait for r to have had as many heartbeats as it
// has, or that no more can come for. r.mu is held.
func (m *Manager) counted(r *record) {
	if r.awaited == 0 || r.gone == alive && r.armed && r.cell.beats.Load() < r.awaited {
		return
	}
	why := ""
	if r.cell.beats.Load() < r.awaited {
		why = "told at once in spite of its threshold: no more heartbeats are expected"
	}
	r.awaited = 0
	now := m.now()
	for _, p := range *m.alerts.posts.Load() {
		p.courier.Rehold(string(r.id), nil, why, now)
	}
	r.cell.slow.Store(!r.quiet())
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
