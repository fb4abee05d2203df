package laneswap

import "sync/atomic"

// cell is the part of a service that a beat touches: no lock, no allocation.
// It is exactly one cache line long and allocated by itself, so that the cells
// of two services never share one.
//
// The handshake of beat and verdict: a beat raises last and then loads slow; a
// verdict sets slow and then reads last. Whichever comes second sees the other,
// so an acknowledged beat is never overlooked. Orders that look simpler lose
// beats.
type cell struct {
	last   atomic.Int64  // monotonic ns of the latest beat, or of the registration before the first; never decreases
	window atomic.Int64  // silence allowed, in ns; noDeadline when there is none
	beats  atomic.Uint64 // how many beats were counted
	slow   atomic.Bool   // an empty beat would change more than last and beats: take the record's lock
	_      [36]byte
}

// beat counts an empty beat heard at now. It returns the instant of the beat
// before it, and whether the caller must take the slow path: because slow is
// set, or because the silence that this beat ends was longer than the window
// and may not have been judged yet.
func (c *cell) beat(now int64) (prev int64, slow bool) {
	prev = c.raise(now)
	c.beats.Add(1)
	return prev, c.slow.Load() || now-prev > c.window.Load()
}

// raise lifts last to now unless it is there already, and returns what it was.
func (c *cell) raise(now int64) int64 {
	for {
		prev := c.last.Load()
		if prev >= now || c.last.CompareAndSwap(prev, now) {
			return prev
		}
	}
}
