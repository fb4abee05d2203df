package laneswap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Beat records a heartbeat. It never waits for a storage, a network or a notifier, and
// never fails because of one. The error matches ErrServiceNotFound, ErrInvalidServiceID,
// or ErrInvalidHeartbeat (a *ValidationError when a limit was exceeded); then nothing
// has changed.
func (m *Manager) Beat(ctx context.Context, id ServiceID, hb Heartbeat) error {
	if err := m.writable(ctx); err != nil {
		return failed("beat", id, err)
	}
	r, err := m.find(id)
	if err != nil {
		return failed("beat", id, err)
	}
	if hb.empty() && m.interceptors == nil {
		return failed("beat", id, m.beatEmpty(r))
	}
	_, _, err = m.applyBeat(ctx, r, hb)
	return failed("beat", id, err)
}

// BeatAndWait records a heartbeat like Beat, and then waits until the storage has the
// status of the service, for 5 seconds at most. It does not wait when nothing changes.
// durable is false when the storage does not have the status by then. It is for servers.
func (m *Manager) BeatAndWait(ctx context.Context, id ServiceID, hb Heartbeat) (durable bool, err error) {
	if err := m.Beat(ctx, id, hb); err != nil {
		return false, err
	}
	r := m.registry.get(id)
	if r == nil {
		return true, nil // removed since
	}
	if m.stage.Load() == stageLoading {
		return false, nil
	}
	return m.store.await(ctx, r.lsn.Load()) == nil, nil
}

// Report records a heartbeat and returns the status of the service after it. When the
// heartbeat changes the status it waits until the storage has the change, for 5 seconds
// at most. It returns the errors of Beat.
func (m *Manager) Report(ctx context.Context, id ServiceID, hb Heartbeat) (ServiceStatus, error) {
	if err := m.writable(ctx); err != nil {
		return ServiceStatus{}, failed("report", id, err)
	}
	r, err := m.find(id)
	if err != nil {
		return ServiceStatus{}, failed("report", id, err)
	}
	st, lsn, err := m.applyBeat(ctx, r, hb)
	if err == nil {
		m.store.acknowledge(ctx, &st, lsn)
	}
	return st, failed("report", id, err)
}

// beatEmpty records an empty beat.
func (m *Manager) beatEmpty(r *record) error {
	mono := int64(time.Since(m.base))
	if r.cell.Beat(mono) {
		return m.beatSlow(r, mono)
	}
	return nil
}

