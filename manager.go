package laneswap

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/outbox"
)

// Manager receives heartbeats, judges silence and alerts notifiers. NewManager makes
// it; the zero value is not usable. All methods may be called concurrently.
//
// It keeps its state in memory, and in a storage if it has one. Without a notifier and a
// storage its verbs work before Start, but then it notices silence only when a caller
// reads, and a pause of the process looks like silence.
type Manager struct {
	base         time.Time // the zero of the monotonic instants
	interceptors []Interceptor
	opts         options
	optErr       error
	log          *slog.Logger

	judge       *judge          // decides the status of services
	absences    *clock.Absences // when this process could not receive; shared with judge
	registry    *registry       // finds services
	events      *eventLog       // numbers and keeps events
	recentBeats *recentBeats    // keeps heartbeats that carry news
	store       *store          // keeps what a restart must not forget
	alerts      *alerts         // decides who is told what

	stage    atomic.Int32  // one of the stages below; changed under life
	judging  sync.Mutex    // held by the goroutine that takes records off the deadlines
	wakeup   chan struct{} // wakes the watching loop for an earlier deadline
	logQueue chan func()   // log calls for logWaiting

	life       sync.Mutex // guards starting, stopping and adding notifiers
	quit       chan struct{}
	watchEnded chan struct{} // closed when the watching loop has ended
	logEnded   chan struct{} // closed when logWaiting has ended
	ctx        context.Context
	cancel     context.CancelFunc
	running    bool          // the goroutines of a started Manager run
	finished   chan struct{} // closed when Stop has ended
	stopErr    error
}

// The stages of a Manager.
const (
	stageNew     int32 = iota
	stageLoading       // started, and the storage has not been read
	stageStarted
	stageStopped
)

// NewManager makes a Manager. It starts nothing. Start and every verb report an option
// that is out of its range.
func NewManager(opts ...Option) *Manager {
	o := options{staleThreshold: DefaultStaleThreshold, checkInterval: DefaultCheckInterval, events: 1 << 14, retention: DefaultRetention, groupWait: DefaultGroupWait, flapLimit: DefaultFlapLimit}
	for _, opt := range opts {
		opt(&o)
	}
	m := &Manager{
		base: time.Now(), opts: o, log: o.logger, interceptors: o.interceptors,
		registry: newRegistry(), recentBeats: newRecentBeats(), wakeup: make(chan struct{}, 1), logQueue: make(chan func(), 64),
		quit: make(chan struct{}), watchEnded: make(chan struct{}), logEnded: make(chan struct{}), finished: make(chan struct{}),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.optErr = m.opts.validate()
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.absences = clock.New(m.now())
	m.judge = newJudge(o.staleThreshold, m.absences)
	m.events = newEventLog(max(1, o.events), rand.Text())
	m.store = newStore(o.storage)
	m.alerts = &alerts{
		opts: &m.opts, log: m.log, now: m.now, judge: m.judge, registry: m.registry, journal: m.store.journal, past: &m.store.past,
		await: m.store.await, cancel: m.cancel, logLater: m.logLater, storing: m.store.ctx, traces: newRecentTraces(),
		storageHealth: m.store.health,
	}
	s := m.store
	s.opts, s.log, s.now, s.stage = &m.opts, m.log, m.now, &m.stage
	s.absences, s.judge, s.registry, s.events, s.recent, s.alerts = m.absences, m.judge, m.registry, m.events, m.recentBeats, m.alerts
	s.observe, s.publish, s.recordOwn, s.wake = m.observe, m.publish, m.recordOwn, m.wake
	m.absences.Note = s.saveAbsence
	workers := make([]*worker, 0, len(o.notifiers))
	if m.optErr == nil {
		for _, n := range o.notifiers {
			workers = append(workers, m.alerts.newWorker(n, workers))
		}
	}
	m.alerts.workers.Store(&workers)
	return m
}

// Ready returns nil while the Manager accepts heartbeats of all services. Otherwise it
// returns ErrNotStarted, ErrLoading, ErrStopped, or the error of an option.
func (m *Manager) Ready(ctx context.Context) error {
	if err := m.writable(ctx); err != nil {
		return failed("ready", "", err)
	}
	return failed("ready", "", m.readable(ctx))
}

// readable returns an error while the Manager cannot answer reads.
func (m *Manager) readable(ctx context.Context) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	if m.stage.Load() == stageLoading {
		return ErrLoading
	}
	return nil
}

// usable returns an error while no verb works.
func (m *Manager) usable(ctx context.Context) error {
	if m.optErr != nil {
		return m.optErr
	}
	if m.stage.Load() == stageNew && (m.store.persistent() || len(*m.alerts.workers.Load()) > 0) {
		return ErrNotStarted
	}
	return ctx.Err()
}

// writable returns an error while the Manager accepts no changes.
func (m *Manager) writable(ctx context.Context) error {
	if m.stage.Load() == stageStopped {
		return ErrStopped
	}
	return m.usable(ctx)
}

// now reads both clocks.
func (m *Manager) now() clock.Instant {
	t := time.Now()
	return clock.Instant{Mono: int64(t.Sub(m.base)), Wall: t.UnixNano()}
}

