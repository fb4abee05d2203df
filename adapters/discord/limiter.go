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

	// mostPlain is up to what a whole number without context is seconds: see retryAfter.
	mostPlain = 300 * time.Second
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

// retryAfter returns how long a 429 asks to wait, and whether it says so at all.
//
// Since version 8 of the API the body's retry_after is seconds with a fraction, and
// the header Retry-After the same rounded up. Before, and at URLs without a version,
// as people copy them, both may be whole milliseconds. What stands before Discord
// writes no JSON, and seconds into the header. So a number with a point is seconds.
// A whole one is what X-RateLimit-Reset-After, which is always seconds, agrees with.
// Without that it is milliseconds when the header is another number and about a
// thousandth of it, and seconds when there is any other header. Alone, or with a
// header that is the same and so tells nothing, it is seconds up to 300 and
// milliseconds above: that errs to the side of waiting by no more than five minutes,
// and who asks too early because of it is asked to wait again, and does so for longer
// each time. When body and header both say seconds the longer counts.
func retryAfter(h http.Header, body []byte) (time.Duration, bool) {
	header, _ := number(h.Get("Retry-After"))
	text, inBody := bodyDelay(body)
	value, ok := number(text)
	if !inBody || !ok {
		return headerDelay(h)
	}
	if strings.ContainsAny(text, ".eE") || !isMillis(value, header, h) {
		return max(value, header), true
	}
	if header == value { // the same number, so the same unit
		header = 0
	}
	return max(value/1000, header), true
}

// isMillis decides what a whole number in a body means: value is it in seconds.
func isMillis(value, header time.Duration, h http.Header) bool {
	near := func(a, b time.Duration) bool { return (a - b).Abs() <= 1100*time.Millisecond }
	reset, ok := number(h.Get("X-RateLimit-Reset-After"))
	if ok && reset > 0 {
		switch {
		case near(value, reset):
			return false
		case near(value/1000, reset):
			return true
		}
	}
	switch {
	case header > 0 && header != value:
		return value > 2*header && near(value/1000, header)
	case header > 0 && ok:
		return false // there is a reset, and it is that of another limit
	}
	return value > mostPlain
}

// bodyDelay returns the number in the body of a 429, as it is written.
func bodyDelay(body []byte) (string, bool) {
	fields, err := object(body)
	if err != nil {
		return "", false
	}
	text := strings.Trim(string(fields["retry_after"]), `"`)
	return text, text != ""
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

// headerDelay reads Retry-After where nothing else says how long: seconds or a date.
func headerDelay(h http.Header) (time.Duration, bool) {
	if d, ok := number(h.Get("Retry-After")); ok {
		return d, true
	}
	return until(h.Get("Retry-After"))
}

// until reads the other form that Retry-After may have, a date.
func until(text string) (time.Duration, bool) {
	t, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return max(time.Until(t), 0), true
}
