package journal

import "slices"

// Commit is what the writer commits now: the same until the storage has accepted it.
type Commit[S any] struct {
	Entries  []*Entry
	Seen     []S
	firstLSN uint64 // the lowest in it
}

// Next returns what to commit, nil when there is nothing. It returns the same until
// Committed is called. gather adds the last heartbeats and the alive row; it is called
// without the lock, and only when everything that was noted goes into this commit.
func (j *Journal[S]) Next(now int64, gather func() ([]S, *Entry)) *Commit[S] {
	j.mu.Lock()
	if j.inFlight != nil || j.fenced {
		defer j.mu.Unlock()
		return j.inFlight
	}
	f := &Commit[S]{firstLSN: j.storedUpTo() + 1}
	f.Entries = j.takeLog()
	f.Entries = append(f.Entries, j.statesOf(f.Entries)...)
	f.Entries = append(f.Entries, j.takeStates(max(MaxCommitRows/10, MaxCommitRows-len(f.Entries)))...)
	j.full = nil // what it points to may have been taken
	whole := len(j.log) == 0 && len(j.latest) == 0
	if len(f.Entries) > 0 {
		j.inFlight = f
	}
	j.mu.Unlock()

	if whole {
		seen, alive := gather()
		j.mu.Lock() // others read what is in flight
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
	if j.inFlight = f; j.oldestSince == 0 {
		j.oldestSince = max(1, now)
	}
	return f
}

// takeLog takes whole changes from the log, about MaxCommitRows entries. mu is held.
func (j *Journal[S]) takeLog() []*Entry {
	n := min(len(j.log), MaxCommitRows)
	for n > 0 && n < len(j.log) && !j.log[n-1].endsChange {
		n++
	}
	taken := append([]*Entry(nil), j.log[:n]...)
	clear(j.log[:n])
	if j.log = j.log[n:]; len(j.log) == 0 {
		j.log = nil
	}
	for _, e := range taken {
		if e.Amendable {
			delete(j.amendable, e.Key)
			if e.Open {
				j.storedOpen[e.Key] = true
			}
		}
		j.bytes -= e.Size
		if j.logged[e.Service]--; j.logged[e.Service] == 0 {
			delete(j.logged, e.Service)
		}
	}
	return taken
}

// statesOf returns the states that followed from a part of the log: the latest state of
// a service that has nothing else in the log, else the state of that time. mu is held.
func (j *Journal[S]) statesOf(log []*Entry) []*Entry {
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
			state = j.remove(waits)
		}
		out = append(out, state)
	}
	return out
}

// remove takes a state off the queue. mu is held.
func (j *Journal[S]) remove(e *Entry) *Entry {
	delete(j.latest, e.Key)
	j.bytes -= e.Size
	taken := *e
	e.lsn = 0 // a hole in the queue
	j.dropHoles()
	return &taken
}

// dropHoles drops the holes at the front of the queue of states, and all of them when
// there are many. mu is held.
func (j *Journal[S]) dropHoles() {
	if len(j.states) > 2*len(j.latest)+MaxCommitRows {
		j.states = slices.DeleteFunc(j.states, func(e *Entry) bool { return e.lsn == 0 })
	}
	n := 0
	for n < len(j.states) && j.states[n].lsn == 0 {
		j.states[n] = nil
		n++
	}
	if j.states = j.states[n:]; len(j.states) == 0 {
		j.states = nil
	}
}

// takeStates takes at most n states, the oldest first. It skips services that still have
// entries in the log: a state never goes before what led to it. mu is held.
func (j *Journal[S]) takeStates(n int) (taken []*Entry) {
	for i := 0; i < min(len(j.states), 4*MaxCommitRows) && len(taken) < n; i++ {
		if e := j.states[i]; e.lsn != 0 && j.logged[e.Service] == 0 {
			delete(j.latest, e.Key)
			j.bytes -= e.Size
			taken = append(taken, &Entry{})
			*taken[len(taken)-1] = *e
			e.lsn = 0
		}
	}
	j.dropHoles()
	return taken
}
