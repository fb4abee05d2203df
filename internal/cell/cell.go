// Package cell counts the heartbeats of one service without a lock.
package cell

import "sync/atomic"

// Cell is the part of a service that a beat touches: no lock, no allocation. It is
// exactly one cache line long; allocate it by itself, so that the cells of two services
// never share one.
//
// The handshake of beat and judge: Beat raises Last and then loads Slow; the judge sets
// Slow and then reads Last. Whichever comes second sees the other, so that no acknowledged
// beat is overlooked. A beat that ends a silence longer than the window raises nothing:
// that silence is judged first, under the record's lock, before a younger beat can be
// acknowledged. Orders that look simpler lose beats or verdicts.
type Cell struct {
	Last   atomic.Int64  // monotonic ns of the latest beat, or of the registration before the first; never decreases
	Window atomic.Int64  // silence allowed, in ns; math.MaxInt64 for any
	Beats  atomic.Uint64 // number of beats
	Gap    atomic.Int64  // ns: the longest silence between two beats of the present span
	Slow   atomic.Bool   // an empty beat changes more than this cell: take the record's lock
	_      [28]byte
}

// Beat counts an empty beat received at now. It reports whether the caller must take the
// slow path: because Slow is set, or because the beat ends a silence longer than the
// window.
func (c *Cell) Beat(now int64) (slow bool) {
	for {
		prev := c.Last.Load()
		if now-prev > c.Window.Load() {
			c.Beats.Add(1)
			return true
		}
		if prev >= now || c.Last.CompareAndSwap(prev, now) {
			c.Beats.Add(1)
			if now-prev > c.Gap.Load() {
				raiseTo(&c.Gap, now-prev)
			}
			return c.Slow.Load()
		}
	}
}

// Raise raises Last to now, unless it is later already.
func (c *Cell) Raise(now int64) {
	for {
		prev := c.Last.Load()
		if prev >= now {
			return
		}
		if c.Last.CompareAndSwap(prev, now) {
			raiseTo(&c.Gap, now-prev)
			return
		}
	}
}

// raiseTo raises a value to gap, unless it is greater already.
func raiseTo(longest *atomic.Int64, gap int64) {
	for {
		prev := longest.Load()
		if prev >= gap || longest.CompareAndSwap(prev, gap) {
			return
		}
	}
}
