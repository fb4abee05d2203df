package discord

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

const (
	// defaultDelay is waited after a 429 that does not say how long, as Discord
	// answers to an address that it has blocked.
	defaultDelay = 30 * time.Second
	// longestDelay is waited at most, whatever was announced: notices are owed for 24
	// hours, and one request in six hours is no load.
	longestDelay = 6 * time.Hour
	// insistence is waited at least after several 429 in a row, doubled from one
	// second on: a delay that was misread must not become a stream of requests.
	firstInsistence, lastInsistence = time.Second, time.Minute

	// Discord bans an address that gets 10,000 answers of 401, 403 and 429 within ten
	// minutes. One notifier stops at invalidLimit of them, so that a hundred of them
	// in one place, tested by hand all day, stay far below.
	invalidLimit  = 40
	invalidWindow = 10 * time.Minute
)

// limiter knows until when Discord is not to be asked. It knows only what answers
// said: the limits themselves change, and are not ours to guess.
type limiter struct {
	mu      sync.Mutex // guards what follows
	until   time.Time
	insists int         // 429 in a row
	invalid []time.Time // when there were answers that count towards a ban; at most invalidLimit
}

// ask returns an error of laneswap.RetryAfter while Discord is to be left alone.
func (l *limiter) ask(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.until.Sub(now); wait > 0 {
		return laneswap.RetryAfter(fmt.Errorf("%w: the wait that was asked for is not over", ErrRateLimited), wait)
	}
	for len(l.invalid) > 0 && now.Sub(l.invalid[0]) >= invalidWindow {
		l.invalid = l.invalid[1:]
	}
	if len(l.invalid) >= invalidLimit {
		wait := l.invalid[0].Add(invalidWindow).Sub(now)
		return laneswap.RetryAfter(fmt.Errorf("%w: Discord refused %d requests in 10 minutes, more could have it ban this address", ErrRateLimited, len(l.invalid)), wait)
	}
	return nil
}

// heed takes in what an answer says about the limits. It returns how long to wait:
// for a 429 always, for what else is to be tried again when the answer says so.
func (l *limiter) heed(status int, h http.Header, body []byte, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.TrimSpace(h.Get("X-RateLimit-Remaining")) == "0" {
		if d, ok := number(h.Get("X-RateLimit-Reset-After")); ok {
			l.pause(now, d)
		}
	}
	shared := h.Get("X-RateLimit-Scope") == "shared" // of the channel, which is not counted
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		if !shared && len(l.invalid) < invalidLimit {
			l.invalid = append(l.invalid, now)
		}
	}
	if status != http.StatusTooManyRequests {
		l.insists = 0
		if status < 400 || status < 500 && isObject(body) {
			return 0 // that is a verdict, or another place: to wait would change nothing
		}
		d, _ := headerDelay(h)
		if d <= 0 {
			return 0
		}
		l.pause(now, d)
		return l.until.Sub(now)
	}
	d, ok := retryAfter(h, body)
	if !ok {
		d = defaultDelay
	}
	if l.insists++; l.insists > 2 {
		d = max(d, min(firstInsistence<<min(l.insists-3, 10), lastInsistence))
	}
	l.pause(now, d)
	return l.until.Sub(now)
}

// pause has Discord left alone for d; mu is held.
func (l *limiter) pause(now time.Time, d time.Duration) {
	if until := now.Add(min(max(d, 0), longestDelay)); until.After(l.until) {
		l.until = until
	}
}

// retryAfter returns how long a 429 asks to wait, and whether it says so at all. The
// body's retry_after is seconds with a fraction, and the header Retry-After the same
// rounded up; a proxy writes the header only. The longer one counts.
func retryAfter(h http.Header, body []byte) (time.Duration, bool) {
	header, inHeader := headerDelay(h)
	fields, _ := object(body)
	value, inBody := number(strings.Trim(string(fields["retry_after"]), `"`))
	return max(value, header), inHeader || inBody
}

// number reads a number of seconds; those below zero are none.
func number(text string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return 0, false
	}
	const most = 9e9 // as many as a Duration holds
	return time.Duration(math.Ceil(min(f, most) * float64(time.Second))), true
}

// headerDelay reads Retry-After: seconds or a date.
func headerDelay(h http.Header) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if d, ok := number(text); ok {
		return d, true
	}
	t, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return max(time.Until(t), 0), true
}
