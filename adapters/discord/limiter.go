package discord

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/httppost"
)

const (
	// defaultDelay follows a 429 that does not say how long to wait. Discord sends
	// those to an address that it has blocked.
	defaultDelay = 30 * time.Second
	// maxDelay bounds every wait: notices expire after 24 hours, and one request in six
	// hours is no load.
	maxDelay = 6 * time.Hour
	// From the third 429 in a row on, the wait is at least minRepeatDelay, doubled each
	// time: a delay that is too short must not become a stream of requests.
	minRepeatDelay, maxRepeatDelay = time.Second, time.Minute

	// Discord bans an address that gets 10,000 answers of 401, 403 and 429 within ten
	// minutes. One notifier stops at invalidLimit of them, so that a hundred notifiers
	// on one address, tested by hand all day, stay far below.
	invalidLimit  = 40
	invalidWindow = 10 * time.Minute
)

// limiter knows until when no request may be made. It follows what answers say and
// guesses no limits: Discord changes them.
type limiter struct {
	mu       sync.Mutex // guards what follows
	until    time.Time
	repeated int         // 429 in a row
	invalid  []time.Time // of answers that count towards a ban; at most invalidLimit
}

// allow returns an error of laneswap.RetryAfter while no request may be made.
func (l *limiter) allow(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.until.Sub(now); wait > 0 {
		return laneswap.RetryAfter(fmt.Errorf("%w: waiting as long as Discord asked", ErrRateLimited), wait)
	}
	for len(l.invalid) > 0 && now.Sub(l.invalid[0]) >= invalidWindow {
		l.invalid = l.invalid[1:]
	}
	if len(l.invalid) >= invalidLimit {
		wait := l.invalid[0].Add(invalidWindow).Sub(now)
		return laneswap.RetryAfter(fmt.Errorf("%w: Discord refused %d requests within 10 minutes; more could get this address banned", ErrRateLimited, len(l.invalid)), wait)
	}
	return nil
}

// observe notes what an answer says about the limits, and returns how long to wait:
// after a 429 always, after another answer that may be retried only if it says so.
func (l *limiter) observe(a httppost.Answer, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.TrimSpace(a.Header.Get("X-RateLimit-Remaining")) == "0" {
		if d, ok := httppost.Seconds(a.Header.Get("X-RateLimit-Reset-After")); ok {
			l.pause(now, d)
		}
	}
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		shared := a.Header.Get("X-RateLimit-Scope") == "shared" // of the channel: does not count towards a ban
		if !shared && len(l.invalid) < invalidLimit {
			l.invalid = append(l.invalid, now)
		}
	}
	if a.Status != http.StatusTooManyRequests {
		l.repeated = 0
		if a.Status < 400 || a.Status < 500 && isObject(a.Body) {
			return 0 // a wait would change nothing
		}
		d, _ := httppost.RetryAfter(a.Header, now)
		if d <= 0 {
			return 0
		}
		l.pause(now, d)
		return l.until.Sub(now)
	}
	d, ok := retryAfter(a.Header, a.Body, now)
	if !ok {
		d = defaultDelay
	}
	if l.repeated++; l.repeated > 2 {
		d = max(d, min(minRepeatDelay<<min(l.repeated-3, 10), maxRepeatDelay))
	}
	l.pause(now, d)
	return l.until.Sub(now)
}

// pause allows no request for d; mu is held.
func (l *limiter) pause(now time.Time, d time.Duration) {
	if until := now.Add(min(max(d, 0), maxDelay)); until.After(l.until) {
		l.until = until
	}
}

// retryAfter returns how long a 429 asks to wait, and whether it says so at all. The
// body's retry_after is seconds with a fraction, and the header Retry-After the same
// rounded up; a proxy writes the header only. The longer one counts.
func retryAfter(h http.Header, body []byte, now time.Time) (time.Duration, bool) {
	header, inHeader := httppost.RetryAfter(h, now)
	fields, _ := object(body)
	value, inBody := httppost.Seconds(strings.Trim(string(fields["retry_after"]), `"`))
	return max(value, header), inHeader || inBody
}
