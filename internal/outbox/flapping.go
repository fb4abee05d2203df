package outbox

import (
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// FlapWindow is the time in which transitions are counted.
const FlapWindow = 30 * time.Minute

const (
	flapPause  = int64(15 * time.Minute) // between two messages about a flapping service
	maxChanges = 10                      // transitions that are counted
)

// delayForFlapping delays a notice because the flapping was reported already.
func (c *conversation) delayForFlapping(n *Notice, due int64, now clock.Instant) {
	n.FlapDue, n.Changes = (now.Wall+due-now.Mono)/int64(time.Millisecond), c.changes
	n.AddStep(now, fmt.Sprintf("flapping, %s, already reported: grouped with later changes until %s", ChangesIn(c.changes), ClockAt(now, due)))
}

// waitsForFlapping reports whether the ready notices are delayed because the service
// flaps, and survive a restart.
func (c *conversation) waitsForFlapping() bool {
	return c.queue.durable && c.flapping > 0 && c.flapSentAt != 0
}

// ChangesIn describes a number of transitions within FlapWindow.
func ChangesIn(n int) string {
	if n >= maxChanges {
		return fmt.Sprintf("%d changes or more in 30 minutes", maxChanges)
	}
	return fmt.Sprintf("%d changes in 30 minutes", n)
}
