package boltstore_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

const (
	manyServices = 100_000
	// mostOfRaw is what restoring a file may cost, in units of reading its bytes.
	mostOfRaw = 50
	// restoreTurns is how often both are done at least: the best counts, so that a
	// noisy machine does not.
	restoreTurns = 5
)

// populate registers services as people would and has each of them beat. One in a
// hundred is in trouble.
func populate(b *testing.B, m *laneswap.Manager) {
	b.Helper()
	require.NoError(b, m.Start(b.Context()))
	regions := []string{"eu-west-1", "eu-central-1", "us-east-1"}
	for i := range manyServices {
		reg := laneswap.Registration{
			ID: laneswap.ServiceID(fmt.Sprintf("billing-worker-%06d@host-%03d", i, i%400)), Name: fmt.Sprintf("billing worker %d", i),
			Interval: time.Duration(30+i%4*30) * time.Second, Tags: []string{"team:billing", "env:production"},
			Metadata: map[string]any{"version": fmt.Sprintf("1.%d.%d", i%20, i%7), "region": regions[i%3], "pid": 1000 + i%30_000},
		}
		hb := laneswap.Heartbeat{}
		if i%100 == 0 {
			hb = laneswap.Heartbeat{Status: laneswap.StatusError, Message: fmt.Sprintf("queue %d: connection refused", i)}
		}
		require.NoError(b, m.AnnounceBeat(b.Context(), reg, hb))
		if i%10_000 == 9_999 {
			require.NoError(b, m.Sync(b.Context()))
		}
	}
	require.NoError(b, m.Sync(b.Context()))
}

// populated is a file of many services, with nothing free in it.
func populated(b *testing.B) (path string) {
	b.Helper()
	path = newPath(b)
	s := open(b, path)
	s.SkipSync()
	m := laneswap.NewManager(laneswap.WithStorage(s))
	populate(b, m)
	require.NoError(b, m.Stop(b.Context()))
	require.NoError(b, s.Close())
	require.NoError(b, boltstore.Compact(path))
	return path
}

// BenchmarkRestore takes up a file of 100,000 services, from opening it until the
// Manager watches them all, and compares that with reading the same file into
// memory that is there: the best turn of each. It fails above 50.
func BenchmarkRestore(b *testing.B) {
	path := populated(b)
	// Read once, so that the file is in the cache and there is memory for it.
	file, err := os.ReadFile(path)
	require.NoError(b, err)
	raw, opened, started := math.Inf(1), math.Inf(1), math.Inf(1)
	turn := func(best float64, f func()) float64 {
		runtime.GC() // each pays for its own garbage
		start := time.Now()
		f()
		return min(best, time.Since(start).Seconds())
	}
	for range max(b.N, restoreTurns) {
		raw = turn(raw, func() {
			f, err := os.Open(path)
			require.NoError(b, err)
			_, err = io.ReadFull(f, file)
			require.NoError(b, errors.Join(err, f.Close()))
		})
		var s *boltstore.Store
		opened = turn(opened, func() {
			s, err = boltstore.Open(path)
			require.NoError(b, err)
		})
		s.SkipSync()
		m := laneswap.NewManager(laneswap.WithStorage(s))
		var sum laneswap.Summary
		started = turn(started, func() { sum = loaded(b, m) })
		require.Equal(b, manyServices, sum.Total)
		require.Equal(b, manyServices/100, sum.Counts[laneswap.StatusError])
		require.NoError(b, m.Stop(b.Context()))
		require.NoError(b, s.Close())
	}
	b.ReportMetric(0, "ns/op") // each turn does more than what is compared
	b.ReportMetric(float64(len(file))/1e6, "file-MB")
	b.ReportMetric(raw*1e3, "raw-ms")
	b.ReportMetric(opened*1e3, "open-ms")
	b.ReportMetric(started*1e3, "start-ms")
	b.ReportMetric(opened/raw, "open/raw")
	b.ReportMetric(started/raw, "start/raw")
	b.ReportMetric((opened+started)/raw, "restore/raw")
	if ratio := (opened + started) / raw; ratio > mostOfRaw {
		b.Fatalf("restoring takes %.0f times as long as reading the file, the limit is %d", ratio, mostOfRaw)
	}
}

// loaded starts a Manager and waits until it has read its storage: on a machine
// that is very busy Start does not wait for all of it.
func loaded(b *testing.B, m *laneswap.Manager) laneswap.Summary {
	b.Helper()
	require.NoError(b, m.Start(b.Context()))
	for end := time.Now().Add(time.Minute); ; runtime.Gosched() {
		sum, err := m.Summary(b.Context())
		if err == nil {
			return sum
		}
		require.ErrorIs(b, err, laneswap.ErrLoading)
		require.True(b, time.Now().Before(end), "the storage is read within a minute")
	}
}

// BenchmarkMemory is how much of the heap a service takes without a storage, with
// one, and after it was restored. The file itself is mapped and not counted.
func BenchmarkMemory(b *testing.B) {
	perService := func(have func() *laneswap.Manager) float64 {
		before := heap()
		m := have()
		after := heap()
		sum, err := m.Summary(b.Context())
		require.NoError(b, err)
		require.Equal(b, manyServices, sum.Total)
		require.NoError(b, m.Stop(b.Context()))
		return float64(after-before) / manyServices
	}
	var alone, stored, restored float64
	for range b.N {
		alone = perService(func() *laneswap.Manager {
			m := laneswap.NewManager()
			populate(b, m)
			return m
		})
		s := open(b, newPath(b))
		s.SkipSync()
		stored = perService(func() *laneswap.Manager {
			m := laneswap.NewManager(laneswap.WithStorage(s))
			populate(b, m)
			return m
		})
		restored = perService(func() *laneswap.Manager {
			m := laneswap.NewManager(laneswap.WithStorage(s))
			loaded(b, m)
			return m
		})
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(alone, "B/service")
	b.ReportMetric(stored, "B/service-stored")
	b.ReportMetric(restored, "B/service-restored")
}

// heap is how many bytes are in use, after what nobody needs is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
