package laneswap_test

import (
	"time"

	"github.com/laneswap/laneswap"
)

const window = laneswap.DefaultStaleThreshold

// nap is enough for the loop to pass a deadline that is reached now.
const nap = time.Millisecond

// pass lets virtual time pass, and what is due then happen.
func pass(d time.Duration) { time.Sleep(d + nap) }
