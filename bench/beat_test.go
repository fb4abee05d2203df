package bench_test

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laneswap/laneswap"
)

// A handle's beat may cost mostOfAGauge, in units of what a Prometheus gauge asks for
// the same purpose. Where a processor's atomic operations are so slow beside its clock
// that nothing which reads the clock and makes two of them can keep that, a beat may
// cost mostOfBare of just these.
const (
	mostOfAGauge = 0.7
	mostOfBare   = 1.15
)

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

// bare is the least that a beat can be: when it was, raised without losing a later
// one, and one more of them.
type bare struct {
	last  atomic.Int64
	beats atomic.Uint64
}

func (c *bare) beat(base time.Time) {
	now := int64(time.Since(base))
	if prev := c.last.Load(); prev < now {
		c.last.CompareAndSwap(prev, now)
	}
	c.beats.Add(1)
}

// BenchmarkRatio takes turns between them, so that a noisy machine is noisy to all
// of them, and compares the best turn of each. It fails when a beat costs more than
// its share of a gauge, and more than the least that it can be.
func BenchmarkRatio(b *testing.B) {
	const turns, calls = 50, 50_000
	h, g, base, least := handle(b), gauge(), time.Now(), new(bare)
	beat, set, since, floor := math.Inf(1), math.Inf(1), math.Inf(1), math.Inf(1)
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
		floor = turn(floor, func() {
			for range calls {
				least.beat(base)
			}
		})
	}
	b.ReportMetric(0, "ns/op") // the length of a turn says nothing
	b.ReportMetric(beat, "ns/beat")
	b.ReportMetric(set, "ns/gauge")
	b.ReportMetric(since, "ns/since")
	b.ReportMetric(beat/set, "beat/gauge")
	b.ReportMetric(beat/since, "beat/since")
	b.ReportMetric(beat/floor, "beat/bare")
	if beat/set > mostOfAGauge && beat/floor > mostOfBare {
		b.Errorf("a beat costs %.2f of a gauge's SetToCurrentTime, the limit is %.2f; and %.2f of its clock and its two atomic operations, the limit is %.2f",
			beat/set, mostOfAGauge, beat/floor, mostOfBare)
	}
}

func TestHandleBeat_doesNotAllocate(t *testing.T) {
	h := handle(t)
	if n := testing.AllocsPerRun(10_000, h.Beat); n != 0 {
		t.Errorf("a beat allocates %v times", n)
	}
}
