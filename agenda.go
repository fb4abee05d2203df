package laneswap

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
)

// noDeadline is the window of a service that is never stale, and the instant
// at which nothing is to be looked at.
const noDeadline = math.MaxInt64

// agenda is a min-heap with one entry per service: the instant at which it must
// next be looked at. Beats never touch it; an entry that turns out to be early
// is moved on when its instant comes.
type agenda struct {
	head atomic.Int64 // the earliest instant, for asking without the lock

	mu      sync.Mutex // guards the entries and record.slot
	entries slots
}

func newAgenda() *agenda {
	a := &agenda{}
	a.head.Store(noDeadline)
	return a
}

// set makes at the instant of r, or takes r off for noDeadline. It reports
// whether the head moved to an earlier instant.
func (a *agenda) set(r *record, at int64) (earlier bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.head.Load()
	switch {
	case at == noDeadline && r.slot < 0:
		return false
	case at == noDeadline:
		heap.Remove(&a.entries, r.slot)
	case r.slot < 0:
		heap.Push(&a.entries, slot{at, r})
	default:
		a.entries[r.slot].at = at
		heap.Fix(&a.entries, r.slot)
	}
	return a.sync() < before
}

// due takes the first record off whose instant is not after now; nil when there
// is none.
func (a *agenda) due(now int64) *record {
	if a.head.Load() > now {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.entries) == 0 || a.entries[0].at > now {
		return nil
	}
	r := heap.Pop(&a.entries).(slot).r
	a.sync()
	return r
}

// sync publishes the head; mu is held.
func (a *agenda) sync() int64 {
	head := int64(noDeadline)
	if len(a.entries) > 0 {
		head = a.entries[0].at
	}
	a.head.Store(head)
	return head
}

type slot struct {
	at int64
	r  *record
}

type slots []slot

func (s slots) Len() int           { return len(s) }
func (s slots) Less(i, j int) bool { return s[i].at < s[j].at }

func (s slots) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].r.slot, s[j].r.slot = i, j
}

func (s *slots) Push(x any) {
	x.(slot).r.slot = len(*s)
	*s = append(*s, x.(slot))
}

func (s *slots) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	(*s)[last] = slot{}
	*s = (*s)[:last]
	x.r.slot = -1
	return x
}
