package laneswap

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopTimeout bounds Stop when its context has no deadline.
const stopTimeout = 10 * time.Second

// Start restores what the storage holds and begins to watch. ctx bounds the start only.
// Start returns ErrAlreadyStarted when called again, and ErrStopped after Stop.
//
// A storage that fails, or does not answer within 5 seconds, does not fail the start:
// LaneSwap reads it as soon as possible. Until then it buffers the heartbeats and
// registrations of services that registered since the start, answers ErrLoading for all
// other services, and marks no service stale. Only a storage that a newer LaneSwap has
// written is an error.
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
	if m.store.persistent() {
		l := m.store.read()
		m.life.Unlock() // Stop must not wait for a storage
		err := m.store.awaitReading(ctx, l)
		m.life.Lock()
		if m.stage.Load() == stageStopped {
			err = ErrStopped
		}
		if err != nil {
			return failed("start", "", err)
		}
	} else {
		// Heartbeats before Start were received: only the watching was missing.
		m.absences.Start(m.now(), false)
		m.stage.Store(stageStarted)
	}
	m.running = true
	for _, w := range *m.alerts.workers.Load() {
		go m.alerts.runWorker(m.ctx, w) // ended by Stop
	}
	go m.watch()      // ended by Stop
	go m.logWaiting() // ended by Stop
	return nil
}

// Stop ends the watching, delivers pending notices, stores the backlog and ends the
// watches. It waits until ctx ends, or 10 seconds when ctx has no deadline. It returns an
// error that matches ErrNotifier when notices are undelivered, and one that matches
// ErrDegraded when the backlog is not stored. After Stop, reads answer and changes return
// ErrStopped. A second call waits for the first and returns the same.
func (m *Manager) Stop(ctx context.Context) error {
	m.life.Lock()
	before := m.stage.Swap(stageStopped)
	launched, reading := m.running, m.store.reading
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
	m.absences.Stop()
	m.awaitChanges()
	var errs []error
	if before == stageLoading {
		m.store.cancel()
		reading.abandon()
		errs = append(errs, fmt.Errorf("%w: the storage was never read, and the heartbeats since the start are not stored", ErrDegraded))
	}
	if launched {
		<-m.watchEnded
		errs = append(errs, m.deliver(ctx))
	}
	m.cancel()
	if before == stageStarted {
		errs = append(errs, m.store.close(ctx))
	}
	if launched {
		select {
		case <-m.logEnded:
		case <-ctx.Done(): // a logger that blocks
		}
	}
	m.stopErr = failed("stop", "", errors.Join(errs...))
	m.store.cancel()
	m.events.close()
	return m.stopErr
}

// awaitChanges waits for the calls that are judging or changing something. Each of them
// checks the stage again under one of these locks, so that nothing changes after it.
// Beats of handles take the slow path from now on, and find the Manager stopped.
func (m *Manager) awaitChanges() {
	m.judging.Lock()
	defer m.judging.Unlock()
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	for _, r := range m.registry.byID {
		r.mu.Lock()
		r.cell.Slow.Store(true)
		r.mu.Unlock()
	}
}

// deliver waits for the notifiers, and leaves time for the storage.
func (m *Manager) deliver(ctx context.Context) error {
	deadline, _ := ctx.Deadline() // Stop has set one
	if m.store.persistent() {
		deadline = deadline.Add(-time.Until(deadline) / 3)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return m.alerts.drain(ctx)
}

// Run starts the Manager, waits until ctx ends, and stops it: one line for main or an
// errgroup. It returns the error of Start or Stop.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return m.Stop(context.WithoutCancel(ctx))
}

// Sync waits until every registration, removal, change of status and reported error
// that was acknowledged before it is durable. It returns an error that matches
// ErrDegraded after 5 seconds, or at once while the storage does not accept writes:
// nothing is lost by that, and watching goes on. Without a storage, or with nothing to
// wait for, it returns nil at once. Messages, metadata and the times of heartbeats are
// stored at the check interval and not waited for.
func (m *Manager) Sync(ctx context.Context) error {
	if !m.store.persistent() || m.optErr != nil {
		return failed("sync", "", m.optErr)
	}
	if m.stage.Load() == stageLoading {
		return failed("sync", "", ErrDegraded)
	}
	return failed("sync", "", m.store.await(ctx, m.store.journal.Latest()))
}

// logLater logs from another goroutine, so that a slow logger never blocks a caller that
// holds a lock.
func (m *Manager) logLater(say func()) {
	select {
	case m.logQueue <- say:
	default: // the logger blocks: drop the call
	}
}

// logWaiting makes the log calls of logLater. It holds no lock: a logger may block, or
// call the Manager. Start starts it, Stop ends it.
func (m *Manager) logWaiting() {
	defer close(m.logEnded)
	for {
		select {
		case say := <-m.logQueue:
			say()
		case <-m.quit:
			return
		}
	}
}

// Health is the state of the Manager itself, beside that of the services.
type Health struct {
	// Stage is "new", "loading" while the storage has not been read, "running" or
	// "stopped".
	Stage string `json:"stage"`
	// Storage is nil without one.
	Storage *StorageHealth `json:"storage,omitempty"`
	// Notifiers has what Manager.Notifiers returns.
	Notifiers []NotifierStatus `json:"notifiers,omitempty"`
}

// StorageHealth is the state of the storage. It holds no text of the storage's errors,
// which may not be for every reader: the log has them.
type StorageHealth struct {
	// State is "ok", "loading", "degraded" while the storage does not accept writes, or
	// "fenced" when another LaneSwap has taken it over.
	State string `json:"state"`
	// Since is when this state began; zero for ok.
	Since time.Time `json:"since,omitzero"`
	// Backlog is the number of rows that wait to be stored.
	Backlog int `json:"backlog"`
	// Lost is the number of transitions that were dropped since the backlog became
	// full. It is zero again once EventStorageLost has reported them.
	Lost uint64 `json:"lost"`
}

// Health returns the state of the Manager itself, beside that of the services.
func (m *Manager) Health() Health {
	return Health{
		Stage:     [...]string{"new", "loading", "running", "stopped"}[m.stage.Load()],
		Storage:   m.store.health(),
		Notifiers: m.alerts.statuses(),
	}
}
