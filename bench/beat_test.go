package bench_test

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laneswap/laneswap"
)

// mostOfAGauge is what a handle's beat may cost, in units of what a Prometheus
// gauge asks for the same purpose.
const mostOfAGauge = 0.7

// handle is a registered service of a started Manager that has beaten once.
func handle(tb testing.TB) *laneswap.Handle {
	tb.Helper()
	m := laneswap.NewManager()
	if err := m.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = m.Stop(tb.Context()) })
	if _, err := m.Register(tb.Context(), laneswap.Registration{ID: "bench"}); err != nil {
		tb.Fatal(err)
	}
	h, err := m.Handle("bench")
	if err != nil {
		tb.Fatal(err)
	}
	h.Beat()
	return h
}

func gauge() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "last_seen_seconds", Help: "When the service was seen."})
}

func BenchmarkHandleBeat(b *testing.B) {
	h := handle(b)
	b.ReportAllocs()
	for b.Loop() {
		h.Beat()
	}
}

func BenchmarkGaugeSetToCurrentTime(b *testing.B) {
	g := gauge()
	b.ReportAllocs()
	for b.Loop() {
		g.SetToCurrentTime()
	}
}

func BenchmarkTimeSince(b *testing.B) {
	base := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		sink = time.Since(base)
	}
}

var sink time.Duration

// BenchmarkRatio takes turns between the three, so that a noisy machine is noisy
// to all of them, and compares the best turn of each. It fails when a beat costs
// more than its share of a gauge.
func BenchmarkRatio(b *testing.B) {
	const turns, calls = 50, 50_000
	h, g, base := handle(b), gauge(), time.Now()
	beat, set, since := math.Inf(1), math.Inf(1), math.Inf(1)
	turn := func(best float64, f func()) float64 {
		start := time.Now()
		f()
		return min(best, float64(time.Since(start))/calls)
	}
	for range max(b.N, turns) {
		beat = turn(beat, func() {
			for range calls {
				h.Beat()
			}
		})
		set = turn(set, func() {
			for range calls {
				g.SetToCurrentTime()
			}
		})
		since = turn(since, func() {
			for range calls {
				sink = time.Since(base)
			}
		})
	}
	b.ReportMetric(0, "ns/op") // the length of a turn says nothing
	b.ReportMetric(beat, "ns/beat")
	b.ReportMetric(set, "ns/gauge")
	b.ReportMetric(since, "ns/since")
	b.ReportMetric(beat/set, "beat/gauge")
	b.ReportMetric(beat/since, "beat/since")
	if ratio := beat / set; ratio > mostOfAGauge {
		b.Errorf("a beat costs %.2f of a gauge's SetToCurrentTime, the limit is %.2f", ratio, mostOfAGauge)
	}
}

func TestHandleBeat_doesNotAllocate(t *testing.T) {
	h := handle(t)
	if n := testing.AllocsPerRun(10_000, h.Beat); n != 0 {
		t.Errorf("a beat allocates %v times", n)
	}
}
