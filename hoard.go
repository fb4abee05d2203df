package laneswap

import (
	"container/list"
	"sync"
)

// hoard keeps the latest things of many services in memory: so many and so many
// bytes of each, and so many bytes of all, where the oldest go first.
type hoard[T any] struct {
	items int // per shelf
	bytes int // per shelf
	limit int // bytes of all shelves

	mu    sync.Mutex // guards everything below, and all shelves
	total int
	ages  list.List // of *kept[T], oldest first
}

// shelf is what a hoard keeps of one service, oldest first. The zero value is an
// empty one.
type shelf[T any] struct {
	kept  []*kept[T]
	bytes int
}

type kept[T any] struct {
	value T
	size  int
	on    *shelf[T]
	place *list.Element
}

// put keeps a value of size bytes, unless same, which may change the newest one
// that is kept, says that this has taken care of it.
func (h *hoard[T]) put(s *shelf[T], v T, size int, same func(newest *T) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(s.kept); n > 0 && same != nil && same(&s.kept[n-1].value) {
		return
	}
	k := &kept[T]{value: v, size: size, on: s}
	k.place = h.ages.PushBack(k)
	s.kept = append(s.kept, k)
	s.bytes += size
	h.total += size
	for len(s.kept) > h.items || s.bytes > h.bytes && len(s.kept) > 1 {
		h.drop(s) // the newest stays, however large
	}
	for h.total > h.limit {
		h.drop(h.ages.Front().Value.(*kept[T]).on)
	}
}

// drop forgets the oldest thing of a shelf; mu is held.
func (h *hoard[T]) drop(s *shelf[T]) {
	k := s.kept[0]
	s.kept[0] = nil
	s.kept = s.kept[1:]
	s.bytes -= k.size
	h.total -= k.size
	h.ages.Remove(k.place)
}

// forget empties a shelf; nil is one that was never made.
func (h *hoard[T]) forget(s *shelf[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s != nil && len(s.kept) > 0 {
		h.drop(s)
	}
}

// all copies what is on a shelf, oldest first.
func (h *hoard[T]) all(s *shelf[T]) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == nil {
		return nil
	}
	out := make([]T, len(s.kept))
	for i, k := range s.kept {
		out[i] = k.value
	}
	return out
}
