package laneswap

import (
	"maps"
	"slices"

	"github.com/laneswap/laneswap/internal/clock"
)

// A service that registers or beats before the storage was read is pending: LaneSwap
// does not know yet what is stored of it. Its calls are buffered, and judged once the
// storage has been read.

// Bounds of what is buffered of a pending service. What lies between the first and
// the latest call goes first.
const (
	bufferedCalls = 20
	bufferedBytes = 16 << 10
)

// bufferedCall is a registration or a heartbeat of a pending service.
type bufferedCall struct {
	reg *Registration
	new bool // reg counts only if the service is not stored
	hb  Heartbeat
	at  clock.Instant
}

// startPending marks a record that was just created as pending: it is not judged. r.mu is
// held.
func (s *store) startPending(r *record, reg Registration, now clock.Instant) {
	r.isPending, r.expecting = true, false
	r.buffer(bufferedCall{reg: &reg, new: true, at: now})
	s.judge.deadlines.set(r, clock.Never)
}

// buffer keeps a call of a pending service. r.mu is held.
func (r *record) buffer(call bufferedCall) {
	if n := len(r.buffered); n > 0 && call.reg == nil {
		// Equal heartbeats in a row become one: a long wait must not fill the memory.
		last := &r.buffered[n-1]
		if last.reg == nil && last.hb.Status == call.hb.Status && last.hb.Final == call.hb.Final {
			if len(last.hb.Metadata) > 0 {
				merged := maps.Clone(last.hb.Metadata)
				maps.Copy(merged, call.hb.Metadata)
				call.hb.Metadata = merged
			}
			call.at, last.hb = last.at, call.hb
			return
		}
	}
	r.buffered = append(r.buffered, call)
	for r.bufferFull() && r.compactBuffer() {
	}
}

// bufferFull reports whether more is buffered than allowed.
func (r *record) bufferFull() bool {
	bytes := 0
	for _, call := range r.buffered {
		bytes += call.size()
	}
	return len(r.buffered) > bufferedCalls || bytes > bufferedBytes
}

// compactBuffer drops a heartbeat between the first and the latest call. Where there is
// none, it drops a registration that a younger one replaces, and merges its metadata
// into that one. It reports whether it dropped something.
func (r *record) compactBuffer() bool {
	for i := 1; i < len(r.buffered)-1; i++ {
		if r.buffered[i].reg == nil {
			r.buffered = slices.Delete(r.buffered, i, i+1)
			return true
		}
	}
	for i := 1; i < len(r.buffered)-1; i++ {
		if next := &r.buffered[i+1]; next.reg != nil {
			reg := *next.reg
			reg.Metadata = maps.Clone(r.buffered[i].reg.Metadata)
			if reg.Metadata == nil {
				reg.Metadata = map[string]any{}
			}
			maps.Copy(reg.Metadata, next.reg.Metadata)
			next.reg = &reg
			r.buffered = slices.Delete(r.buffered, i, i+1)
			return true
		}
	}
	return false
}

// size is about how many bytes of memory a call takes.
func (call bufferedCall) size() int {
	n := recordBytes + len(call.hb.Message) + metadataBytes(call.hb.Metadata)
	if call.reg != nil {
		n += metadataBytes(call.reg.Metadata)
	}
	return n
}

// bufferBeat keeps a heartbeat of a pending service. r.mu is held.
func (r *record) bufferBeat(hb Heartbeat, merged map[string]any, now clock.Instant) {
	r.cell.Raise(now.Mono)
	r.buffer(bufferedCall{hb: hb, at: now})
	r.reported, r.message, r.metadata = hb.Status, hb.Message, merged
}

// startFresh ends the pending state of a service that is not stored. The registry is
// locked for writing, and r.mu is held.
func (s *store) startFresh(r *record, now clock.Instant) {
	calls := r.buffered
	r.isPending, r.buffered = false, nil
	r.reported, r.message, r.metadata = StatusUnknown, "", nil
	r.expecting = true
	s.judge.schedule(r)
	s.applyBuffered(r, calls, false)
	s.save(r, true)
}

// mergeStored ends the pending state of a service that is stored: it sets r to the
// stored state, and then applies what was buffered. The registry is locked for writing,
// and r.mu is held.
func (s *store) mergeStored(r *record, stored *storedService, l *loaded) {
	calls := r.buffered
	r.isPending, r.buffered = false, nil
	s.judge.count(r.status, "")
	s.registry.removeName(r)
	s.fill(r, stored, l, false)
	s.registry.addName(r)
	s.judge.count("", r.status)
	s.judge.schedule(r)
	s.applyBuffered(r, calls, true)
}

// applyBuffered applies buffered calls in the order in which they came. known says that
// the service is stored.
func (s *store) applyBuffered(r *record, calls []bufferedCall, known bool) {
	for _, call := range calls {
		if call.reg == nil {
			merged, err := s.opts.limits.merge(ErrInvalidHeartbeat, r.metadata, call.hb.Metadata)
			if err != nil {
				merged = r.metadata // it fitted before the stored metadata was known
			}
			ev, _ := s.judge.beat(r, call.hb, merged, call.at)
			s.publish(r, ev)
			continue
		}
		if call.new && known {
			continue
		}
		reg := *call.reg
		if merged, err := s.opts.limits.merge(ErrInvalidRegistration, r.metadata, reg.Metadata); err == nil {
			r.metadata = merged
		}
		if reg.Name == "" {
			reg.Name = r.reg.Name
		}
		reg.ID = r.id
		s.registry.removeName(r)
		s.judge.reregister(r, reg, call.at)
		s.registry.addName(r)
	}
}
