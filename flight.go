package laneswap

import "slices"

// flight is a batch that is being committed: the same one until the storage has
// taken it.
type flight struct {
	batch   Batch // what is not stored yet
	entries []*entry
	first   uint64 // the oldest ticket in it
	seen    []sighting
	broken  []error // rows that could not be encoded
}

// next returns what to commit, nil when there is nothing: the same again until
// landed was called. gather adds what services were last seen and until when we
// listened; it is called without the lock, and only when all that was noted goes
// with it.
func (j *journal) next(now int64, gather func() ([]sighting, *entry)) *flight {
	j.mu.Lock()
	if j.flying != nil || j.stopped {
		defer j.mu.Unlock()
		return j.flying
	}
	f := &flight{first: j.committed() + 1}
	f.entries = j.takeLog()
	f.entries = append(f.entries, j.drag(f.entries)...)
	f.entries = append(f.entries, j.takeStates(max(batchRows/10, batchRows-len(f.entries)))...)
	j.full = nil // what it points to may have been taken
	whole := len(j.log) == 0 && len(j.latest) == 0
	if len(f.entries) > 0 {
		j.flying = f
	}
	j.mu.Unlock()

	if whole {
		seen, alive := gather()
		j.mu.Lock() // others look at what flies
		f.seen = seen
		if alive != nil {
			f.entries = append(f.entries, alive)
		}
		j.mu.Unlock()
	}
	if len(f.entries) == 0 && len(f.seen) == 0 {
		return nil
	}
	f.fill()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.flying = f; j.tired == 0 {
		j.tired = max(1, now)
	}
	return f
}

// takeLog takes whole changes from the log, about batchRows of entries; mu is
// held.
func (j *journal) takeLog() []*entry {
	n := min(len(j.log), batchRows)
	for n > 0 && n < len(j.log) && !j.log[n-1].last {
		n++
	}
	taken := append([]*entry(nil), j.log[:n]...)
	clear(j.log[:n])
	if j.log = j.log[n:]; len(j.log) == 0 {
		j.log = nil
	}
	for _, e := range taken {
		if e.Kind == kindOutbox {
			delete(j.owing, e.Key)
			if e.open {
				j.owed[e.Key] = true
			}
		}
		j.bytes -= e.size
		if j.logged[e.service]--; j.logged[e.service] == 0 {
			delete(j.logged, e.service)
		}
	}
	return taken
}

// drag returns the states that followed from a part of the log: the latest of a
// service of which nothing else waits, else the one of that time. mu is held.
func (j *journal) drag(log []*entry) []*entry {
	var order []string
	last := map[string]*entry{}
	for _, e := range log {
		if e.state == nil {
			continue
		}
		if last[e.service] == nil {
			order = append(order, e.service)
		}
		last[e.service] = e.state
	}
	var out []*entry
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
func (j *journal) pull(e *entry) *entry {
	delete(j.latest, e.Key)
	j.bytes -= e.size
	taken := *e
	e.ticket = 0 // a hole in the queue
	j.trim()
	return &taken
}

// trim takes the holes off the front of the queue of states, and all of them when
// there are many; mu is held.
func (j *journal) trim() {
	if len(j.states) > 2*len(j.latest)+batchRows {
		j.states = slices.DeleteFunc(j.states, func(e *entry) bool { return e.ticket == 0 })
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
func (j *journal) takeStates(n int) (taken []*entry) {
	for i := 0; i < min(len(j.states), 4*batchRows) && len(taken) < n; i++ {
		if e := j.states[i]; e.ticket != 0 && j.logged[e.service] == 0 {
			delete(j.latest, e.Key)
			j.bytes -= e.size
			taken = append(taken, &entry{})
			*taken[len(taken)-1] = *e
			e.ticket = 0
		}
	}
	j.trim()
	return taken
}

// fill makes the batch.
func (f *flight) fill() {
	f.batch.Epoch = 1
	for _, e := range f.entries {
		if e.delete {
			f.batch.Delete = append(f.batch.Delete, e.Key)
			continue
		}
		row, err := e.row()
		if err == nil {
			err = row.check()
		}
		switch {
		case err != nil:
			f.broken = append(f.broken, err)
		case e.Kind == KindEvent || e.Kind == kindAbsence:
			f.batch.Insert = append(f.batch.Insert, row)
		default:
			f.batch.Put = append(f.batch.Put, row)
		}
	}
	for _, s := range f.seen {
		f.batch.Seen = append(f.batch.Seen, Seen{Service: s.service, At: wallTime(s.at)})
	}
}

// size is how many things a batch holds.
func (b Batch) size() int { return len(b.Insert) + len(b.Put) + len(b.Delete) + len(b.Seen) }

// cut returns n things of a batch and the rest; all of them where n is zero. They are
// in the order in which a batch is applied, but for what was seen: it goes first, for
// the alive row among what is put is never stored before it.
func (b Batch) cut(n int) (part, rest Batch) {
	rest.Epoch = b.Epoch
	if n == 0 || n >= b.size() {
		return b, rest
	}
	part.Epoch = b.Epoch
	// A service may have been removed and registered again: what was seen of the one
	// before is deleted first.
	var forget, others []Key
	for _, k := range b.Delete {
		if k.Kind == KindSeen {
			forget = append(forget, k)
		} else {
			others = append(others, k)
		}
	}
	forget, later := cutRows(forget, &n)
	part.Seen, rest.Seen = cutRows(b.Seen, &n)
	part.Insert, rest.Insert = cutRows(b.Insert, &n)
	part.Put, rest.Put = cutRows(b.Put, &n)
	part.Delete, rest.Delete = cutRows(others, &n)
	part.Delete, rest.Delete = append(forget, part.Delete...), append(later, rest.Delete...)
	return part, rest
}

// cutRows takes n of them at most, and that many from n.
func cutRows[T any](rows []T, n *int) (part, rest []T) {
	k := min(*n, len(rows))
	*n -= k
	return rows[:k:k], rows[k:]
}
