package laneswap

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap/internal/outbox"
)

// Sync waits until every registration, removal, change of status and reported
// error that was acknowledged before it is durable. After 5 seconds at most, and
// at once while the storage is known to be away, it returns an error that matches
// ErrDegraded: nothing is lost by that, and watching goes on. Without a storage,
// or with nothing to wait for, it returns nil at once. What services say besides,
// and when they were last seen, is stored at its own rhythm.
func (m *Manager) Sync(ctx context.Context) error {
	if m.journal == nil || m.optErr != nil {
		return failed("sync", "", m.optErr)
	}
	if m.stage.Load() == stageLoading {
		return failed("sync", "", ErrDegraded)
	}
	return failed("sync", "", m.await(ctx, m.journal.Vital()))
}

// await waits until all up to a ticket is stored.
func (m *Manager) await(ctx context.Context, ticket uint64) error {
	if m.journal == nil || m.journal.Stored(ticket) {
		return nil
	}
	stored, more, away := m.journal.Await(ticket)
	if stored {
		return nil
	}
	patience := time.NewTimer(durableWithin)
	defer patience.Stop()
	for {
		if away {
			return ErrDegraded
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.written: // nobody stores any more
		case <-patience.C:
			m.observe(m.now())
			if m.journal.Paused(m.now().Mono, m.judge.absences.LatestBack()) {
				patience.Reset(durableWithin) // it was us who stood still
				continue
			}
			if m.stage.Load() != stageStopped {
				m.storageAway("")
			}
			return ErrDegraded
		}
		if stored, more, away = m.journal.Await(ticket); stored {
			return nil
		}
		select {
		case <-m.written:
			return ErrDegraded
		default:
		}
	}
}

// settle waits for what an answer acknowledges, and says in it whether it is
// durable.
func (m *Manager) settle(ctx context.Context, st *ServiceStatus, ticket uint64) {
	st.NotDurable = st.NotDurable || m.await(ctx, ticket) != nil
}

// storageAway says, once, that the storage does not take what it is given.
func (m *Manager) storageAway(why string) { m.storageLeft(why)() }

// storageLeft is storageAway without the log, which it returns.
func (m *Manager) storageLeft(why string) (log func()) {
	if !m.journal.Degrade(m.now().Mono) {
		return func() {}
	}
	if why == "" {
		why = "the storage has not taken for 5 seconds what it was given; it is kept in memory, and watching goes on"
	}
	return m.happen(EventStorageAway, why, 0)
}

// stored is called after each commit, with how long it took.
func (m *Manager) stored(took time.Duration) {
	back, away, lost := m.journal.Landed(m.now().Mono, took)
	if back {
		m.proclaim(EventStorageBack, "the storage takes again what it is given, and has taken all that waited", away)
	}
	if len(lost) > 0 {
		m.proclaim(EventStorageLost, "too much waited for the storage, transitions were not kept: "+listLost(lost), 0)
	}
}

// listLost names at most 20 services, those that lost most first.
func listLost(lost map[string]int) string {
	ids := make([]string, 0, len(lost))
	for id := range lost {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool {
		if lost[ids[i]] != lost[ids[j]] {
			return lost[ids[i]] > lost[ids[j]]
		}
		return ids[i] < ids[j]
	})
	var parts []string
	rest := 0
	for i, id := range ids {
		if i < 20 {
			parts = append(parts, fmt.Sprintf("%d of %s", lost[id], cmp.Or(id, "LaneSwap itself")))
		} else {
			rest += lost[id]
		}
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d others", rest, len(ids)-20))
	}
	return strings.Join(parts, ", ")
}

// ownEvents begins the ids of the events of LaneSwap itself.
const ownEvents = "/laneswap/"

// proclaim makes an event of LaneSwap itself, and logs it. It is called without
// locks.
func (m *Manager) proclaim(kind EventKind, message string, d time.Duration) {
	m.happen(kind, message, d)()
}

// happen makes an event of LaneSwap itself, and returns what logs it.
func (m *Manager) happen(kind EventKind, message string, d time.Duration) (log func()) {
	now := m.judge.absences.Wall(m.now().Mono) / int64(time.Millisecond)
	ev := &Event{Kind: kind, Name: "LaneSwap", Message: message, At: wallTime(now), Duration: d.Truncate(time.Millisecond)}
	m.registry.mu.Lock()
	m.judge.born = max(m.judge.born+1, now) // no two of them have the same
	ev.ID = ownEvents + strconv.FormatInt(m.judge.born, 36)
	m.registry.mu.Unlock()
	m.ring.append(ev)
	letters := m.alerts.owe(ev, outbox.Intake{})
	ticket := uint64(0)
	if m.journal != nil {
		ticket = m.journal.Note(m.now().Mono, append([]*entry{eventEntry(ev)}, m.alerts.rowsOf(letters)...), nil)
	}
	m.alerts.confirm(letters, ticket)
	return func() { m.log.Log(context.Background(), levelOf(kind), message, "event", string(kind)) }
}

// levelOf is how loud an event of LaneSwap itself is in the log.
func levelOf(kind EventKind) slog.Level {
	if kind == EventStorageBack {
		return slog.LevelInfo
	}
	return slog.LevelError
}

// Health tells how the Manager itself is.
func (m *Manager) Health() Health {
	h := Health{Stage: [...]string{"new", "loading", "running", "stopped"}[m.stage.Load()]}
	h.Notifiers = m.alerts.notifiers()
	if m.journal == nil {
		return h
	}
	rows, away, lost, fenced := m.journal.Backlog()
	s := &StorageHealth{State: "ok", Backlog: rows, Lost: lost}
	since := away
	switch {
	case m.stage.Load() <= stageLoading:
		s.State, since = "loading", m.began.Load()
	case fenced:
		s.State = "fenced"
	case away != 0:
		s.State = "degraded"
	}
	if s.State != "ok" && since != 0 {
		s.Since = wallTime(m.judge.absences.Wall(since) / int64(time.Millisecond))
	}
	h.Storage = s
	return h
}
