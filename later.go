package laneswap

// logLater has something logged by somebody who can wait for it.
func (m *Manager) logLater(say func()) {
	select {
	case m.later <- say:
	default: // a logger that blocks misses some
	}
}

// logWaiting holds no lock: a logger may block, or ask the Manager something.
// Start starts it, Stop ends it.
func (m *Manager) logWaiting() {
	defer close(m.logged)
	for {
		select {
		case say := <-m.later:
			say()
		case <-m.quit:
			return
		}
	}
}