// beatSlow finishes an empty beat at the instant mono, which the cell has counted, where
// it changes more than the cell.
func (m *Manager) beatSlow(r *record, mono int64) error {
	m.observe(m.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := m.accepts(r); err != nil {
		return err
	}
	if r.isPending {
		r.bufferBeat(Heartbeat{Status: StatusHealthy}, r.metadata, m.now())
		return nil
	}
	m.publish(r, m.judge.overdue(r, clock.Instant{Mono: mono}))
	change := r.reported != StatusHealthy || !r.expecting
	r.stateDirty = r.stateDirty || r.message != ""
	// The clock is read again under the lock: the judge may have marked the service stale
	// since mono, and a recovery is never dated before that.
	ev, earlier := m.judge.beat(r, Heartbeat{Status: StatusHealthy}, r.metadata, m.now())
	m.publish(r, ev)
	m.releaseDelayed(r)
	if ev == nil && change {
		m.store.save(r, true)
	}
	m.wake(earlier)
	return nil
}

// accepts returns an error when r cannot receive a heartbeat. r.mu is held.
func (m *Manager) accepts(r *record) error {
	switch {
	case m.stage.Load() == stageStopped:
		return ErrStopped
	case r.removal != alive:
		return ErrServiceNotFound
	}
	return nil
}

// Announce records the heartbeat of a service that may not be registered yet. It registers
// an unknown id first; a known one keeps its registration. It does both or nothing, and
// waits like Register and Report. It returns the errors of Register and Beat.
func (m *Manager) Announce(ctx context.Context, reg Registration, hb Heartbeat) (ServiceStatus, error) {
	st, lsn, err := m.announce(ctx, reg, hb)
	if err == nil {
		m.store.acknowledge(ctx, &st, lsn)
	}
	return st, failed("announce", registrationID(reg), err)
}

// AnnounceBeat does what Announce does, but does not wait for the storage. It is for
// servers.
func (m *Manager) AnnounceBeat(ctx context.Context, reg Registration, hb Heartbeat) error {
	_, _, err := m.announce(ctx, reg, hb)
	return failed("announce", registrationID(reg), err)
}

func (m *Manager) announce(ctx context.Context, reg Registration, hb Heartbeat) (st ServiceStatus, lsn uint64, err error) {
	if err := m.writable(ctx); err != nil {
		return ServiceStatus{}, 0, err
	}
	if err := m.checkID(reg.ID); err != nil {
		return ServiceStatus{}, 0, err
	}
	reg, err = m.opts.limits.registration(reg, m.checkID)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	hb, err = m.prepareBeat(ctx, reg.ID, hb)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	for range maxAnnounceTries {
		r := m.registry.get(reg.ID)
		if r == nil {
			if _, err := m.opts.limits.merge(ErrInvalidHeartbeat, reg.Metadata, hb.Metadata); err != nil {
				return ServiceStatus{}, 0, err
			}
			if r, err = m.findOrCreate(reg); err != nil {
				return ServiceStatus{}, 0, err
			}
		}
		st, lsn, err = m.commitBeat(r, hb)
		if !errors.Is(err, ErrServiceNotFound) {
			return st, lsn, err
		}
	}
	return ServiceStatus{}, 0, ErrServiceNotFound
}

// maxAnnounceTries bounds how often Announce starts again because the service was removed
// between its two steps.
const maxAnnounceTries = 10

// applyBeat checks, intercepts and judges a heartbeat.
func (m *Manager) applyBeat(ctx context.Context, r *record, hb Heartbeat) (st ServiceStatus, lsn uint64, err error) {
	hb, err = m.prepareBeat(ctx, r.id, hb)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	return m.commitBeat(r, hb)
}

// prepareBeat checks a heartbeat and passes it through the interceptors. It changes no
// service.
func (m *Manager) prepareBeat(ctx context.Context, id ServiceID, hb Heartbeat) (Heartbeat, error) {
	limits := m.opts.limits
	hb, err := limits.heartbeat(hb)
	if err != nil || m.interceptors == nil {
		return hb, err
	}
	for _, intercept := range m.interceptors {
		if hb, err = m.intercepted(ctx, intercept, id, hb); err != nil {
			return hb, err
		}
	}
	return limits.heartbeat(hb)
}

// commitBeat applies a prepared heartbeat and judges it. It returns the LSN of the latest
// change of status; 0 when there was none.
func (m *Manager) commitBeat(r *record, hb Heartbeat) (st ServiceStatus, lsn uint64, err error) {
	m.observe(m.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := m.accepts(r); err != nil {
		return ServiceStatus{}, 0, err
	}
	merged, err := m.opts.limits.merge(ErrInvalidHeartbeat, r.metadata, hb.Metadata)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	now := m.now()
	m.judgeNow(r, now)
	r.cell.Beats.Add(1)
	if hb.Message != "" || hb.Status != r.reported && hb.Status != StatusHealthy || changes(r.metadata, hb.Metadata) {
		if r.recent == nil {
			r.recent = new(beatList)
		}
		r.beatsDirty = true
		m.recentBeats.record(r.recent, hb, r.stamp(m.absences.Wall(now.Mono)))
	}
	if r.isPending {
		r.bufferBeat(hb, merged, now)
		return m.reply(r, now, 0), 0, nil
	}
	change := hb.Status != r.reported || r.expecting == hb.last()
	r.stateDirty = r.stateDirty || hb.Message != r.message || hb.Message != "" || len(hb.Metadata) > 0
	if !r.bad(hb.Status) && !r.good(hb.Status) {
		r.skipBeat()
	}
	ev, earlier := m.judge.beat(r, hb, merged, now)
	m.publish(r, ev)
	m.releaseDelayed(r)
	if ev == nil && change {
		m.store.save(r, true)
	}
	m.wake(earlier)
	// A heartbeat that changes nothing acknowledges the changes before it.
	return m.reply(r, now, 0), r.lsn.Load(), nil
}

// intercepted calls one interceptor. A panic refuses the heartbeat. Only the log has its
// value: the error goes to the sender of the heartbeat.
func (m *Manager) intercepted(ctx context.Context, i Interceptor, id ServiceID, hb Heartbeat) (out Heartbeat, err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("interceptor panicked", "service", id, "err", p)
			err = fmt.Errorf("%w: an interceptor panicked", ErrInvalidHeartbeat)
		}
	}()
	out, err = i(ctx, id, hb)
	if err != nil && !errors.Is(err, ErrInvalidHeartbeat) {
		err = fmt.Errorf("%w: %w", ErrInvalidHeartbeat, err)
	}
	return out, err
}

// judgeNow judges the silence of r if its deadline has passed. r.mu is held.
func (m *Manager) judgeNow(r *record, now clock.Instant) {
	if m.stage.Load() == stageStopped || r.status == StatusStale {
		return
	}
	if deadline, _ := m.judge.next(r); now.Mono > deadline {
		m.observe(now) // the process may have stood still since the last observation
		m.publish(r, m.judge.judgeSilence(r, now))
	}
}
