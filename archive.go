package laneswap

import "sync"

// Bounds of what is remembered of notices without a storage.
const (
	archiveBytes = 64 << 20
	traceFrame   = 300 // what a trace costs besides its text, about
)

// archive keeps what was decided about notices where there is no storage: the
// latest, of all notifiers.
type archive struct {
	mu    sync.Mutex // guards what follows
	kept  map[string][]NoticeTrace
	order []string // ids of events, the oldest first
	bytes int
	most  int // bytes
}

func newArchive() archive { return archive{kept: map[string][]NoticeTrace{}, most: archiveBytes} }

// keep remembers a trace of an event, in the place of an earlier one of the same
// notifier.
func (a *archive) keep(event string, t NoticeTrace) {
	a.mu.Lock()
	defer a.mu.Unlock()
	traces, known := a.kept[event]
	if !known {
		a.order = append(a.order, event)
	}
	for i := range traces {
		if traces[i].Notifier == t.Notifier {
			a.bytes += t.size() - traces[i].size()
			traces[i] = t
			return
		}
	}
	a.kept[event] = append(traces, t)
	a.bytes += t.size()
	for a.bytes > a.most {
		for _, old := range a.kept[a.order[0]] {
			a.bytes -= old.size()
		}
		delete(a.kept, a.order[0])
		a.order[0] = ""
		a.order = a.order[1:]
	}
}

// of returns what is remembered of an event.
func (a *archive) of(event string) []NoticeTrace {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]NoticeTrace(nil), a.kept[event]...)
}

// size is about how many bytes of memory it takes.
func (t *NoticeTrace) size() int {
	n := traceFrame + len(t.MessageID)
	for _, s := range t.Steps {
		n += 40 + len(s.Text)
	}
	return n
}
