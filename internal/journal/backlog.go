package journal

// tail is what waits of one service while the backlog is full: how many of a
// kind, and the newest.
type tail struct {
	number map[string]int
	newest map[string]*Entry
}

// crowded reports whether the backlog is full; mu is held.
func (j *Journal[S]) crowded() bool {
	if j.waiting() < backlogRows && j.bytes < backlogBytes {
		j.full = nil
		return false
	}
	if j.full != nil {
		return true
	}
	j.full = map[string]*tail{}
	for _, e := range j.log {
		j.tail(e).add(e)
	}
	return true
}

func (j *Journal[S]) tail(e *Entry) *tail {
	t := j.full[e.Service]
	if t == nil {
		t = &tail{}
		j.full[e.Service] = t
	}
	return t
}

func (t *tail) add(e *Entry) {
	if e.Keep == 0 {
		return
	}
	if t.number == nil {
		t.number, t.newest = map[string]int{}, map[string]*Entry{}
	}
	t.number[e.Kind]++
	t.newest[e.Kind] = e
}

// thin makes room in a full backlog: what happened takes the place of the latest
// of its kind and service that waits, unless that is the first. mu is held.
func (j *Journal[S]) thin(e *Entry) bool {
	t := j.tail(e)
	if e.Keep == 0 || t.number[e.Kind] < e.Keep {
		t.add(e)
		return false
	}
	if e.Counted {
		j.lost[e.Service]++
	}
	old := t.newest[e.Kind]
	if e.Amended {
		delete(j.owing, old.Key)
		j.owing[e.Key] = old
	}
	j.bytes += e.Size - old.Size
	ticket, last := old.ticket, old.last
	*old = *e
	old.ticket, old.last = ticket, last
	return true
}

// Settle notes what became of notices: where the row of one waits still it is
// changed, and where it is stored, or may be, it is put.
func (j *Journal[S]) Settle(now int64, entries []*Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		if waits := j.owing[e.Key]; waits != nil {
			e.Size += entryFrame
			j.bytes += e.Size - waits.Size
			waits.Data, waits.Open, waits.Size = e.Data, e.Open, e.Size
		} else if j.owed[e.Key] {
			if !e.Open {
				delete(j.owed, e.Key)
			}
			j.place(now, e)
		}
	}
}

// Owes says that the row of a notice is stored.
func (j *Journal[S]) Owes(key Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.owed[key] = true
}
