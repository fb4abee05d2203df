package laneswap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Beat takes a heartbeat. It never waits for a storage, a network or a
// notifier, and never fails because of one. The error matches ErrServiceNotFound,
// ErrInvalidServiceID, or ErrInvalidHeartbeat (a *ValidationError when a limit
// was exceeded); then nothing was changed.
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

// BeatAndWait is Beat that waits, for 5 seconds at most, until the storage has
// taken what the status of the service is by this heartbeat: not at all when it
// changes nothing. durable is false when the storage has not taken it by then.
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

// Report takes a heartbeat and returns how the service stands with it. With a
// storage it waits, for 5 seconds at most, until that has taken a change of
// status. The errors are those of Beat.
func (m *Manager) Report(ctx context.Context, id ServiceID, hb Heartbeat) (ServiceStatus, error) {
	if err := m.writable(ctx); err != nil {
		return ServiceStatus{}, failed("report", id, err)
	}
	r, err := m.find(id)
	if err != nil {
		return ServiceStatus{}, failed("report", id, err)
	}
	st, ticket, err := m.applyBeat(ctx, r, hb)
	if err == nil {
		m.store.acknowledge(ctx, &st, ticket)
	}
	return st, failed("report", id, err)
}

// beatEmpty is an empty beat.
func (m *Manager) beatEmpty(r *record) error {
	mono := int64(time.Since(m.base))
	if r.cell.beat(mono) {
		return m.beatSlow(r, mono)
	}
	return nil
}

// beatSlow is the rest of an empty beat of the instant mono that the cell has
// counted already.
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
	// Read again under the lock: a verdict may have been given since mono, and
	// no recovery is dated before its stale.
	ev, earlier := m.judge.beat(r, Heartbeat{Status: StatusHealthy}, r.metadata, m.now())
	m.publish(r, ev)
	m.releaseDelayed(r)
	if ev == nil && change {
		m.store.save(r, true)
	}
	m.wake(earlier)
	return nil
}

// accepts returns why r takes no heartbeat, if so; its mu is held.
func (m *Manager) accepts(r *record) error {
	switch {
	case m.stage.Load() == stageStopped:
		return ErrStopped
	case r.removal != alive:
		return ErrServiceNotFound
	}
	return nil
}

// Announce takes the heartbeat of a service that may not be registered yet: an
// unknown id is registered first, a known one keeps its registration. It does
// both or nothing, and waits as they do. The errors are those of Register and Beat.
func (m *Manager) Announce(ctx context.Context, reg Registration, hb Heartbeat) (ServiceStatus, error) {
	st, ticket, err := m.announce(ctx, reg, hb)
	if err == nil {
		m.store.acknowledge(ctx, &st, ticket)
	}
	return st, failed("announce", registrationID(reg), err)
}

// AnnounceBeat is to Announce what Beat is to Report: it does not wait for the
// storage.
func (m *Manager) AnnounceBeat(ctx context.Context, reg Registration, hb Heartbeat) error {
	_, _, err := m.announce(ctx, reg, hb)
	return failed("announce", registrationID(reg), err)
}

func (m *Manager) announce(ctx context.Context, reg Registration, hb Heartbeat) (st ServiceStatus, ticket uint64, err error) {
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
		st, ticket, err = m.commitBeat(r, hb)
		if !errors.Is(err, ErrServiceNotFound) {
			return st, ticket, err
		}
	}
	return ServiceStatus{}, 0, ErrServiceNotFound
}

// maxAnnounceTries bounds how often Announce begins anew because the service was
// removed between its two steps.
const maxAnnounceTries = 10

// applyBeat is any heartbeat: checked, intercepted, judged.
func (m *Manager) applyBeat(ctx context.Context, r *record, hb Heartbeat) (st ServiceStatus, ticket uint64, err error) {
	hb, err = m.prepareBeat(ctx, r.id, hb)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	return m.commitBeat(r, hb)
}

// prepareBeat checks a heartbeat and shows it to the interceptors. It changes
// nothing.
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

// commitBeat judges a heartbeat that was prepared and applies it.
// The ticket is that of the latest change of status; 0 when there was none.
func (m *Manager) commitBeat(r *record, hb Heartbeat) (st ServiceStatus, ticket uint64, err error) {
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
	r.cell.beats.Add(1)
	if hb.Message != "" || hb.Status != r.reported && hb.Status != StatusHealthy || changes(r.metadata, hb.Metadata) {
		if r.recent == nil {
			r.recent = new(beatList)
		}
		r.beatsDirty = true
		m.recentBeats.record(r.recent, hb, r.stamp(m.judge.absences.Wall(now.Mono)))
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
	// Also one that changes nothing acknowledges what came before it.
	return m.reply(r, now, 0), r.lsn.Load(), nil
}

// intercepted calls one interceptor; a panic is a refusal. What it panicked with
// is for the log: the error goes to whoever sent the heartbeat.
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

// judgeNow judges r's silence if its deadline has passed; its mu is held.
func (m *Manager) judgeNow(r *record, now clock.Instant) {
	if m.stage.Load() == stageStopped || r.status == StatusStale {
		return
	}
	if deadline, _ := m.judge.next(r); now.Mono > deadline {
		m.observe(now) // the process may have been stopped since the last look
		m.publish(r, m.judge.look(r, now))
	}
}
