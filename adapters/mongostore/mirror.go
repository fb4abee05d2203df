package mongostore

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

// mirror brings last_heartbeat in heartbeats up to date for other readers, behind
// the back of commits: one update for each service would make them wait. It keeps
// the latest time of each service, and drops what it cannot write: the next time
// is newer.
type mirror struct {
	// write writes some times. It is set before the first note.
	write func(ctx context.Context, latest []laneswap.Seen) error

	mu      sync.Mutex // guards what is below
	pending map[string]time.Time
	idle    chan struct{} // closed when the worker has ended; nil while there is none
	cancel  context.CancelFunc
	closed  bool
}

// note takes times that were committed, and starts the worker when there is none.
func (m *mirror) note(seen []laneswap.Seen) {
	if len(seen) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if m.pending == nil {
		m.pending = map[string]time.Time{}
	}
	for _, note := range seen {
		if m.pending[note.Service].Before(note.At) {
			m.pending[note.Service] = note.At
		}
	}
	if m.idle == nil {
		ctx, cancel := context.WithCancel(context.Background())
		m.idle, m.cancel = make(chan struct{}), cancel
		go m.work(ctx, cancel, m.idle) // close waits for it
	}
}

// work writes what is pending until nothing is, or the server does not take it.
func (m *mirror) work(ctx context.Context, cancel context.CancelFunc, idle chan struct{}) {
	defer cancel()
	defer close(idle)
	for {
		m.mu.Lock()
		if len(m.pending) == 0 {
			m.idle = nil
			m.mu.Unlock()
			return
		}
		latest := make([]laneswap.Seen, 0, len(m.pending))
		for service, at := range m.pending {
			latest = append(latest, laneswap.Seen{Service: service, At: at})
		}
		clear(m.pending)
		m.mu.Unlock()
		if m.write(ctx, latest) != nil {
			m.mu.Lock()
			clear(m.pending)
			m.mu.Unlock()
		}
	}
}

// close writes what is pending, until ctx ends.
func (m *mirror) close(ctx context.Context) {
	m.mu.Lock()
	m.closed = true
	idle, cancel := m.idle, m.cancel
	m.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
		cancel()
		<-idle
	}
}

// writeMirror raises last_heartbeat of services that have a document.
func (s *Store) writeMirror(ctx context.Context, latest []laneswap.Seen) error {
	s.mu.Lock()
	t := s.tables
	s.mu.Unlock()
	for len(latest) > 0 {
		n := min(s.chunk, len(latest))
		changes := make([]mongo.WriteModel, n)
		for i, note := range latest[:n] {
			changes[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: fID, Value: note.Service}}).
				SetUpdate(bson.D{{Key: "$max", Value: bson.D{{Key: "last_heartbeat", Value: date(note.At)}}}})
		}
		call, cancel := context.WithTimeout(ctx, s.timeout)
		_, err := t.services.coll.BulkWrite(call, changes, options.BulkWrite().SetOrdered(false))
		cancel()
		if err != nil {
			return err
		}
		latest = latest[n:]
	}
	return nil
}
