package outbox

import (
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Threshold is the number of heartbeats, or the time, after which a delayed notice
// is sent.
type Threshold struct {
	Beats int
	For   time.Duration
}

// Delay is what a notice waits for before it may be sent.
type Delay struct {
	Threshold Threshold
	Recovery  bool   // the threshold is recover_after; else alert_after
	Deferred  bool   // it waits for the next notice of its service instead of a threshold
	Target    uint64 // heartbeats of the service at which the threshold is reached; 0 when they do not count
	Until     int64  // mono: when the threshold is reached without heartbeats; never for not at all
	From      int64  // mono: the beginning of the wait
	Unit      int64  // ns of silence that count as one heartbeat; 0 when silence does not count
}

func (d *Delay) name() string {
	if d.Recovery {
		return "recover_after"
	}
	return "alert_after"
}

// progress describes how far the threshold is; beats are the heartbeats that count.
func (d *Delay) progress(now clock.Instant, beats uint64) string {
	if d.Threshold.For != 0 {
		lasted := min(time.Duration(max(0, now.Mono-d.From)), d.Threshold.For).Truncate(time.Millisecond)
		return fmt.Sprintf("threshold %v of %v (%s)", lasted, d.Threshold.For, d.name())
	}
	have := max(1, int64(beats))
	if d.Unit > 0 {
		have = max(have, 1+(now.Mono-d.From)/d.Unit)
	}
	return fmt.Sprintf("threshold %d of %d (%s)", min(have, int64(d.Threshold.Beats)), d.Threshold.Beats, d.name())
}

// reached describes that the threshold is reached.
func (d *Delay) reached() string {
	if d.Threshold.For != 0 {
		return fmt.Sprintf("threshold of %v reached (%s)", d.Threshold.For, d.name())
	}
	return fmt.Sprintf("threshold %d of %d reached (%s)", d.Threshold.Beats, d.Threshold.Beats, d.name())
}
