package laneswap

import (
	"container/heap"
	"sync"
	"sync/atomic"

	"github.com/laneswap/laneswap/internal/clock"
)

// deadlines is a min-heap with one entry per service: the instant at which the judge must
// look at it next. Beats never touch it; when the instant comes and the service has beaten
// meanwhile, its entry moves on.
type deadlines struct {
	head atomic.Int64 // the earliest instant, to read without the lock

	mu      sync.Mutex // guards the entries and record.slot
	entries deadlineHeap
}

func newDeadlines() *deadlines {
	a := &deadlines{}
	a.head.Store(clock.Never)
	return a
}

// set sets the instant of r, or removes r for clock.Never. It reports whether the earliest
// instant of all is now an earlier one.
func (a *deadlines) set(r *record, at int64) (earlier bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.head.Load()
	switch {
	case at == clock.Never && r.deadlineIndex < 0:
		return false
	case at == clock.Never:
		heap.Remove(&a.entries, r.deadlineIndex)
	case r.deadlineIndex < 0:
		heap.Push(&a.entries, deadlineEntry{at, r})
	default:
		a.entries[r.deadlineIndex].at = at
		heap.Fix(&a.entries, r.deadlineIndex)
	}
	return a.sync() < before
}

// pop removes and returns the first record whose instant is not after now; nil when there
// is none.
func (a *deadlines) pop(now int64) *record {
	if a.head.Load() > now {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.entries) == 0 || a.entries[0].at > now {
		return nil
	}
	r := heap.Pop(&a.entries).(deadlineEntry).r
	a.sync()
	return r
}

// sync publishes the earliest instant. mu is held.
func (a *deadlines) sync() int64 {
	head := int64(clock.Never)
	if len(a.entries) > 0 {
		head = a.entries[0].at
	}
	a.head.Store(head)
	return head
}

type deadlineEntry struct {
	at int64
	r  *record
}

type deadlineHeap []deadlineEntry

func (s deadlineHeap) Len() int           { return len(s) }
func (s deadlineHeap) Less(i, j int) bool { return s[i].at < s[j].at }

func (s deadlineHeap) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].r.deadlineIndex, s[j].r.deadlineIndex = i, j
}

func (s *deadlineHeap) Push(x any) {
	x.(deadlineEntry).r.deadlineIndex = len(*s)
	*s = append(*s, x.(deadlineEntry))
}

func (s *deadlineHeap) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	(*s)[last] = deadlineEntry{}
	*s = (*s)[:last]
	x.r.deadlineIndex = -1
	return x
}
