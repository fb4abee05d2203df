package laneswap_test

import (
	"flag"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// long runs the random and the long tests in full, which takes minutes.
var long = flag.Bool("long", false, "run the random and the long tests in full")

// scaled returns the size of a test: short with -short and under the race
// detector, full with -long, usual otherwise.
func scaled[T any](short, usual, full T) T {
	switch {
	case *long && !raceEnabled:
		return full
	case testing.Short() || raceEnabled:
		return short
	}
	return usual
}

// skipHeavy skips a test that fills memory or makes very many rows, under the
// race detector and with -short.
func skipHeavy(t *testing.T) {
	t.Helper()
	if raceEnabled || testing.Short() {
		t.Skip("too heavy for -race and -short")
	}
}

// skipShort skips a test of virtual days, which takes seconds, with -short.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("virtual days take seconds")
	}
}

// window is the silence after which a service without thresholds is stale.
const window = laneswap.DefaultStaleThreshold

// moment is enough for the loop to pass a deadline that is reached now.
const moment = time.Millisecond

// sleepPast lets virtual time pass, and what is due then happen.
func sleepPast(d time.Duration) { time.Sleep(d + moment) }
