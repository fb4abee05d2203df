// Package bounded keeps lists in memory within bounds: so many values and bytes in
// each list, and so many bytes in all lists together.
package bounded

import (
	"container/list"
	"sync"
)

// Lists bounds many lists together. A list that exceeds Values or Bytes loses its
// oldest values; when all lists together exceed Total, the oldest values of all go
// first. Set the bounds before the first use. Its methods may be called concurrently.
type Lists[T any] struct {
	Values int // per list
	Bytes  int // per list; the newest value stays, however large it is
	Total  int // bytes of all lists

	mu   sync.Mutex // guards everything below, and all lists
	size int
	ages list.List // of *value[T], oldest first
}

// List holds the values of one owner, oldest first. The zero value is an empty list.
// Only the methods of Lists read and change it.
type List[T any] struct {
	values []*value[T]
	bytes  int
}

type value[T any] struct {
	v    T
	size int
	in   *List[T]
	age  *list.Element
}

// Add appends a value of size bytes to a list. merge, unless it is nil, is called
// with the newest value of a list that has one; when it returns true, it has merged
// v into that value, and Add appends nothing.
func (ls *Lists[T]) Add(l *List[T], v T, size int, merge func(newest *T) bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if n := len(l.values); n > 0 && merge != nil && merge(&l.values[n-1].v) {
		return
	}
	added := &value[T]{v: v, size: size, in: l}
	added.age = ls.ages.PushBack(added)
	l.values = append(l.values, added)
	l.bytes += size
	ls.size += size
	for len(l.values) > ls.Values || l.bytes > ls.Bytes && len(l.values) > 1 {
		ls.dropOldest(l)
	}
	for ls.size > ls.Total {
		ls.dropOldest(ls.ages.Front().Value.(*value[T]).in)
	}
}

// dropOldest drops the oldest value of a list; mu is held.
func (ls *Lists[T]) dropOldest(l *List[T]) {
	oldest := l.values[0]
	l.values[0] = nil
	l.values = l.values[1:]
	l.bytes -= oldest.size
	ls.size -= oldest.size
	ls.ages.Remove(oldest.age)
}

// Clear empties a list. A nil list is empty.
func (ls *Lists[T]) Clear(l *List[T]) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l != nil && len(l.values) > 0 {
		ls.dropOldest(l)
	}
}

// All returns a copy of a list, oldest first. A nil list is empty.
func (ls *Lists[T]) All(l *List[T]) []T {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l == nil {
		return nil
	}
	out := make([]T, len(l.values))
	for i, kept := range l.values {
		out[i] = kept.v
	}
	return out
}

// Size returns how many bytes all lists hold.
func (ls *Lists[T]) Size() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.size
}
