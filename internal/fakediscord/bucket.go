package fakediscord

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/http"
	"strconv"
	"time"
)

// bucket counts requests in windows. A window begins with its first request.
type bucket struct {
	limit Limit
	used  int
	ends  time.Time
}

// take counts a request. If the window is full it returns false, and how long until the
// window ends.
func (b *bucket) take(now time.Time) (wait time.Duration, ok bool) {
	if b.limit.Requests == 0 {
		return 0, true
	}
	if !now.Before(b.ends) {
		b.used, b.ends = 0, now.Add(b.limit.Per)
	}
	if b.used >= b.limit.Requests {
		return b.ends.Sub(now), false
	}
	b.used++
	return 0, true
}

// undo takes back the last request.
func (b *bucket) undo() { b.used = max(b.used-1, 0) }

// announce writes the headers of a bucket. It returns until when they ask the client to
// wait; zero if they do not.
func (b *bucket) announce(h http.Header, id string, now time.Time) (until time.Time) {
	if b.limit.Requests == 0 {
		return time.Time{}
	}
	left := b.limit.Requests - b.used
	reset := max(b.ends.Sub(now), 0)
	sum := sha256.Sum256([]byte(id))
	h.Set("X-RateLimit-Limit", strconv.Itoa(b.limit.Requests))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	h.Set("X-RateLimit-Reset", strconv.FormatFloat(math.Ceil(float64(b.ends.UnixMicro())/1e3)/1e3, 'f', 3, 64))
	h.Set("X-RateLimit-Reset-After", seconds(reset))
	h.Set("X-RateLimit-Bucket", hex.EncodeToString(sum[:16]))
	if left == 0 {
		return b.ends
	}
	return time.Time{}
}

// seconds formats a duration in seconds, rounded up to milliseconds, so that a client
// never waits too short.
func seconds(d time.Duration) string {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	return strconv.FormatFloat(float64(ms)/1e3, 'f', 3, 64)
}

// wholeSeconds formats a duration in seconds, rounded up, as in Retry-After.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
