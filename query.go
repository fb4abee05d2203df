package laneswap

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/laneswap/laneswap/internal/text"
)

// Service returns the state of a service now, with its latest 10 events. It returns
// ErrServiceNotFound when no service has the id.
func (m *Manager) Service(ctx context.Context, id ServiceID) (ServiceStatus, error) {
	if err := m.readable(ctx); err != nil {
		return ServiceStatus{}, failed("service", id, err)
	}
	r, err := m.find(id)
	if err != nil {
		return ServiceStatus{}, failed("service", id, err)
	}
	m.catchUp(m.now())
	m.store.loadEvents(ctx, r)
	st, ok := m.view(r, maxStatusEvents)
	if !ok {
		return ServiceStatus{}, failed("service", id, ErrServiceNotFound)
	}
	return st, nil
}

// view judges and copies a record. It returns false when the service was removed.
func (m *Manager) view(r *record, events int) (ServiceStatus, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := m.now()
	if r.removal != alive {
		return ServiceStatus{}, false
	}
	m.judgeNow(r, now)
	st := r.snapshot(m.judge, now, events)
	if m.stage.Load() == stageStopped {
		st.Late, st.Deadline = false, time.Time{} // a stopped Manager judges no deadline
	}
	return st, true
}

// Services yields the services that q selects, ordered by id, each in its state when it
// is yielded. It holds no lock while the loop body runs. When it fails, it yields an error
// last.
func (m *Manager) Services(ctx context.Context, q ServiceQuery) iter.Seq2[ServiceStatus, error] {
	return func(yield func(ServiceStatus, error) bool) {
		err := m.readable(ctx)
		if err == nil {
			err = q.validate()
		}
		if err != nil {
			yield(ServiceStatus{}, failed("services", "", err))
			return
		}
		m.catchUp(m.now())
		ids := m.registry.ids()
		if q.After != "" {
			ids = ids[sort.Search(len(ids), func(i int) bool { return ids[i] > q.After }):]
		}
		n := 0
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				yield(ServiceStatus{}, failed("services", "", err))
				return
			}
			r := m.registry.get(id)
			if r == nil {
				continue
			}
			if q.Events > 0 {
				m.store.loadEvents(ctx, r)
			}
			st, ok := m.view(r, q.Events)
			if !ok || !q.selects(st) {
				continue
			}
			if !yield(st, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
	}
}

func (q ServiceQuery) validate() error {
	switch {
	case q.Status != "" && !q.Status.Valid():
		return invalid(ErrInvalidQuery, "status", "%q is not one of the statuses", text.Cut(string(q.Status), 40))
	case q.Limit < 0:
		return invalid(ErrInvalidQuery, "limit", "is %d, it must not be negative", q.Limit)
	case q.Events < 0 || q.Events > maxStatusEvents:
		return invalid(ErrInvalidQuery, "events", "is %d, it must be from 0 to %d", q.Events, maxStatusEvents)
	}
	return nil
}

func (q ServiceQuery) selects(st ServiceStatus) bool {
	return (q.Status == "" || q.Status == st.Status) &&
		(q.Name == "" || q.Name == st.Name) &&
		(q.Tag == "" || slices.Contains(st.Tags, q.Tag))
}

// Summary counts the services by effective status.
func (m *Manager) Summary(ctx context.Context) (Summary, error) {
	if err := m.readable(ctx); err != nil {
		return Summary{}, failed("summary", "", err)
	}
	m.catchUp(m.now())
	// The sequence is read before the counts. An event in between is then both counted
	// and watched, and not missed.
	sum := Summary{Counts: map[Status]int{}}
	sum.Sequence, sum.Journal = m.events.latest()
	m.judge.mu.Lock()
	counts := m.judge.counts
	m.judge.mu.Unlock()
	for i, n := range counts {
		if n > 0 {
			sum.Counts[statusOrder[i]] = n
			sum.Total += n
		}
	}
	return sum, nil
}

// Heartbeats yields the latest heartbeats of a service that were not empty, oldest first:
// at most 100, and at most 16 KiB. When it fails, it yields an error last.
func (m *Manager) Heartbeats(ctx context.Context, id ServiceID) iter.Seq2[HeartbeatRecord, error] {
	return func(yield func(HeartbeatRecord, error) bool) {
		err := m.readable(ctx)
		var r *record
		if err == nil {
			r, err = m.find(id)
		}
		if err != nil {
			yield(HeartbeatRecord{}, failed("heartbeats", id, err))
			return
		}
		r.mu.Lock()
		recent := r.recent
		r.mu.Unlock()
		for _, rec := range m.recentBeats.copies(recent) {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// Unhealthy returns an error that matches ErrUnhealthy if one of the services is error,
// critical or stale, or is not registered. It returns nil otherwise. It checks all
// services when ids is empty. The error names at most 20 services. Unhealthy suits the
// health check of the embedding program.
func (m *Manager) Unhealthy(ctx context.Context, ids ...ServiceID) error {
	if err := m.readable(ctx); err != nil {
		return failed("unhealthy", "", err)
	}
	var bad []string
	more := 0
	add := func(id ServiceID, what string) {
		if len(bad) == 20 {
			more++
			return
		}
		bad = append(bad, fmt.Sprintf("%s is %s", text.Cut(string(id), maxIDLength), what))
	}
	note := func(st ServiceStatus) {
		switch st.Status {
		case StatusError, StatusCritical, StatusStale:
			add(st.ID, string(st.Status))
		}
	}
	if len(ids) == 0 {
		for st, err := range m.Services(ctx, ServiceQuery{}) {
			if err != nil {
				return err
			}
			note(st)
		}
	}
	for _, id := range ids {
		st, err := m.Service(ctx, id)
		switch {
		case errors.Is(err, ErrServiceNotFound), errors.Is(err, ErrInvalidServiceID):
			add(id, "not registered")
		case err != nil:
			return err
		default:
			note(st)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	if more > 0 {
		bad = append(bad, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("laneswap: %w: %s", ErrUnhealthy, strings.Join(bad, ", "))
}
