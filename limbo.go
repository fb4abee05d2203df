package laneswap

import (
	"maps"
	"slices"
)

// A service that is heard of before the storage was read is in limbo: nobody
// knows yet what is stored of it. What it says is held, and judged when that is
// known.

// heldMost is how much of a service is held; what lies between the first and the
// latest goes first.
const (
	heldMost  = 20
	heldBytes = 16 << 10
)

// held is a registration or a heartbeat that came before the storage was read.
type held struct {
	reg *Registration
	new bool // reg is for a service that is not stored only
	hb  Heartbeat
	at  instant
}

// confine puts a record that was just admitted into limbo: it is not judged.
// r.mu is held.
func (m *Manager) confine(r *record, reg Registration, now instant) {
	r.limbo, r.armed = true, false
	r.hold(held{reg: &reg, new: true, at: now})
	m.judge.agenda.set(r, noDeadline)
}

// hold keeps what a service in limbo says. r.mu is held.
func (r *record) hold(h held) {
	if n := len(r.held); n > 0 && h.reg == nil {
		// A row of equal beats is one, or a long wait would fill the memory.
		last := &r.held[n-1]
		if last.reg == nil && last.hb.Status == h.hb.Status && last.hb.Final == h.hb.Final {
			if len(last.hb.Metadata) > 0 {
				merged := maps.Clone(last.hb.Metadata)
				maps.Copy(merged, h.hb.Metadata)
				h.hb.Metadata = merged
			}
			h.at, last.hb = last.at, h.hb
			return
		}
	}
	r.held = append(r.held, h)
	for r.brimming() && r.thin() {
	}
}

// brimming reports whether more is held than should be.
func (r *record) brimming() bool {
	bytes := 0
	for _, h := range r.held {
		bytes += h.size()
	}
	return len(r.held) > heldMost || bytes > heldBytes
}

// thin drops a heartbeat that lies between the first and the latest; where there is
// none, a registration that a younger one replaces, which takes its metadata over.
func (r *record) thin() bool {
	for i := 1; i < len(r.held)-1; i++ {
		if r.held[i].reg == nil {
			r.held = slices.Delete(r.held, i, i+1)
			return true
		}
	}
	for i := 1; i < len(r.held)-1; i++ {
		if next := &r.held[i+1]; next.reg != nil {
			reg := *next.reg
			reg.Metadata = maps.Clone(r.held[i].reg.Metadata)
			if reg.Metadata == nil {
				reg.Metadata = map[string]any{}
			}
			maps.Copy(reg.Metadata, next.reg.Metadata)
			next.reg = &reg
			r.held = slices.Delete(r.held, i, i+1)
			return true
		}
	}
	return false
}

// size is about how many bytes of memory it takes.
func (h held) size() int {
	n := pastFrame + len(h.hb.Message) + footprint(h.hb.Metadata)
	if h.reg != nil {
		n += footprint(h.reg.Metadata)
	}
	return n
}

// heed is a heartbeat of a service in limbo. r.mu is held.
func (m *Manager) heed(r *record, hb Heartbeat, merged map[string]any, now instant) {
	r.cell.raise(now.Mono)
	r.hold(held{hb: hb, at: now})
	r.reported, r.message, r.metadata = hb.Status, hb.Message, merged
}

// release ends the limbo of a service of which nothing is stored. The registry is
// locked for writing, and r.mu is held.
func (m *Manager) release(r *record, now instant) {
	said := r.held
	r.limbo, r.held = false, nil
	r.reported, r.message, r.metadata = StatusUnknown, "", nil
	r.armed = true
	m.judge.schedule(r)
	m.replay(r, said, false)
	m.save(r, true)
}

// reunite gives what is stored to a service in limbo, and then has it say again
// what it said. The registry is locked for writing, and r.mu is held.
func (m *Manager) reunite(r *record, s *storedService, l *loaded) {
	said := r.held
	r.limbo, r.held = false, nil
	m.judge.count(r.status, "")
	m.registry.unname(r)
	m.fill(r, s, l, false)
	m.registry.name(r)
	m.judge.count("", r.status)
	m.judge.schedule(r)
	m.replay(r, said, true)
}

// replay applies what was held, in the order in which it came. known says that
// the service is stored.
func (m *Manager) replay(r *record, said []held, known bool) {
	for _, h := range said {
		if h.reg == nil {
			merged, err := m.opts.limits.merge(ErrInvalidHeartbeat, r.metadata, h.hb.Metadata)
			if err != nil {
				merged = r.metadata // it fitted before more was known
			}
			ev, _ := m.judge.beat(r, h.hb, merged, h.at)
			m.publish(r, ev)
			continue
		}
		if h.new && known {
			continue
		}
		reg := *h.reg
		if merged, err := m.opts.limits.merge(ErrInvalidRegistration, r.metadata, reg.Metadata); err == nil {
			r.metadata = merged
		}
		if reg.Name == "" {
			reg.Name = r.reg.Name
		}
		reg.ID = r.id
		m.registry.unname(r)
		m.judge.rearm(r, reg, h.at)
		m.registry.name(r)
	}
}
