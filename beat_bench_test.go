package laneswap_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// benchManager is a started Manager with n services, each of which has beaten.
func benchManager(b *testing.B, n int) (*laneswap.Manager, []laneswap.ServiceID) {
	b.Helper()
	m := laneswap.NewManager()
	if err := m.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Stop(b.Context()) })
	ids := make([]laneswap.ServiceID, n)
	for i := range ids {
		ids[i] = laneswap.ServiceID(fmt.Sprintf("service-%06d@host", i))
		if _, err := m.Register(b.Context(), laneswap.Registration{ID: ids[i]}); err != nil {
			b.Fatal(err)
		}
		if err := m.Beat(b.Context(), ids[i], laneswap.Heartbeat{}); err != nil {
			b.Fatal(err)
		}
	}
	return m, ids
}

// BenchmarkTimeSince measures reading the clock: no beat can be cheaper.
func BenchmarkTimeSince(b *testing.B) {
	base, total := time.Now(), time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		total += time.Since(base)
	}
	if total <= 0 {
		b.Error("the clock stands still")
	}
}

func BenchmarkHandleBeat(b *testing.B) {
	m, ids := benchManager(b, 1)
	h, err := m.Handle(ids[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Beat()
	}
}

// BenchmarkHandleBeat_parallel has one service for each goroutine.
func BenchmarkHandleBeat_parallel(b *testing.B) {
	m, ids := benchManager(b, 64)
	next := make(chan laneswap.ServiceID, len(ids))
	for _, id := range ids {
		next <- id
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		h, err := m.Handle(<-next)
		if err != nil {
			b.Error(err)
			return
		}
		for pb.Next() {
			h.Beat()
		}
	})
}

func BenchmarkBeat(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			m, ids := benchManager(b, n)
			ctx := b.Context()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := m.Beat(ctx, ids[i], laneswap.Heartbeat{}); err != nil {
					b.Fatal(err)
				}
				// A stride that visits all, but not in the order of registration.
				if i += 7919; i >= n {
					i %= n
				}
			}
		})
	}
}

func BenchmarkReport_message(b *testing.B) {
	m, ids := benchManager(b, 1)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Report(ctx, ids[0], laneswap.Heartbeat{Message: "queue drained"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRegister_again(b *testing.B) {
	m, ids := benchManager(b, 10_000)
	ctx := b.Context()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := m.Register(ctx, laneswap.Registration{ID: ids[i%len(ids)], Interval: time.Minute}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func TestHandleBeat_allocatesNothing(t *testing.T) {
	m := laneswap.NewManager()
	if _, err := m.Register(t.Context(), laneswap.Registration{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	h, err := m.Handle("a")
	if err != nil {
		t.Fatal(err)
	}
	h.Beat()
	if n := testing.AllocsPerRun(1000, h.Beat); n != 0 {
		t.Errorf("Handle.Beat allocates %v times", n)
	}
	ctx := t.Context()
	beat := func() {
		if err := m.Beat(ctx, "a", laneswap.Heartbeat{}); err != nil {
			t.Error(err)
		}
	}
	if n := testing.AllocsPerRun(1000, beat); n != 0 {
		t.Errorf("an empty Manager.Beat allocates %v times", n)
	}
}
