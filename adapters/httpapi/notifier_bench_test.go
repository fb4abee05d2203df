package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// mostOfAlone is how much longer a heartbeat may take beside a notifier in trouble.
const mostOfAlone = 1.25

// owing serves a Manager with n services that are bad, which its notifiers are to be
// told of, and one that is good, "bench".
func owing(b *testing.B, n int, opts ...laneswap.Option) (*laneswap.Manager, *http.Server) {
	b.Helper()
	m := laneswap.NewManager(opts...)
	require.NoError(b, m.Start(b.Context()))
	b.Cleanup(func() { _ = m.Stop(context.Background()) })
	for i := range n {
		reg := laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprintf("service-%06d", i)), NoDeadline: true}
		require.NoError(b, m.AnnounceBeat(b.Context(), reg, laneswap.Heartbeat{}))
		require.NoError(b, m.AnnounceBeat(b.Context(), reg, laneswap.Heartbeat{Status: laneswap.StatusError}))
	}
	_, err := m.Register(b.Context(), laneswap.Registration{ID: "bench", Interval: 30 * time.Second})
	require.NoError(b, err)
	return m, httpapi.NewServer(httpapi.New(m))
}

// timed sends n requests over one connection and adds how long each took.
func timed(b *testing.B, w *wire, n int, times []time.Duration) []time.Duration {
	b.Helper()
	for range n {
		begin := time.Now()
		if err := w.exchange(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
	}
	return times
}

// p99 sorts.
func p99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}

// BenchmarkBeat_besideAHangingNotifier compares heartbeats over loopback while a
// notifier hangs for ever with thousands of notices owed to it, and without any
// notifier, some requests of each in turns. It fails when one in a hundred takes more
// than 1.25 times as long in all of ten rounds.
func BenchmarkBeat_besideAHangingNotifier(b *testing.B) {
	const owed, turns, each = 5000, 100, 20
	stuck, called := make(chan struct{}), make(chan struct{}, 1)
	defer close(stuck) // before Stop
	hangs := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
		select {
		case called <- struct{}{}:
		default:
		}
		<-stuck
		return nil
	})
	_, plain := owing(b, owed)
	m, troubled := owing(b, owed, laneswap.WithGroupWait(0), laneswap.WithNotifier(hangs))
	require.Eventually(b, func() bool {
		all, err := m.Notifiers(b.Context())
		return err == nil && all[0].Waiting == owed && len(called) == 1
	}, 10*time.Second, 10*time.Millisecond)

	body := `{"status":"healthy","message":"queue drained","metadata":{"cpu":12.5,"queue":0}}`
	request := fmt.Sprintf("POST /api/services/bench/heartbeat HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	alone, beside := dialAll(b, plain, request)[0], dialAll(b, troubled, request)[0]
	timed(b, alone, 200, nil)
	timed(b, beside, 200, nil)
	for b.Loop() {
		var with, without time.Duration
		for round := range 10 {
			var near, far []time.Duration
			for range turns {
				near, far = timed(b, beside, each, near), timed(b, alone, each, far)
			}
			w, wo := p99(near), p99(far)
			if round == 0 || w*without < with*wo {
				with, without = w, wo
			}
			if float64(with) <= mostOfAlone*float64(without) {
				break
			}
		}
		ratio := float64(with) / float64(without)
		b.ReportMetric(float64(with.Nanoseconds()), "p99-ns/beat")
		b.ReportMetric(float64(without.Nanoseconds()), "p99-ns/beat-alone")
		b.ReportMetric(ratio, "of-alone")
		if ratio > mostOfAlone {
			b.Errorf("beside a notifier that hangs one heartbeat in a hundred takes %.2f times as long", ratio)
		}
	}
	b.ReportMetric(0, "ns/op") // of some rounds of both: says nothing
}
