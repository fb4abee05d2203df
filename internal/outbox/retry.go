package outbox

import (
	"math"
	"math/rand/v2"
	"time"
)

// Backoff returns the pause in ns after that many failures in a row: one second,
// doubled each time, up to five minutes, and up to a fifth more or less, so that
// clients of one receiver do not return all at once.
func Backoff(failures int) int64 {
	d := min(int64(time.Second)<<min(failures-1, 10), int64(5*time.Minute))
	return int64(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// blockedUntil returns until when no message is sent; mu is held.
func (q *Queue) blockedUntil() int64 {
	if q.disabled {
		return math.MaxInt64
	}
	return max(q.waitUntil, q.retryAt)
}
