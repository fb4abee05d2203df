package journal

// backlogOf counts what waits of one service while the backlog is full: the entries of
// each kind, and the newest of them.
type backlogOf struct {
	number map[string]int
	newest map[string]*Entry
}

// isFull reports whether the backlog is full. mu is held.
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

// compact makes room in a full backlog: an entry replaces the newest one of its kind and
// service, so that the first ones and the latest remain. It reports whether it did. mu is
// held.
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
	if e.Amendable {
		delete(j.amendable, old.Key)
		j.amendable[e.Key] = old
	}
	j.bytes += e.Size - old.Size
	ticket, last := old.lsn, old.endsChange
	*old = *e
	old.lsn, old.endsChange = ticket, last
	return true
}

// Amend amends entries: it changes an entry that still waits, and puts one that is
// stored, or may be.
func (j *Journal[S]) Amend(now int64, entries []*Entry) {
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

// MarkStored says that the storage holds an open row that may be amended.
func (j *Journal[S]) MarkStored(key Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.storedOpen[key] = true
}
