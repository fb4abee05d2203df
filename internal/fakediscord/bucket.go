package fakediscord

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/http"
	"strconv"
	"time"
)

// bucket counts requests in windows that begin with their first request.
type bucket struct {
	limit Limit
	used  int
	ends  time.Time
}

// take counts a request. It returns false, and how long until the window ends, when
// there was no room for it.
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

// give takes a request back that was not counted in the end.
func (b *bucket) give() { b.used = max(b.used-1, 0) }

// announce writes the headers about a bucket, and returns until when its client is
// asked to wait by them; zero when it is not.
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

// seconds writes a time with the milliseconds rounded up, so that who waits as long
// has waited long enough.
func seconds(d time.Duration) string {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	return strconv.FormatFloat(float64(ms)/1e3, 'f', 3, 64)
}

// wholeSeconds writes a time in seconds, rounded up, as Retry-After does.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
