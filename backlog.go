package laneswap

// tail is what waits of one service while the backlog is full: how many of a
// kind, and the newest.
type tail struct {
	number map[Kind]int
	newest map[Kind]*entry
}

// crowded reports whether the backlog is full; mu is held.
func (j *journal) crowded() bool {
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

func (j *journal) tail(e *entry) *tail {
	t := j.full[e.service]
	if t == nil {
		t = &tail{}
		j.full[e.service] = t
	}
	return t
}

func (t *tail) add(e *entry) {
	if e.Kind != KindEvent && e.Kind != kindSpan && e.Kind != kindOutbox {
		return
	}
	if t.number == nil {
		t.number, t.newest = map[Kind]int{}, map[Kind]*entry{}
	}
	t.number[e.Kind]++
	t.newest[e.Kind] = e
}

// most is how many things of a kind and a service wait in a full backlog.
func most(kind Kind) int {
	if kind == kindOutbox {
		return 8 // there may be several notifiers
	}
	return 2
}

// thin makes room in a full backlog: what happened takes the place of the latest
// of its kind and service that waits, unless that is the first. mu is held.
func (j *journal) thin(e *entry) bool {
	t := j.tail(e)
	if t.number[e.Kind] < most(e.Kind) { // always so for what is not counted
		t.add(e)
		return false
	}
	if e.Kind == KindEvent {
		j.lost[e.service]++
	}
	old := t.newest[e.Kind]
	if e.Kind == kindOutbox {
		delete(j.owing, old.Key)
		j.owing[e.Key] = old
	}
	j.bytes += e.size - old.size
	ticket, last := old.ticket, old.last
	*old = *e
	old.ticket, old.last = ticket, last
	return true
}

// settle notes what became of notices: where the row of one waits still it is
// changed, and where it is stored, or may be, it is put.
func (j *journal) settle(now int64, entries []*entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		if waits := j.owing[e.Key]; waits != nil {
			e.size += entryFrame
			j.bytes += e.size - waits.size
			waits.data, waits.open, waits.size = e.data, e.open, e.size
		} else if j.owed[e.Key] {
			if !e.open {
				delete(j.owed, e.Key)
			}
			j.place(now, e)
		}
	}
}

// owes says that the row of a notice is stored.
func (j *journal) owes(key Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.owed[key] = true
}
