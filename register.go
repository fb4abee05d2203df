package laneswap

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/laneswap/laneswap/internal/clock"
)

// Register adds a service, or updates it: the same id again replaces its settings and
// merges its metadata. The deadline counts from the registration, so that a service that
// never beats becomes stale. Register waits until the storage has the registration, for 5
// seconds at most. The error is a *ValidationError that matches ErrInvalidRegistration or
// ErrInvalidServiceID; or it matches ErrTooManyServices, ErrLoading for a service without
// an id before the storage has been read, or ErrDegraded for a new service while the
// backlog is full. Then nothing has changed.
func (m *Manager) Register(ctx context.Context, reg Registration) (ServiceStatus, error) {
	st, lsn, err := m.register(ctx, reg)
	if err != nil {
		return ServiceStatus{}, failed("register", registrationID(reg), err)
	}
	m.store.acknowledge(ctx, &st, lsn)
	return st, nil
}

func registrationID(reg Registration) ServiceID {
	if reg.ID != "" {
		return reg.ID
	}
	return ServiceID(reg.Name)
}

func (m *Manager) register(ctx context.Context, reg Registration) (st ServiceStatus, lsn uint64, err error) {
	if err := m.writable(ctx); err != nil {
		return ServiceStatus{}, 0, err
	}
	reg, err = m.opts.limits.registration(reg, m.checkID)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	m.catchUp(m.now())

	g := m.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	now := m.now()
	r := g.byID[reg.ID]
	if reg.ID == "" {
		if m.stage.Load() == stageLoading {
			return ServiceStatus{}, 0, ErrLoading // the storage may have a service to replace
		}
		r = m.findReplaceable(reg.Name, now)
	}
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	if r == nil || reg.ID == "" && !r.replaceable(now) { // it may have beaten since
		fresh, err := m.create(reg, now)
		if err != nil {
			return ServiceStatus{}, 0, err
		}
		fresh.mu.Lock()
		defer fresh.mu.Unlock()
		if fresh.isPending {
			again := reg // a copy, so that only a buffered registration escapes to the heap
			fresh.buffer(bufferedCall{reg: &again, at: now})
		}
		return m.reply(fresh, now, 0), m.store.save(fresh, true), nil
	}
	if err := m.accepts(r); err != nil {
		return ServiceStatus{}, 0, err
	}
	merged, err := m.opts.limits.merge(ErrInvalidRegistration, r.metadata, reg.Metadata)
	if err != nil {
		return ServiceStatus{}, 0, err
	}
	m.judgeNow(r, now)
	if r.isPending {
		again := reg
		r.buffer(bufferedCall{reg: &again, at: now})
	}
	known := reg
	if known.Name == "" {
		known.Name = r.reg.Name
	}
	known.ID = r.id
	g.removeName(r)
	r.metadata = merged
	if r.isPending {
		r.reg, r.reg.Metadata = known, nil
		r.cell.Window.Store(m.judge.window(known))
	} else {
		before := r.reg
		m.wake(m.judge.reregister(r, known, now))
		if before.AlertAfter != known.AlertAfter || before.RecoverAfter != known.RecoverAfter || r.status == StatusStale {
			m.alerts.redelay(r)
		}
	}
	g.addName(r)
	return m.reply(r, now, maxStatusEvents), m.store.save(r, true), nil
}

// reply returns the record for the caller that changed it. r.mu is held.
func (m *Manager) reply(r *record, now clock.Instant, events int) ServiceStatus {
	st := r.snapshot(m.judge, now, events)
	st.NotDurable = r.isPending
	return st
}

// findOrCreate returns the record of an id, and creates one where there is none.
func (m *Manager) findOrCreate(reg Registration) (*record, error) {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	if r := m.registry.byID[reg.ID]; r != nil {
		return r, nil
	}
	r, err := m.create(reg, m.now())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.store.save(r, true)
	return r, nil
}

// reregister registers a forgotten service again, as it was, for its handle.
func (m *Manager) reregister(r *record) (*record, error) {
	r.mu.Lock()
	reg := r.reg
	reg.Metadata = r.metadata
	r.mu.Unlock()
	next, err := m.findOrCreate(reg)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.successor == nil {
		r.successor = next
	}
	return r.successor, nil
}

