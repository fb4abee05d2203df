package journal

import "slices"

// Flight is what is being committed: the same until the storage has taken it.
type Flight[S any] struct {
	Entries []*Entry
	Seen    []S
	first   uint64 // the oldest ticket in it
}

// Next returns what to commit, nil when there is nothing: the same again until
// Landed was called. gather adds what services were last seen and until when we
// listened; it is called without the lock, and only when all that was noted goes
// with it.
func (j *Journal[S]) Next(now int64, gather func() ([]S, *Entry)) *Flight[S] {
	j.mu.Lock()
	if j.flying != nil || j.stopped {
		defer j.mu.Unlock()
		return j.flying
	}
	f := &Flight[S]{first: j.committed() + 1}
	f.Entries = j.takeLog()
	f.Entries = append(f.Entries, j.drag(f.Entries)...)
	f.Entries = append(f.Entries, j.takeStates(max(BatchRows/10, BatchRows-len(f.Entries)))...)
	j.full = nil // what it points to may have been taken
	whole := len(j.log) == 0 && len(j.latest) == 0
	if len(f.Entries) > 0 {
		j.flying = f
	}
	j.mu.Unlock()

	if whole {
		seen, alive := gather()
		j.mu.Lock() // others look at what flies
		f.Seen = seen
		if alive != nil {
			f.Entries = append(f.Entries, alive)
		}
		j.mu.Unlock()
	}
	if len(f.Entries) == 0 && len(f.Seen) == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.flying = f; j.tired == 0 {
		j.tired = max(1, now)
	}
	return f
}

// takeLog takes whole changes from the log, about BatchRows of entries; mu is
// held.
func (j *Journal[S]) takeLog() []*Entry {
	n := min(len(j.log), BatchRows)
	for n > 0 && n < len(j.log) && !j.log[n-1].last {
		n++
	}
	taken := append([]*Entry(nil), j.log[:n]...)
	clear(j.log[:n])
	if j.log = j.log[n:]; len(j.log) == 0 {
		j.log = nil
	}
	for _, e := range taken {
		if e.Amended {
			delete(j.owing, e.Key)
			if e.Open {
				j.owed[e.Key] = true
			}
		}
		j.bytes -= e.Size
		if j.logged[e.Service]--; j.logged[e.Service] == 0 {
			delete(j.logged, e.Service)
		}
	}
	return taken
}

// drag returns the states that followed from a part of the log: the latest of a
// service of which nothing else waits, else the one of that time. mu is held.
func (j *Journal[S]) drag(log []*Entry) []*Entry {
	var order []string
	last := map[string]*Entry{}
	for _, e := range log {
		if e.state == nil {
			continue
		}
		if last[e.Service] == nil {
			order = append(order, e.Service)
		}
		last[e.Service] = e.state
	}
	var out []*Entry
	for _, service := range order {
		state := last[service]
		if waits := j.latest[state.Key]; waits != nil && j.logged[service] == 0 {
			state = j.pull(waits)
		}
		out = append(out, state)
	}
	return out
}

// pull takes a state out of those that wait; mu is held.
func (j *Journal[S]) pull(e *Entry) *Entry {
	delete(j.latest, e.Key)
	j.bytes -= e.Size
	taken := *e
	e.ticket = 0 // a hole in the queue
	j.trim()
	return &taken
}

// trim takes the holes off the front of the queue of states, and all of them when
// there are many; mu is held.
func (j *Journal[S]) trim() {
	if len(j.states) > 2*len(j.latest)+BatchRows {
		j.states = slices.DeleteFunc(j.states, func(e *Entry) bool { return e.ticket == 0 })
	}
	n := 0
	for n < len(j.states) && j.states[n].ticket == 0 {
		j.states[n] = nil
		n++
	}
	if j.states = j.states[n:]; len(j.states) == 0 {
		j.states = nil
	}
}

// takeStates takes states, the oldest first and n at most: only those that go
// ahead of no log. mu is held.
func (j *Journal[S]) takeStates(n int) (taken []*Entry) {
	for i := 0; i < min(len(j.states), 4*BatchRows) && len(taken) < n; i++ {
		if e := j.states[i]; e.ticket != 0 && j.logged[e.Service] == 0 {
			delete(j.latest, e.Key)
			j.bytes -= e.Size
			taken = append(taken, &Entry{})
			*taken[len(taken)-1] = *e
			e.ticket = 0
		}
	}
	j.trim()
	return taken
}
