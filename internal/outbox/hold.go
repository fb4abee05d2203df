package outbox

import (
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// hold is what a notice waits for before it may be told: a threshold that is to be
// reached.
type Hold struct {
	Threshold Threshold
	Recovery  bool   // recover_after; else alert_after
	Parked    bool   // it waits for what is told next, whatever that is
	Target    uint64 // how many heartbeats the service has had by then; 0 when they do not count
	Until     int64  // mono: when it is reached without; noDeadline for never
	From      int64  // mono: since when it counts
	Unit      int64  // ns of silence that count as one heartbeat; 0 when silence does not count
}

// progress says how far it is; beats are those that counted.
func (h *Hold) progress(now clock.Instant, beats uint64) string {
	name := "alert_after"
	if h.Recovery {
		name = "recover_after"
	}
	if h.Threshold.For != 0 {
		lasted := min(time.Duration(max(0, now.Mono-h.From)), h.Threshold.For).Truncate(time.Millisecond)
		return fmt.Sprintf("threshold %v of %v (%s)", lasted, h.Threshold.For, name)
	}
	have := max(1, int64(beats))
	if h.Unit > 0 {
		have = max(have, 1+(now.Mono-h.From)/h.Unit)
	}
	return fmt.Sprintf("threshold %d of %d (%s)", min(have, int64(h.Threshold.Beats)), h.Threshold.Beats, name)
}
