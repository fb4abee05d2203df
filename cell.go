package laneswap

import "sync/atomic"

// cell is the part of a service that a beat touches: no lock, no allocation.
// It is exactly one cache line long and allocated by itself, so that the cells
// of two services never share one.
//
// The handshake of beat and judge: a beat raises last and then loads slow; the judge sets
// slow and then reads last. Whichever comes second sees the other, so that no acknowledged
// beat is overlooked. A beat that ends a silence longer than the window raises nothing:
// that silence is judged first, under the record's lock, before a younger beat can be
// acknowledged. Orders that look simpler lose beats or verdicts.
type cell struct {
	last   atomic.Int64  // monotonic ns of the latest beat, or of the registration before the first; never decreases
	window atomic.Int64  // silence allowed, in ns; noDeadline when there is none
	beats  atomic.Uint64 // number of beats
	gap    atomic.Int64  // ns: the longest silence between two beats of the present span
	slow   atomic.Bool   // an empty beat would change more than last and beats: take the record's lock
	_      [28]byte
}

// beat counts an empty beat received at now. It reports whether the caller must take the
// slow path: because slow is set, or because the beat ends a silence longer than the
// window.
func (c *cell) beat(now int64) (slow bool) {
	for {
		prev := c.last.Load()
		if now-prev > c.window.Load() {
			c.beats.Add(1)
			return true
		}
		if prev >= now || c.last.CompareAndSwap(prev, now) {
			c.beats.Add(1)
			if now-prev > c.gap.Load() {
				raiseTo(&c.gap, now-prev)
			}
			return c.slow.Load()
		}
	}
}

// raise raises last to now, unless it is later already.
func (c *cell) raise(now int64) {
	for {
		prev := c.last.Load()
		if prev >= now {
			return
		}
		if c.last.CompareAndSwap(prev, now) {
			raiseTo(&c.gap, now-prev)
			return
		}
	}
}
