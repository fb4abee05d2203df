package client

// MakeID is DefaultID for any host.
var MakeID = makeID

// Held is about how many bytes an agent keeps for its server.
func Held(a *Agent) int {
	s := a.reports
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(a.reg)
	count := func(r report) {
		n += len(r.message)
		for k, v := range r.metadata {
			n += len(k) + len(v)
		}
	}
	count(s.latest)
	for _, r := range s.changes {
		count(r)
	}
	for k, f := range s.facts {
		n += len(k) + len(f.data)
	}
	return n
}
