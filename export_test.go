package laneswap

import (
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/cell"
	"github.com/laneswap/laneswap/internal/clock"
)

// Court is the judge with its services and nothing around them: tests hand it
// instants on both clocks, in nanoseconds.
type Court struct {
	j      *judge
	recs   map[ServiceID]*record
	Events []Event
}

// NewCourt makes a judge at an instant.
func NewCourt(threshold time.Duration, mono, wall int64) *Court {
	return &Court{j: newJudge(threshold, clock.New(clock.Instant{Mono: mono, Wall: wall})), recs: map[ServiceID]*record{}}
}

// Start begins to watch; lost says that heartbeats before it found nobody, as
// after a restart.
func (c *Court) Start(mono, wall int64, lost bool) {
	c.j.absences.Start(clock.Instant{Mono: mono, Wall: wall}, lost)
}

// Register admits a service.
func (c *Court) Register(reg Registration, mono, wall int64) {
	c.j.absences.Observe(clock.Instant{Mono: mono, Wall: wall})
	r := &record{}
	r.id, r.reg = reg.ID, reg
	c.recs[reg.ID] = r
	c.j.create(r, clock.Instant{Mono: mono, Wall: wall})
}

// Beat is a heartbeat with something to say; an empty one takes the fast path.
func (c *Court) Beat(id ServiceID, hb Heartbeat, mono, wall int64) {
	r := c.recs[id]
	now := clock.Instant{Mono: mono, Wall: wall}
	if hb.Status == "" {
		hb.Status = StatusHealthy // as the validator does
	}
	if hb.empty() {
		if !r.cell.Beat(mono) {
			return
		}
		c.j.absences.Observe(now)
		c.add(c.j.overdue(r, now))
	} else {
		c.j.absences.Observe(now)
		c.add(c.j.judgeSilence(r, now))
		r.cell.Beats.Add(1)
	}
	ev, _ := c.j.beat(r, hb, r.metadata, now)
	c.add(ev)
}

// Tick observes and judges whoever is due.
func (c *Court) Tick(mono, wall int64) {
	now := clock.Instant{Mono: mono, Wall: wall}
	c.j.absences.Observe(now)
	for r := c.j.deadlines.pop(mono); r != nil; r = c.j.deadlines.pop(mono) {
		c.add(c.j.judgeSilence(r, now))
	}
}

// Next is the instant at which the judge wants to look next.
func (c *Court) Next() int64 { return c.j.deadlines.head.Load() }

// Status is the effective status of a service.
func (c *Court) Status(id ServiceID) Status { return c.recs[id].status }

func (c *Court) add(ev *Event) {
	if ev != nil {
		c.Events = append(c.Events, *ev)
	}
}

// CellAddress is where the cell of a handle lies.
func (h *Handle) CellAddress() *cell.Cell { return h.r.Load().cell }

// SetSpeechLimit lowers the bound of what all services said.
func (m *Manager) SetSpeechLimit(n int) { m.recentBeats.Total = n }

// SpeechBytes is what is kept of what all services said.
func (m *Manager) SpeechBytes() int { return m.recentBeats.Size() }

// JumpSeen makes the next observation find an absence.
func (m *Manager) JumpSeen(d time.Duration) {
	seen := m.absences.Observed()
	seen.Mono -= int64(d)
	seen.Wall -= int64(d)
	m.absences.SetSeen(seen)
}

// HalfBeat is Beat, cut in two where the scheduler may cut it.
func (h *Handle) HalfBeat() (finish func()) {
	r := h.r.Load()
	mono := int64(time.Since(h.m.base))
	slow := r.cell.Beat(mono)
	return func() {
		if slow {
			_ = h.m.beatSlow(r, mono)
		}
	}
}

// CheckBooks returns what does not agree between records, agenda and counts.
func (m *Manager) CheckBooks() error {
	m.registry.mu.RLock()
	defer m.registry.mu.RUnlock()
	total := 0
	for id, r := range m.registry.byID {
		err := func() error {
			r.mu.Lock()
			defer r.mu.Unlock()
			m.judge.deadlines.mu.Lock()
			defer m.judge.deadlines.mu.Unlock()
			return m.checkRecord(id, r)
		}()
		if err != nil {
			return err
		}
		total++
	}
	m.judge.mu.Lock()
	defer m.judge.mu.Unlock()
	for _, n := range m.judge.counts {
		total -= n
	}
	if total != 0 {
		return fmt.Errorf("the counts are off by %d", total)
	}
	return nil
}

func (m *Manager) checkRecord(id ServiceID, r *record) error {
	due := m.judge.due(r)
	switch {
	case due != clock.Never && r.status != StatusStale && r.deadlineIndex < 0:
		return fmt.Errorf("%s owes a heartbeat and is not in the agenda", id)
	case r.status == StatusStale && r.deadlineIndex >= 0:
		return fmt.Errorf("%s is stale and in the agenda", id)
	case r.deadlineIndex >= 0 && (m.judge.deadlines.entries[r.deadlineIndex].r != r || due != clock.Never && m.judge.deadlines.entries[r.deadlineIndex].at > due+1):
		return fmt.Errorf("%s is looked at too late", id)
	case r.isPlain() == r.cell.Slow.Load():
		return fmt.Errorf("%s: slow is %v", id, r.cell.Slow.Load())
	}
	return nil
}

// Snapshot is how a service stands at an instant.
func (c *Court) Snapshot(id ServiceID, mono, wall int64) ServiceStatus {
	return c.recs[id].snapshot(c.j, clock.Instant{Mono: mono, Wall: wall}, maxStatusEvents)
}

// Doze lets time pass with ticks that are not played one by one.
func (c *Court) Doze(mono, wall int64) {
	c.j.absences.SetSeen(clock.Instant{Mono: mono, Wall: wall})
}

// Cut is how a batch is offered in parts.
func (b Batch) Cut(n int) (part, rest Batch) { return b.cut(n) }

// Listed is how many records the registry lists, deleted ones included.
func (m *Manager) Listed() int {
	m.registry.mu.RLock()
	defer m.registry.mu.RUnlock()
	return len(m.registry.listed)
}
