package laneswap

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Mass silence: at least that many services, and half of those that lived, within
// that time.
const (
	massMinServices = 3
	massWithin      = int64(time.Minute)
)

// silences notices when many services fall silent at once: it may be us.
type massSilence struct {
	mu    sync.Mutex // guards what follows
	falls []fall     // of the last minute, oldest first
	fell  map[ServiceID]int64
	until int64 // mono: how long it counts as mass silence
}

// fall is that a service fell silent, at the instant mono.
type fall struct {
	service ServiceID
	at      int64
}

// fall notes that a service fell silent which was heard before; living is how many
// live still. It reports whether many did within a minute.
func (s *massSilence) record(service ServiceID, now int64, living int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fell == nil {
		s.fell = map[ServiceID]int64{}
	}
	n := 0
	for ; n < len(s.falls) && s.falls[n].at <= now-massWithin; n++ {
		if old := s.falls[n]; s.fell[old.service] == old.at { // else it fell again
			delete(s.fell, old.service)
		}
	}
	s.falls = append(s.falls[n:], fall{service, now})
	s.fell[service] = now
	if len(s.fell) >= massMinServices && len(s.fell) >= living {
		s.until = now + massWithin
	}
	return now < s.until
}

// living is how many services are not silent, have beaten and are expected to.
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

// selfChecks are what LaneSwap looks at in itself, for one at a time.
type selfChecks struct {
	mu      sync.Mutex // held while they run
	at      int64      // mono: when the finding was made
	finding string
	running map[int]<-chan string // of the program around, those that have not returned
}

const (
	checkTimeout = 5 * time.Second
	checkFresh   = int64(30 * time.Second) // how long a finding serves
)

// checkSelf says in a few sentences whether it is us that cannot hear.
func (a *alerts) checkSelf(ctx context.Context) string {
	a.checks.mu.Lock()
	defer a.checks.mu.Unlock()
	now := a.now()
	if a.checks.finding != "" && now.Mono-a.checks.at < checkFresh {
		return a.checks.finding
	}
	parts := []string{a.hearing(now), a.pauses(now)}
	if a.journal != nil {
		if h := a.storageHealth(); h.State != "ok" {
			parts = append(parts, "the storage is "+h.State)
		}
	}
	for i, check := range a.opts.selfChecks {
		if text := a.checks.ask(ctx, i, check); text != "" {
			parts = append(parts, text)
		}
	}
	a.checks.at, a.checks.finding = now.Mono, "Self-check: "+strings.Join(parts, "; ")+"."
	return a.checks.finding
}

// hearing says whether anybody is heard.
func (a *alerts) hearing(now clock.Instant) string {
	latest, heard, all := int64(0), 0, 0
	for _, r := range a.registry.all() {
		all++
		if r.cell.Beats.Load() == 0 {
			continue
		}
		last := r.cell.Last.Load()
		if now.Mono-last < massWithin {
			heard++
		}
		if latest == 0 || last > latest {
			latest = last
		}
	}
	text := fmt.Sprintf("heartbeats from %d of %s in the last minute", heard, plural(all, "service"))
	if latest != 0 {
		text += fmt.Sprintf(", the latest %v ago", roundly(time.Duration(max(0, now.Mono-latest))))
	}
	return text
}

// pauses says whether LaneSwap itself stood still of late.
func (a *alerts) pauses(now clock.Instant) string {
	gone, ok := a.judge.absences.Newest()
	if !ok || now.Mono-gone.Back.Mono > int64(5*time.Minute) || gone.Length() < int64(100*time.Millisecond) {
		return "LaneSwap has not paused in the last 5 minutes"
	}
	return fmt.Sprintf("LaneSwap could not receive heartbeats for %v until %s", roundly(time.Duration(gone.Length())), stamp(time.Unix(0, gone.Back.Wall)))
}

// ask runs one check of the program around; it may hang or panic. One that has not
// returned is not called again. mu is held.
func (c *selfChecks) ask(ctx context.Context, i int, check func(ctx context.Context) string) string {
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
	go func() { // ends with the check, which was told to
		defer func() {
			if p := recover(); p != nil {
				done <- "a self-check panicked"
			}
		}()
		done <- cutBytes(Sanitize(check(ctx)), 300)
	}()
	select {
	case text := <-done:
		delete(c.running, i)
		return text
	case <-ctx.Done():
		return "a self-check did not return in time"
	}
}
