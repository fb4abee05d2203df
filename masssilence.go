package laneswap

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/text"
)

// A mass silence is at least massMinServices services, and half of those that were
// alive, within massWithin.
const (
	massMinServices = 3
	massWithin      = int64(time.Minute)
)

// massSilence notices when many services fall silent at about the same time: the cause
// may be LaneSwap itself. It is safe for concurrent use.
type massSilence struct {
	mu     sync.Mutex          // guards what follows
	falls  []fall              // of the last minute, oldest first
	silent map[ServiceID]int64 // mono: when each of them fell silent
	until  int64               // mono: how long it counts as mass silence
}

// fall records that a service fell silent at an instant.
type fall struct {
	service ServiceID
	at      int64 // mono
}

// record records that a service fell silent that has sent heartbeats; living is the
// number of services that are still alive. It reports whether this is a mass silence.
func (s *massSilence) record(service ServiceID, now int64, living int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent == nil {
		s.silent = map[ServiceID]int64{}
	}
	n := 0
	for ; n < len(s.falls) && s.falls[n].at <= now-massWithin; n++ {
		if old := s.falls[n]; s.silent[old.service] == old.at { // or it fell silent again
			delete(s.silent, old.service)
		}
	}
	s.falls = append(s.falls[n:], fall{service, now})
	s.silent[service] = now
	if len(s.silent) >= massMinServices && len(s.silent) >= living {
		s.until = now + massWithin
	}
	return now < s.until
}

// living returns the number of services that are expected to send heartbeats and do.
func (j *judge) living() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for i, count := range j.counts {
		switch statusOrder[i] {
		case StatusStale, StatusShutdown, StatusUnknown:
		default:
			n += count
		}
	}
	return n
}

// selfChecks checks whether LaneSwap itself works. One check runs at a time.
type selfChecks struct {
	mu      sync.Mutex // held while they run
	at      int64      // mono: the time of the finding
	finding string
	running map[int]<-chan string // checks of the embedding program that have not returned
}

const (
	checkTimeout = 5 * time.Second
	checkFresh   = int64(30 * time.Second) // how long a finding is reused
)

// checkSelf returns a sentence that says whether LaneSwap can receive heartbeats.
func (a *alerts) checkSelf(ctx context.Context) string {
	a.checks.mu.Lock()
	defer a.checks.mu.Unlock()
	now := a.now()
	if a.checks.finding != "" && now.Mono-a.checks.at < checkFresh {
		return a.checks.finding
	}
	parts := []string{a.reception(now), a.lastPause(now)}
	if a.journal != nil {
		if h := a.storageHealth(); h.State != "ok" {
			parts = append(parts, "the storage is "+h.State)
		}
	}
	for i, check := range a.opts.selfChecks {
		if text := a.checks.call(ctx, i, check); text != "" {
			parts = append(parts, text)
		}
	}
	a.checks.at, a.checks.finding = now.Mono, "Self-check: "+strings.Join(parts, "; ")+"."
	return a.checks.finding
}

// reception describes whether heartbeats arrive.
func (a *alerts) reception(now clock.Instant) string {
	latest, received, all := int64(0), 0, 0
	for _, r := range a.registry.all() {
		all++
		if r.cell.Beats.Load() == 0 {
			continue
		}
		last := r.cell.Last.Load()
		if now.Mono-last < massWithin {
			received++
		}
		if latest == 0 || last > latest {
			latest = last
		}
	}
	text := fmt.Sprintf("heartbeats from %d of %s in the last minute", received, plural(all, "service"))
	if latest != 0 {
		text += fmt.Sprintf(", the latest %v ago", roundly(time.Duration(max(0, now.Mono-latest))))
	}
	return text
}

// lastPause describes whether LaneSwap was paused recently.
func (a *alerts) lastPause(now clock.Instant) string {
	gone, ok := a.judge.absences.Latest()
	if !ok || now.Mono-gone.Back.Mono > int64(5*time.Minute) || gone.Length() < int64(100*time.Millisecond) {
		return "LaneSwap has not paused in the last 5 minutes"
	}
	return fmt.Sprintf("LaneSwap could not receive heartbeats for %v until %s", roundly(time.Duration(gone.Length())), stamp(time.Unix(0, gone.Back.Wall)))
}

// call runs one check of the embedding program, which may hang or panic. A check that has
// not returned is not called again. mu is held.
func (c *selfChecks) call(ctx context.Context, i int, check func(ctx context.Context) string) string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if c.running == nil {
		c.running = map[int]<-chan string{}
	}
	if old := c.running[i]; old != nil {
		select {
		case <-old:
		default:
			return "a self-check has not returned"
		}
	}
	done := make(chan string, 1)
	c.running[i] = done
	go func() { // ends when the check returns, whose context ends
		defer func() {
			if p := recover(); p != nil {
				done <- "a self-check panicked"
			}
		}()
		done <- text.Cut(text.Line(check(ctx)), 300)
	}()
	select {
	case text := <-done:
		delete(c.running, i)
		return text
	case <-ctx.Done():
		return "a self-check did not return in time"
	}
}
