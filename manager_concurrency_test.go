package laneswap_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// within runs f in a bubble and requires that it ends in time.
func within(t *testing.T, most time.Duration, f func()) {
	t.Helper()
	begun, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		require.LessOrEqual(t, time.Since(begun), most)
	case <-time.After(10 * most):
		t.Errorf("it did not end within %v", 10*most)
	}
}

// stopIn stops a Manager with a second to do so.
func stopIn(t *testing.T, m *laneswap.Manager) (err error) {
	t.Helper()
	within(t, 7*time.Second, func() { // a second, and the patience with a storage that does not obey
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = m.Stop(ctx)
	})
	return err
}

func TestStop_isBoundedWhenCommitAndPruneHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, release := &hookStorage{Storage: memorystore.New()}, make(chan struct{})
		defer close(release)
		m := laneswap.NewManager(laneswap.WithStorage(p), laneswap.WithCheckInterval(time.Second))
		require.NoError(t, m.Start(t.Context()))
		register(t, m, laneswap.Registration{ID: "svc"})
		p.replace(func() {
			p.commit = func(context.Context, laneswap.Batch) error { <-release; return nil }
			p.prune = func(context.Context) (int, error) { <-release; return 0, nil }
		})
		time.Sleep(2500 * time.Millisecond)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError}))
		require.ErrorIs(t, stopIn(t, m), laneswap.ErrDegraded)
	})
}

// deafLoad is a Load that neither yields nor ends before it is released.
func deafLoad(release <-chan struct{}) func(context.Context) iter.Seq2[laneswap.Row, error] {
	return func(context.Context) iter.Seq2[laneswap.Row, error] {
		return func(func(laneswap.Row, error) bool) { <-release }
	}
}

func TestStop_isBoundedWhenLoadHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		m := laneswap.NewManager(laneswap.WithStorage(&hookStorage{Storage: memorystore.New(), load: deafLoad(release)}))
		within(t, 5*time.Second, func() { require.NoError(t, m.Start(t.Context())) })
		require.ErrorIs(t, stopIn(t, m), laneswap.ErrDegraded)
	})
}

func TestStart_endsWithItsContextWhenLoadHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &hookStorage{Storage: memorystore.New(), load: deafLoad(release)}
		m := laneswap.NewManager(laneswap.WithStorage(p))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		within(t, time.Second, func() { require.ErrorIs(t, m.Start(ctx), context.DeadlineExceeded) })
		p.heal()
		within(t, time.Second, func() { require.NoError(t, m.Start(t.Context())) })
		register(t, m, laneswap.Registration{ID: "svc"})
		close(release) // the first reading ends, and is not taken up
		synctest.Wait()
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m, "svc").Status)
		require.NoError(t, stopIn(t, m))
	})
}

// Not in a bubble: who waits for a lock stops the time of one.
func TestStop_doesNotWaitForAStart(t *testing.T) {
	t.Parallel()
	loading := make(chan struct{})
	p := &hookStorage{Storage: memorystore.New(), load: func(ctx context.Context) iter.Seq2[laneswap.Row, error] {
		return func(yield func(laneswap.Row, error) bool) {
			close(loading)
			<-ctx.Done()
			yield(laneswap.Row{}, ctx.Err())
		}
	}}
	m := laneswap.NewManager(laneswap.WithStorage(p))
	starting := make(chan error, 1)
	go func() { starting <- m.Start(context.Background()) }()
	<-loading
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, m.Stop(ctx), laneswap.ErrDegraded)
	require.ErrorIs(t, <-starting, laneswap.ErrStopped)
	require.Less(t, time.Since(begun), 3*time.Second, "a start waits for 5 seconds")
}

// Not in a bubble, for the same reason.
func TestLogger_mayAskTheManagerDuringARestore(t *testing.T) {
	t.Parallel()
	disk := memorystore.New()
	m := startWithStorage(t, disk)
	_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
	require.NoError(t, err)
	m.stop(t)
	old := time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Millisecond)
	putRows(t, disk, laneswap.Row{Kind: laneswap.KindService, ID: "torn", Service: "torn", At: old, Open: true, Data: []byte(`{"v":1,`)})
	h := &hooked{}
	asking := laneswap.NewManager(laneswap.WithStorage(disk), laneswap.WithLogger(slog.New(h)))
	var mu sync.Mutex
	asked := 0
	h.do = func() {
		_ = asking.Beat(context.Background(), "svc", laneswap.Heartbeat{})
		_, _ = asking.Summary(context.Background())
		_ = asking.Health()
		mu.Lock()
		defer mu.Unlock()
		asked++
	}
	done := make(chan error, 1)
	go func() {
		err := asking.Start(context.Background())
		_ = asking.Ready(context.Background())
		_ = asking.Beat(context.Background(), "svc", laneswap.Heartbeat{})
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("they wait for each other")
	}
	require.NoError(t, asking.Stop(context.Background()))
	mu.Lock()
	defer mu.Unlock()
	require.GreaterOrEqual(t, asked, 2, "of the row that cannot be read, and of the event that says so")
}

func TestService_doesNotWaitForAStorageThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kept = 4
		disk := storageAfter(t, func(m *laneswap.Manager) {
			alternate(t, register(t, m, laneswap.Registration{ID: "svc"}), 10)
		})
		p := &hookStorage{Storage: disk}
		m := startWithStorage(t, p, laneswap.WithEventBuffer(kept))
		p.replace(func() {
			p.rows = func(ctx context.Context, _ laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
				return func(yield func(laneswap.Row, error) bool) { <-ctx.Done(); yield(laneswap.Row{}, ctx.Err()) }
			}
		})
		within(t, time.Second, func() { _ = m.Unhealthy(t.Context(), "svc") })
		begun := time.Now()
		require.Less(t, len(statusOf(t, m.Manager, "svc").Events), 10)
		require.Zero(t, time.Since(begun), "once")
		p.heal()
		time.Sleep(time.Minute)
		require.Len(t, statusOf(t, m.Manager, "svc").Events, 10, "it is asked again")
		m.stop(t)
	})
}

// All verbs at once, on a storage that takes and reads by halves.
func TestManager_allCallsAtOnceKeepStateConsistent(t *testing.T) {
	t.Parallel()
	rounds := 1500
	if raceEnabled {
		rounds = 300
	}
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		faulty := storagetest.NewFaulty(disk)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, Times: 3})
		opts := []laneswap.Option{laneswap.WithStaleThreshold(time.Second), laneswap.WithCheckInterval(time.Second), laneswap.WithLimits(laneswap.Limits{Errors: 3})}
		m := startWithStorage(t, faulty, append(opts, laneswap.WithNotifier(&recorder{}))...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var group sync.WaitGroup
		for w := range 6 {
			group.Go(func() {
				for i := range rounds {
					anyVerb(ctx, m.Manager, laneswap.ServiceID(fmt.Sprint("svc", i%7)), (i+w)%9)
					if i%10 == w {
						time.Sleep(time.Duration(w+1) * 7 * time.Millisecond)
					}
				}
			})
		}
		go func() {
			for ctx.Err() == nil {
				faulty.Inject(storagetest.Fault{Op: storagetest.Commit, How: storagetest.Half, Times: 2})
				faulty.Inject(storagetest.Fault{Op: storagetest.Rows, How: storagetest.Half, Times: 2})
				time.Sleep(100 * time.Millisecond)
			}
		}()
		group.Wait()
		cancel()
		synctest.Wait()
		faulty.Heal()
		require.NoError(t, m.CheckBooks())
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		want := map[laneswap.ServiceID]laneswap.Status{}
		for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
			require.NoError(t, err)
			want[st.ID] = st.Status
		}
		require.NotEmpty(t, want)
		m.stop(t)
		m = startWithStorage(t, disk, opts...)
		for id, status := range want {
			require.Equal(t, status, statusOf(t, m.Manager, id).Status)
		}
		require.NoError(t, m.CheckBooks())
		m.stop(t)
	})
}

// anyVerb calls one of them; what it answers does not matter.
func anyVerb(ctx context.Context, m *laneswap.Manager, id laneswap.ServiceID, n int) {
	switch n {
	case 0:
		_, _ = m.Register(ctx, laneswap.Registration{ID: id, Name: "named"})
	case 1:
		_ = m.Remove(ctx, id)
	case 2:
		_, _ = m.ReportError(ctx, id, laneswap.ErrorReport{Message: "x"})
	case 3:
		_, _ = m.Report(ctx, id, laneswap.Heartbeat{Status: laneswap.StatusError, Metadata: map[string]any{"n": n}})
	case 4:
		_, _ = m.History(ctx, id, laneswap.HistoryQuery{})
	case 5:
		_ = m.Beat(ctx, id, laneswap.Heartbeat{Message: "well"})
	case 6:
		for range m.Errors(ctx, id, laneswap.ErrorQuery{}) {
			continue
		}
		for range m.Heartbeats(ctx, id) {
			continue
		}
	case 7:
		_, _ = m.Register(ctx, laneswap.Registration{Name: "made"})
		_ = m.Sync(ctx)
	case 8:
		_, _ = m.Service(ctx, id)
		_ = m.Health()
		_, _ = m.BeatAndWait(ctx, id, laneswap.Heartbeat{})
	}
}