// watch is the loop that notices silence. Start starts it, Stop ends it.
func (m *Manager) watch() {
	defer close(m.watchEnded)
	timer := time.NewTimer(0)
	defer timer.Stop()
	rest := int64(m.opts.checkInterval)
	clean := m.now().Mono + rest
	for {
		select {
		case <-timer.C:
		case <-m.wakeup:
		case <-m.quit:
			return
		}
		if m.stage.Load() == stageLoading {
			m.observe(m.now())
			timer.Reset(time.Duration(clock.Tick))
			continue
		}
		m.catchUp(m.now())
		if m.store.overdue() {
			m.logLater(m.store.degrade(""))
		}
		if now := m.now(); now.Mono >= clean {
			clean = now.Mono + rest
			m.forgetDue(now)
			m.alerts.reviewQueues(now)
		}
		timer.Reset(time.Duration(max(0, min(clock.Tick, m.judge.deadlines.head.Load()-m.now().Mono))))
	}
}

// catchUp looks for an absence, then judges every service whose instant has come, so that
// a read afterwards is true now.
func (m *Manager) catchUp(now clock.Instant) {
	m.judging.Lock()
	defer m.judging.Unlock()
	m.observe(now)
	for n := 1; m.stage.Load() != stageStopped; n++ {
		r := m.judge.deadlines.pop(now.Mono)
		if r == nil {
			return
		}
		r.mu.Lock()
		m.publish(r, m.judge.judgeSilence(r, now))
		r.mu.Unlock()
		if n%1024 == 0 {
			// Many verdicts in a row must not look like a late tick.
			now = m.now()
			m.observe(now)
		}
	}
}

// observe looks for an absence before a judgment. Locks may be held: another goroutine
// logs what it finds.
func (m *Manager) observe(now clock.Instant) {
	if gone, ok := m.absences.Observe(now); ok {
		m.logLater(func() {
			m.log.Warn("LaneSwap could not receive heartbeats for a while; silence in that time marks no service stale",
				"seconds", time.Duration(gone.Length()).Seconds())
		})
	}
}

// publish numbers an event, adds it to the delivery queues, and stores it with the state
// that follows. r.mu is held, so that the events of a service keep their order.
func (m *Manager) publish(r *record, ev *Event) {
	if ev == nil {
		return
	}
	m.events.append(ev)
	r.addEvent(ev)
	in := m.alerts.contextOf(r, ev, m.now())
	offers := m.alerts.enqueue(ev, in)
	lsn := m.store.note(r, true, append([]*entry{eventEntry(ev)}, m.alerts.rowsOf(offers)...))
	if len(offers) == 0 {
		return
	}
	before := r.alertAtBeat
	switch delayed := m.alerts.confirm(offers, lsn); {
	case !delayed:
		r.alertAtBeat = 0
	case in.Delay != nil:
		r.alertAtBeat = in.Delay.Target
	}
	if before != r.alertAtBeat {
		r.cell.Slow.Store(!r.isPlain())
	}
}

// ownEvents begins the ids of the events of LaneSwap itself.
const ownEvents = "/laneswap/"

// recordOwn makes an event of LaneSwap itself. It returns what logs it.
func (m *Manager) recordOwn(kind EventKind, message string, d time.Duration) (log func()) {
	now := m.absences.Wall(m.now().Mono) / int64(time.Millisecond)
	ev := &Event{Kind: kind, Name: "LaneSwap", Message: message, At: clock.WallTime(now), Duration: d.Truncate(time.Millisecond)}
	m.registry.mu.Lock()
	m.judge.generation = max(m.judge.generation+1, now) // no two of them have the same
	ev.ID = ownEvents + strconv.FormatInt(m.judge.generation, 36)
	m.registry.mu.Unlock()
	m.events.append(ev)
	offers := m.alerts.enqueue(ev, outbox.EventContext{})
	lsn := m.store.journal.Note(m.now().Mono, append([]*entry{eventEntry(ev)}, m.alerts.rowsOf(offers)...), nil)
	m.alerts.confirm(offers, lsn)
	level := slog.LevelError
	if kind == EventStorageBack {
		level = slog.LevelInfo
	}
	return func() { m.log.Log(context.Background(), level, message, "event", string(kind)) }
}

// releaseDelayed makes the notices of r ready that waited for the number of heartbeats it
// has reached, or for heartbeats that are not expected any more. r.mu is held.
func (m *Manager) releaseDelayed(r *record) {
	if r.alertAtBeat == 0 || r.removal == alive && r.expecting && r.cell.Beats.Load() < r.alertAtBeat {
		return
	}
	why := ""
	if r.cell.Beats.Load() < r.alertAtBeat {
		why = "sent before its threshold: no more heartbeats are expected"
	}
	r.alertAtBeat = 0
	now := m.now()
	for _, w := range *m.alerts.workers.Load() {
		w.queue.Redelay(string(r.id), nil, why, now)
	}
	r.cell.Slow.Store(!r.isPlain())
}

// wake wakes the watching loop when a deadline is earlier than the one that it waits for.
func (m *Manager) wake(earlier bool) {
	if !earlier {
		return
	}
	select {
	case m.wakeup <- struct{}{}:
	default:
	}
}
