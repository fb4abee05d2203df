package client

// The methods of reports that the sending side of an agent uses.

// next returns the report to send first: the oldest change, else the latest state if it
// is new or a heartbeat is wanted.
func (s *reports) next(wanted bool) (report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.changes) > 0 {
		return s.changes[0], true
	}
	if !s.dirty && !wanted {
		return report{}, false
	}
	r := s.latest
	r.metadata = s.unsentFacts()
	return r, true
}

// sent removes a report that was delivered, or that the server will never accept. It
// reports whether that was the latest state.
func (s *reports) sent(r report) (latest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.change {
		// The list of changes may have overflowed meanwhile.
		if len(s.changes) > 0 && s.changes[0].number == r.number {
			s.changes = append(s.changes[:0:0], s.changes[1:]...)
		}
	} else if s.latest.number == r.number {
		s.dirty = false
	}
	latest = s.latest.number == r.number && len(s.changes) == 0
	for key := range r.metadata {
		f, ok := s.facts[key]
		if !ok || f.number > r.number {
			continue // reported again meanwhile
		}
		delete(s.unsent, key)
		if string(f.data) == "null" && !s.declared[key] {
			delete(s.facts, key) // gone at the server, and nothing brings it back
		}
	}
	s.delivered = max(s.delivered, r.number)
	s.wake()
	return latest
}

// renew marks the current state as unsent, for a server that has lost it. The changes that
// wait carry their own metadata.
func (s *reports) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
	for key := range s.facts {
		s.unsent[key] = true
	}
}

// known records that the server knows the service.
func (s *reports) known() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered = true
	s.wake()
}

// wake wakes those who wait for progress; mu is held.
func (s *reports) wake() {
	close(s.progress)
	s.progress = make(chan struct{})
}

// waiting returns how many changes wait, and whether the latest state does.
func (s *reports) waiting() (changes int, dirty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.changes), s.dirty
}

// drop drops the changes that wait. The latest state takes over their metadata.
func (s *reports) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.changes {
		for key := range r.metadata {
			if _, ok := s.facts[key]; ok {
				s.unsent[key] = true
			}
		}
	}
	s.changes = nil
	s.dirty = true
}

// mark returns the number of the latest report.
func (s *reports) mark() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// reached reports whether the server has the service and that report, or a later one. The
// channel closes after more was delivered.
func (s *reports) reached(number uint64) (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registered && s.delivered >= number, s.progress
}

// state returns the latest report.
func (s *reports) state() report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}
