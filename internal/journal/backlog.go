package journal

// backlogOf is what waits of one service while the backlog is full: how many of a
// kind, and the newest.
type backlogOf struct {
	number map[string]int
	newest map[string]*Entry
}

// isFull reports whether the backlog is full; mu is held.
func (j *Journal[S]) isFull() bool {
	if j.waiting() < maxRows && j.bytes < maxBytes {
		j.full = nil
		return false
	}
	if j.full != nil {
		return true
	}
	j.full = map[string]*backlogOf{}
	for _, e := range j.log {
		j.backlogOf(e).add(e)
	}
	return true
}

func (j *Journal[S]) backlogOf(e *Entry) *backlogOf {
	t := j.full[e.Service]
	if t == nil {
		t = &backlogOf{}
		j.full[e.Service] = t
	}
	return t
}

func (t *backlogOf) add(e *Entry) {
	if e.Keep == 0 {
		return
	}
	if t.number == nil {
		t.number, t.newest = map[string]int{}, map[string]*Entry{}
	}
	t.number[e.Kind]++
	t.newest[e.Kind] = e
}

// compact makes room in a full backlog: what happened takes the place of the latest
// of its kind and service that waits, unless that is the first. mu is held.
func (j *Journal[S]) compact(e *Entry) bool {
	t := j.backlogOf(e)
	if e.Keep == 0 || t.number[e.Kind] < e.Keep {
		t.add(e)
		return false
	}
	if e.CountLoss {
		j.lost[e.Service]++
	}
	old := t.newest[e.Kind]
	if e.Amended {
		delete(j.amendable, old.Key)
		j.amendable[e.Key] = old
	}
	j.bytes += e.Size - old.Size
	ticket, last := old.lsn, old.endsChange
	*old = *e
	old.lsn, old.endsChange = ticket, last
	return true
}

// Settle notes what became of notices: where the row of one waits still it is
// changed, and where it is stored, or may be, it is put.
func (j *Journal[S]) Settle(now int64, entries []*Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		if waits := j.amendable[e.Key]; waits != nil {
			e.Size += entryBytes
			j.bytes += e.Size - waits.Size
			waits.Data, waits.Open, waits.Size = e.Data, e.Open, e.Size
		} else if j.storedOpen[e.Key] {
			if !e.Open {
				delete(j.storedOpen, e.Key)
			}
			j.putState(now, e)
		}
	}
}

// Owes says that the row of a notice is stored.
func (j *Journal[S]) Owes(key Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.storedOpen[key] = true
}