// create makes a new record. The registry is locked for writing.
func (m *Manager) create(reg Registration, now clock.Instant) (*record, error) {
	if m.stage.Load() == stageStopped { // Stop waits for the registry's lock
		return nil, ErrStopped
	}
	if n := len(m.registry.byID); n >= m.opts.limits.Services {
		return nil, fmt.Errorf("%w: there are %d, the limit is %d", ErrTooManyServices, n, m.opts.limits.Services)
	}
	if m.store.journal.Blocked() {
		return nil, ErrDegraded
	}
	merged, err := m.opts.limits.merge(ErrInvalidRegistration, nil, reg.Metadata)
	if err != nil {
		return nil, err
	}
	if reg.ID == "" {
		reg.ID = newUUID()
	}
	r := &record{}
	r.metadata, r.generatedID, r.eventsComplete = merged, uuid.MatchString(string(reg.ID)), true
	if reg.Name == "" {
		reg.Name = string(reg.ID)
	}
	r.id, r.reg = reg.ID, reg
	r.reg.Metadata = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	m.wake(m.judge.create(r, now))
	if m.stage.Load() == stageLoading { // it changes under the registry's lock
		m.store.startPending(r, reg, now)
	}
	m.registry.put(r)
	return r, nil
}

// findReplaceable finds the only ended service of that name with a generated id. The
// registry is locked for writing.
func (m *Manager) findReplaceable(name string, now clock.Instant) *record {
	var found *record
	for _, r := range m.registry.byName[name] {
		r.mu.Lock()
		m.judgeNow(r, now)
		free := r.replaceable(now)
		r.mu.Unlock()
		if !free {
			continue
		}
		if found != nil {
			return nil
		}
		found = r
	}
	return found
}

// replaceable reports whether r has ended, so that a registration without an id may take
// over its id. A service that has just registered again is not replaceable. r.mu is held.
func (r *record) replaceable(now clock.Instant) bool {
	return r.ended() && (r.claimedUntil == 0 || now.Mono > r.claimedUntil)
}

// newUUID makes a random id, version 4 of RFC 9562.
func newUUID() ServiceID {
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends when there is no randomness
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return ServiceID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

// Remove deletes a service. Its incident, if it has one, ends with an event, and its
// handles stop working. It returns ErrServiceNotFound when there is no such service.
// When the storage does not have the removal within 5 seconds it returns ErrDegraded, or
// the error of ctx when that ends first: the service is removed, but comes back if
// LaneSwap is killed before the removal is stored.
func (m *Manager) Remove(ctx context.Context, id ServiceID) error {
	err := m.writable(ctx)
	if err == nil {
		err = m.readable(ctx)
	}
	if err != nil {
		return failed("remove", id, err)
	}
	m.observe(m.now())
	r, err := m.find(id)
	if err != nil {
		return failed("remove", id, err)
	}
	lsn, ok := m.retire(r, removed, nil)
	if !ok {
		if err = m.writable(ctx); err == nil {
			err = ErrServiceNotFound
		}
		return failed("remove", id, err)
	}
	return failed("remove", id, m.store.await(ctx, lsn))
}

// retire removes a record from everything, if it is not removed yet and the condition
// holds; a nil condition always does.
func (m *Manager) retire(r *record, why removal, holds func(now clock.Instant) bool) (lsn uint64, ok bool) {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := m.now()
	if r.removal != alive || m.stage.Load() == stageStopped || holds != nil && !holds(now) {
		return 0, false
	}
	m.registry.delete(r)
	m.publish(r, m.judge.retire(r, why, now))
	m.releaseDelayed(r)
	lsn = m.store.save(r, true)
	m.store.forget(r)
	return lsn, true
}

// forgetDue forgets the services that ended longer ago than their ForgetAfter.
func (m *Manager) forgetDue(now clock.Instant) {
	due := func(r *record, now clock.Instant) bool {
		after := r.forgetAfter()
		return !r.isPending && after != Never && r.ended() && now.Mono-r.endedAt >= int64(after)
	}
	for _, id := range m.registry.ids() {
		r := m.registry.get(id)
		if r == nil {
			continue
		}
		r.mu.Lock()
		forget := due(r, now)
		r.mu.Unlock()
		if forget {
			m.retire(r, forgotten, func(now clock.Instant) bool { return due(r, now) })
		}
	}
}

// checkID checks an id. The id of a registered service is valid, even an imported one.
func (m *Manager) checkID(id ServiceID) error {
	if m.registry.get(id) != nil {
		return nil
	}
	return ValidateServiceID(id)
}

// find returns the record of an id.
func (m *Manager) find(id ServiceID) (*record, error) {
	if r := m.registry.get(id); r != nil {
		return r, nil
	}
	if err := m.checkID(id); err != nil {
		return nil, err
	}
	if m.stage.Load() == stageLoading {
		return nil, ErrLoading
	}
	return nil, ErrServiceNotFound
}
