package laneswap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// Kinds of rows that the root does not export.
const (
	kindAlive   laneswap.Kind = "alive"
	kindAbsence laneswap.Kind = "absence"
	kindOutbox  laneswap.Kind = "outbox"
)

// owed is how many notices are stored that are still to be told.
func owed(t *testing.T, s laneswap.Storage) (n int) {
	t.Helper()
	for row, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kindOutbox}) {
		require.NoError(t, err)
		if row.Open && !bytes.Contains(row.Data, []byte(`"state":"sent"`)) {
			n++
		}
	}
	return n
}

// exactStore is an empty storage.
func exactStore() laneswap.Storage { return memorystore.New() }

// puppet is a storage whose methods a test replaces while it is used.
type puppet struct {
	laneswap.Storage

	mu     sync.Mutex // guards what is below; nil is the method of Storage
	commit func(ctx context.Context, b laneswap.Batch) error
	prune  func(ctx context.Context) (int, error)
	load   func(ctx context.Context) iter.Seq2[laneswap.Row, error]
	rows   func(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error]
}

// pull replaces methods.
func (p *puppet) pull(replace func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	replace()
}

// heal gives all methods back.
func (p *puppet) heal() {
	p.pull(func() { p.commit, p.prune, p.load, p.rows = nil, nil, nil, nil })
}

func (p *puppet) Commit(ctx context.Context, b laneswap.Batch) error {
	p.mu.Lock()
	f := p.commit
	p.mu.Unlock()
	if f != nil {
		return f(ctx, b)
	}
	return p.Storage.Commit(ctx, b)
}

func (p *puppet) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	p.mu.Lock()
	f := p.prune
	p.mu.Unlock()
	if f != nil {
		return f(ctx)
	}
	return p.Storage.Prune(ctx, k, before, limit)
}

func (p *puppet) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	p.mu.Lock()
	f := p.load
	p.mu.Unlock()
	if f != nil {
		return f(ctx)
	}
	return p.Storage.Load(ctx)
}

func (p *puppet) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	p.mu.Lock()
	f := p.rows
	p.mu.Unlock()
	if f != nil {
		return f(ctx, q)
	}
	return p.Storage.Rows(ctx, q)
}

// failing is a Load that yields nothing but an error.
func failing(context.Context) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) { yield(laneswap.Row{}, errCut) }
}

// plant puts rows into a storage, whatever they say.
func plant(t *testing.T, s laneswap.Storage, rows ...laneswap.Row) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: rows}))
}

// seeded is a storage that an earlier run has left.
func seeded(t *testing.T, fill func(m *laneswap.Manager)) *memorystore.Store {
	t.Helper()
	disk := memorystore.New()
	m := launch(t, disk)
	fill(m.Manager)
	m.stop(t)
	return disk
}

// severed is a storage that a crash cuts off: what comes after is not stored.
type severed struct {
	laneswap.Storage
	cut chan struct{}
}

func newSevered(s laneswap.Storage) *severed { return &severed{s, make(chan struct{})} }

var errCut = errors.New("the process is dead")

func (s *severed) Commit(ctx context.Context, b laneswap.Batch) error {
	select {
	case <-s.cut:
		return errCut
	default:
		return s.Storage.Commit(ctx, b)
	}
}

func (s *severed) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	select {
	case <-s.cut:
		return 0, errCut
	default:
		return s.Storage.Prune(ctx, k, before, limit)
	}
}

// rows counts what is stored.
func rows(t *testing.T, s laneswap.Storage, kind laneswap.Kind) (n int) {
	t.Helper()
	for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kind}) {
		require.NoError(t, err)
		n++
	}
	return n
}

// holds reports whether a row holds an event of a kind, whatever else it says.
func holds(row laneswap.Row, kind laneswap.EventKind) bool {
	var stored struct{ Event laneswap.Event }
	return json.Unmarshal(row.Data, &stored) == nil && stored.Event.Kind == kind
}
