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

// pendingNotices counts the stored notices that have not been delivered.
func pendingNotices(t *testing.T, s laneswap.Storage) (n int) {
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

// hookStorage is a storage whose methods a test replaces while it is used.
type hookStorage struct {
	laneswap.Storage

	mu     sync.Mutex // guards what is below; nil is the method of Storage
	commit func(ctx context.Context, b laneswap.Batch) error
	prune  func(ctx context.Context) (int, error)
	load   func(ctx context.Context) iter.Seq2[laneswap.Row, error]
	rows   func(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error]
}

// replace replaces methods.
func (p *hookStorage) replace(replace func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	replace()
}

// heal gives all methods back.
func (p *hookStorage) heal() {
	p.replace(func() { p.commit, p.prune, p.load, p.rows = nil, nil, nil, nil })
}

func (p *hookStorage) Commit(ctx context.Context, b laneswap.Batch) error {
	p.mu.Lock()
	f := p.commit
	p.mu.Unlock()
	if f != nil {
		return f(ctx, b)
	}
	return p.Storage.Commit(ctx, b)
}

func (p *hookStorage) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	p.mu.Lock()
	f := p.prune
	p.mu.Unlock()
	if f != nil {
		return f(ctx)
	}
	return p.Storage.Prune(ctx, k, before, limit)
}

func (p *hookStorage) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	p.mu.Lock()
	f := p.load
	p.mu.Unlock()
	if f != nil {
		return f(ctx)
	}
	return p.Storage.Load(ctx)
}

func (p *hookStorage) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	p.mu.Lock()
	f := p.rows
	p.mu.Unlock()
	if f != nil {
		return f(ctx, q)
	}
	return p.Storage.Rows(ctx, q)
}

// failingRows is a Load that yields nothing but an error.
func failingRows(context.Context) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) { yield(laneswap.Row{}, errCrashed) }
}

// putRows writes rows into a storage without a check.
func putRows(t *testing.T, s laneswap.Storage, rows ...laneswap.Row) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: rows}))
}

// storageAfter is a storage that an earlier run has left.
func storageAfter(t *testing.T, fill func(m *laneswap.Manager)) *memorystore.Store {
	t.Helper()
	disk := memorystore.New()
	m := startWithStorage(t, disk)
	fill(m.Manager)
	m.stop(t)
	return disk
}

// crashStorage is a storage that a crash cuts off: what comes after is not stored.
type crashStorage struct {
	laneswap.Storage
	crashed chan struct{}
}

func newCrashStorage(s laneswap.Storage) *crashStorage { return &crashStorage{s, make(chan struct{})} }

var errCrashed = errors.New("the process is dead")

func (s *crashStorage) Commit(ctx context.Context, b laneswap.Batch) error {
	select {
	case <-s.crashed:
		return errCrashed
	default:
		return s.Storage.Commit(ctx, b)
	}
}

func (s *crashStorage) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	select {
	case <-s.crashed:
		return 0, errCrashed
	default:
		return s.Storage.Prune(ctx, k, before, limit)
	}
}

// countRows counts what is stored.
func countRows(t *testing.T, s laneswap.Storage, kind laneswap.Kind) (n int) {
	t.Helper()
	for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kind}) {
		require.NoError(t, err)
		n++
	}
	return n
}

// holdsEvent reports whether a row holds an event of a kind.
func holdsEvent(row laneswap.Row, kind laneswap.EventKind) bool {
	var stored struct{ Event laneswap.Event }
	return json.Unmarshal(row.Data, &stored) == nil && stored.Event.Kind == kind
}
