package durabilitytest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/internal/durabilitytest"
)

// spoiled is a storage that may lie: it reports success and stores a part of a batch.
// Once dead it stores nothing, as the storage of a killed process.
type spoiled struct {
	laneswap.Storage
	spoil func(b *laneswap.Batch)
	dead  atomic.Bool
}

func (s *spoiled) Commit(ctx context.Context, b laneswap.Batch) error {
	if s.dead.Load() {
		return errors.New("killed")
	}
	b.Insert, b.Put, b.Delete = slices.Clone(b.Insert), slices.Clone(b.Put), slices.Clone(b.Delete)
	s.spoil(&b)
	return s.Storage.Commit(ctx, b)
}

// cycles starts a server in this process, kills it, and starts it again on the same
// storage, at most n times, until Check finds a failure.
func cycles(t *testing.T, n int, spoil func(b *laneswap.Batch), wraps ...func(http.Handler) http.Handler) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "durabilitytest.db")
	c := durabilitytest.New(durabilitytest.Options{Seed: 1, Workers: 3, Services: 2})
	for range n {
		store, err := boltstore.Open(path)
		require.NoError(t, err)
		err = cycle(t, c, &spoiled{Storage: store, spoil: spoil}, wraps)
		require.NoError(t, store.Close()) // waits for a commit whose caller has left
		if err != nil {
			return err
		}
	}
	return nil
}

func cycle(t *testing.T, c *durabilitytest.Checker, store *spoiled, wraps []func(http.Handler) http.Handler) error {
	t.Helper()
	began := time.Now()
	m := laneswap.NewManager(laneswap.WithStorage(store))
	require.NoError(t, m.Start(t.Context()))
	var h http.Handler = httpapi.New(m)
	for _, wrap := range wraps {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	require.NoError(t, c.Begin(t.Context(), s.URL, began, true))
	defer c.End()
	err := c.CheckAll(t.Context())

	worked := make(chan struct{})
	go func() { // ends with the server
		defer close(worked)
		c.Work(t.Context(), nil, false)
	}()
	if err == nil {
		<-time.After(200 * time.Millisecond)
	}
	store.dead.Store(true)
	s.Listener.Close()
	s.CloseClientConnections()
	<-worked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = m.Stop(ctx) // nothing is stored any more
	s.Close()
	return err
}

func TestChecker_findsNothingWrongWithAnHonestServer(t *testing.T) {
	t.Parallel()
	require.NoError(t, cycles(t, 6, func(*laneswap.Batch) {}))
}

func TestChecker_findsWhatALyingStorageLost(t *testing.T) {
	t.Parallel()
	without := func(rows []laneswap.Row, kind laneswap.Kind) []laneswap.Row {
		return slices.DeleteFunc(rows, func(r laneswap.Row) bool { return r.Kind == kind })
	}
	some := func() func(rows []laneswap.Row, kind laneswap.Kind) []laneswap.Row {
		var n atomic.Int64
		return func(rows []laneswap.Row, kind laneswap.Kind) []laneswap.Row {
			return slices.DeleteFunc(rows, func(r laneswap.Row) bool { return r.Kind == kind && n.Add(1)%10 == 0 })
		}
	}
	states, events, reports, spans := some(), some(), some(), some()
	for _, tc := range []struct {
		lost  string
		spoil func(b *laneswap.Batch)
		found string
	}{
		{"every tenth state", func(b *laneswap.Batch) { b.Put = states(b.Put, laneswap.KindService) }, "follows from none of the operations"},
		{"every tenth event", func(b *laneswap.Batch) { b.Insert = events(b.Insert, laneswap.KindEvent) }, "event"},
		{"every tenth error", func(b *laneswap.Batch) { b.Put = reports(b.Put, laneswap.KindError) }, "error"},
		{"every tenth span", func(b *laneswap.Batch) { b.Put = spans(b.Put, "span") }, "incidents, want"},
		{"removals", func(b *laneswap.Batch) { b.Delete = nil }, "present is true, want false"},
		{"the numbering", func(b *laneswap.Batch) { b.Put = without(b.Put, "alive") }, "the journal was"},
		{"all", func(b *laneswap.Batch) { *b = laneswap.Batch{Epoch: b.Epoch} }, ""},
	} {
		t.Run(tc.lost, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, cycles(t, 20, tc.spoil), tc.found)
		})
	}
}

// foretold is an answer with an event that never happened.
type foretold struct {
	http.ResponseWriter
	frame string
}

func (f *foretold) Write(p []byte) (int, error) {
	if f.frame != "" {
		_, _ = f.ResponseWriter.Write([]byte(f.frame))
		f.frame = ""
	}
	return f.ResponseWriter.Write(p)
}

// Unwrap gives the stream its deadlines and its flushing.
func (f *foretold) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func TestChecker_findsANumberThatIsGivenTwice(t *testing.T) {
	t.Parallel()
	runs := 0
	err := cycles(t, 3, func(*laneswap.Batch) {}, func(h http.Handler) http.Handler {
		runs++
		frame := ""
		if runs == 2 {
			frame = "id: 1\ndata: {\"id\":\"another/1-1/1\",\"sequence\":1,\"kind\":\"up\"}\n\n"
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/events/stream" {
				w = &foretold{w, frame}
			}
			h.ServeHTTP(w, r)
		})
	})
	require.ErrorContains(t, err, "sequence 1 meant")
}
