package laneswap

import (
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

type (
	instant  = clock.Instant
	absence  = clock.Absence
	absences = clock.Absences
)

const (
	tick        = clock.Tick
	absenceKept = clock.Kept
)

// wallsOf are absences as they are stored.
func wallsOf(a *absences) []storedAbsence {
	const ms = int64(time.Millisecond)
	var out []storedAbsence
	for _, g := range a.Single() {
		out = append(out, storedAbsence{storedVersion, g.From.Wall / ms, g.Back.Wall / ms, g.Lost, g.Cut})
	}
	return out
}
