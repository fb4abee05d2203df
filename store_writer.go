package laneswap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/journal"
)

// How the writer treats a storage.
const (
	commitTimeout  = 10 * time.Second // for one try
	commitPause    = 50 * time.Millisecond
	maxCommitPause = 5 * time.Second   // the pause between two tries doubles up to this
	durableWithin  = journal.Patience  // after it the storage is degraded
	commitSlow     = durableWithin / 2 // a try that fails after it was too large
	minCommitRows  = 10                // rows that the writer offers at once to any storage
	pruneRows      = 500               // rows of a kind in one call of Prune
	pruneSteps     = 40                // calls of Prune for a kind, in one round of housekeeping
)

// Checkpoints.
const (
	aliveEvery  = int64(time.Second)       // how often the alive row is stored
	longWindow  = int64(120 * time.Second) // above it a heartbeat is checkpointed within a second
	countsEvery = int64(time.Hour)         // how often the number of heartbeats of a service is stored
	eagerFor    = int64(120 * time.Second) // after an absence every heartbeat is checkpointed within a second
	// reservedNumbers is how many event numbers an alive row reserves: no number is
	// used again after a crash.
	reservedNumbers = 1_000_000
)

// writer brings what the journal decides to the storage. Only its goroutine uses it.
type writer struct {
	*store
	allAt  int64         // mono: when the last heartbeats of all services are checkpointed next
	beats  shares        // the share of services whose recent heartbeats are saved now
	counts shares        // the share of services whose number of heartbeats is saved now
	due    int64         // mono: when the next round is due, whatever there is to store
	until  clock.Instant // LaneSwap received heartbeats until then, and the log has every absence before it
	look   bool          // gather the last heartbeats
	all    bool          // of all services, not only of those with a long window
	seen   []lastSeen    // the last heartbeats that are yet to be stored
	alive  *entry        // the alive row that goes with the last of them
	last   bool          // no more events come
	took   time.Duration // how long the storage took for the latest commit
	max    int           // rows that the writer offers at once; 0 is all
}

// lastSeen is the last heartbeat of a service that the storage must learn.
type lastSeen struct {
	r       *record
	service string
	mono    int64
	at      int64 // wall ms
}

// write is the goroutine that commits. Start starts it, Stop ends it: by closing
// flush, after which it stores what is left and ends, or by ending ctx.
func (s *store) write(ctx context.Context) {
	defer close(s.written)
	rest := int64(s.opts.checkInterval)
	w := &writer{store: s, beats: shares{of: uint64(max(1, rest/aliveEvery))}, counts: shares{of: uint64(max(1, countsEvery/rest))}}
	ticker := time.NewTicker(time.Duration(aliveEvery))
	defer ticker.Stop()
	w.round()
	for {
		w.drain(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-s.journal.Wake:
		case <-ticker.C:
			w.round()
		case <-s.flush:
			s.saveBeatsOf(everyService, everyService)
			for range 2 { // what was gathered before, and the rest
				w.look, w.all, w.last = true, true, true
				w.drain(ctx)
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

// shares divides the services into equal shares, one for each round, so that the work
// for all of them spreads over a longer time.
type shares struct{ now, of uint64 }

// next moves on to the next share. It reports whether that is the first one.
func (t *shares) next() (first bool) {
	t.now = (t.now + 1) % t.of
	return t.now == 0
}

// bounds returns which of n services are in the present share: those from first up to end.
func (t shares) bounds(n int) (first, end int) {
	return int(t.now * uint64(n) / t.of), int((t.now + 1) * uint64(n) / t.of)
}

// everyService is the share that has all services.
var everyService = shares{of: 1}

// round does what is due each second: it gathers the alive row and the last heartbeats,
// and saves the recent heartbeats of a share of the services. Each service has its turn
// about once per check interval, and no commit that somebody waits for stands behind all.
func (w *writer) round() {
	now := w.now().Mono
	w.due = now + aliveEvery
	if w.beats.next() {
		w.counts.next()
	}
	w.saveBeatsOf(w.beats, w.counts)
	if now >= w.allAt {
		w.allAt, w.all = now+int64(w.opts.checkInterval), true
	}
	// Only the first few absences since a service's last heartbeat count: while they
	// are young, every heartbeat matters.
	w.all = w.all || now < w.absences.LatestBack()+eagerFor
	w.look = true
}

// saveBeatsOf saves the services of a share that have news since they were last saved,
// and among them every one whose turn it is to have its number of heartbeats saved.
func (s *store) saveBeatsOf(news, counts shares) {
	all := s.registry.all()
	first, end := news.bounds(len(all))
	for i := first; i < end; i++ {
		r := all[i]
		r.mu.Lock()
		switch {
		case r.removal != alive || r.isPending:
		case r.stateDirty, r.beatsDirty:
			s.save(r, false)
			s.saveBeats(r)
		case uint64(i)%counts.of == counts.now && r.cell.Beats.Load() != r.savedBeats:
			s.save(r, false)
		}
		r.mu.Unlock()
	}
}

// gather returns last heartbeats. It gathers them once a second, and returns a part at a
// time, so that no commit waits long behind them; with the last part comes the alive row.
func (w *writer) gather() (part []lastSeen, alive *entry) {
	if w.look && len(w.seen) == 0 {
		w.alive = w.aliveRow(w.until, w.last) // before looking: it covers who was heard until then
		w.seen = w.lastHeartbeats(w.all)
		w.look, w.all = false, false
	}
	n := min(len(w.seen), 5*journal.MaxCommitRows)
	part, w.seen = w.seen[:n:n], w.seen[n:]
	if len(w.seen) == 0 {
		alive, w.alive = w.alive, nil
	}
	return part, alive
}

// aliveRow says that LaneSwap received heartbeats until seen. exact says that no more
// events come. It is stored with the last heartbeats that were gathered after it, never
// before them: after a crash a service that beat until then would otherwise seem silent.
func (s *store) aliveRow(seen clock.Instant, exact bool) *entry {
	next, name := s.events.latest()
	next++
	if !exact {
		next += reservedNumbers
	}
	s.registry.mu.RLock()
	born := s.judge.generation
	s.registry.mu.RUnlock()
	return aliveEntry(seen.Wall/int64(time.Millisecond), &storedAlive{storedVersion, name, next, born, exact})
}

// lastHeartbeats returns the services that have beaten since the storage last learned of
// it: all, or only those with a long window.
func (s *store) lastHeartbeats(all bool) []lastSeen {
	var out []lastSeen
	for _, r := range s.registry.all() {
		if window := r.cell.Window.Load(); !all && (window <= longWindow || window == clock.Never) {
			continue
		}
		last := r.cell.Last.Load()
		if last <= r.seen.Load() || r.cell.Beats.Load() == 0 {
			continue
		}
		out = append(out, lastSeen{r, string(r.id), last, s.absences.Wall(last) / int64(time.Millisecond)})
	}
	return out
}

// drain commits until nothing waits or ctx ends.
func (w *writer) drain(ctx context.Context) {
	for ctx.Err() == nil {
		if w.now().Mono >= w.due && !w.last {
			w.round() // changes may come without a pause as long as a commit
		}
		w.observe(w.now())
		w.until = w.absences.Observed() // before the log is taken: an absence found later goes with a later commit
		taken := w.journal.Next(w.now().Mono, w.gather)
		if taken == nil {
			return
		}
		c := newCommit(taken)
		for _, err := range c.broken {
			w.log.Error("a row cannot be encoded and is dropped", "err", err)
		}
		if n := len(c.broken); n > 0 {
			w.reportOwn(EventStorageLost, fmt.Sprintf("%d rows could not be encoded and were dropped; the log names them", n), 0)
		}
		if !w.commit(ctx, c) {
			return
		}
		for _, seen := range c.Seen {
			seen.r.seen.Store(seen.mono)
		}
		w.committed(w.took)
	}
}

// committed is called after each commit, with how long it took.
func (s *store) committed(took time.Duration) {
	back, away, lost := s.journal.Committed(s.now().Mono, took)
	if back {
		s.reportOwn(EventStorageBack, "the storage accepts writes again; the backlog has been written", away)
	}
	if len(lost) > 0 {
		s.reportOwn(EventStorageLost, "the backlog was full and transitions were dropped: "+listLost(lost), 0)
	}
}

// listLost names at most 20 services, those that lost most first.
func listLost(lost map[string]int) string {
	ids := slices.SortedFunc(maps.Keys(lost), func(a, b string) int {
		return cmp.Or(cmp.Compare(lost[b], lost[a]), cmp.Compare(a, b))
	})
	var parts []string
	rest := 0
	for i, id := range ids {
		if i < 20 {
			parts = append(parts, fmt.Sprintf("%d of %s", lost[id], cmp.Or(id, "LaneSwap itself")))
		} else {
			rest += lost[id]
		}
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d others", rest, len(ids)-20))
	}
	return strings.Join(parts, ", ")
}

// commit offers a batch until the storage accepts it or ctx ends. It offers the batch in
// parts to a storage that is too slow for all of it: a restart that finds only some of
// them treats them like a torn commit.
func (w *writer) commit(ctx context.Context, c *commit) bool {
	pause := commitPause
	w.took = 0
	for logged := false; ; logged = true {
		begun := w.now().Mono
		part, rest := c.batch.cut(w.max)
		err := w.try(ctx, part)
		took := time.Duration(w.now().Mono - begun)
		w.adapt(part.size(), took, err == nil)
		switch {
		case err == nil:
			w.took += took
			if rest.size() == 0 {
				return true
			}
			c.batch, pause = rest, commitPause
			continue
		case ctx.Err() != nil:
			return false
		case errors.Is(err, ErrFenced):
			const why = "another LaneSwap has taken over the storage; this one stores nothing any more"
			w.log.Error(why, "err", err)
			w.journal.Fence()
			w.degrade(why)()
			return false
		case errors.Is(err, ErrExists):
			if w.dropExisting(ctx, c) {
				continue
			}
			w.log.Error("storage reports a row as existing that does not exist", "err", err)
		case !logged:
			w.log.Error("storage does not accept a write; LaneSwap tries again", "rows", len(c.Entries), "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		pause = min(2*pause, maxCommitPause)
	}
}

// adapt sets how many rows are offered at once: half as many after the storage took
// long to fail, twice as many after it was quick.
func (w *writer) adapt(rows int, took time.Duration, accepted bool) {
	switch {
	case !accepted && took >= commitSlow:
		w.max = max(minCommitRows, rows/2)
	case accepted && took < commitSlow && w.max > 0:
		if w.max *= 2; w.max >= 10*journal.MaxCommitRows {
			w.max = 0
		}
	}
}

// dropExisting inserts the rows of a batch one by one and drops those whose id is taken
// by another row, so that one of them cannot block all others. It reports whether it
// dropped any.
func (w *writer) dropExisting(ctx context.Context, c *commit) (dropped bool) {
	rows := c.batch.Insert
	c.batch.Insert = nil
	for _, row := range rows {
		err := w.try(ctx, Batch{Epoch: c.batch.Epoch, Insert: []Row{row}})
		if !errors.Is(err, ErrExists) {
			if err != nil {
				c.batch.Insert = append(c.batch.Insert, row)
			}
			continue
		}
		dropped = true
		w.log.Error("the storage has another row with the same id; the new row is dropped", "kind", row.Kind, "id", row.ID)
		w.reportOwn(EventStorageLost, fmt.Sprintf("a row of kind %s was dropped: the storage has another row with its id", row.Kind), 0)
	}
	return dropped
}

// try commits once. It turns a panic of the storage into an error.
func (s *store) try(ctx context.Context, b Batch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	defer recovered(&err)
	if err := s.storage.Commit(ctx, b); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// recovered turns a panic of the storage into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: panic: %v", ErrStorage, p)
	}
}

// prune deletes what is older than the retention, in small steps, and expires notices
// whose notifier is gone. Start starts it, Stop ends it.
func (s *store) prune(ctx context.Context) {
	defer close(s.pruned)
	ticker := time.NewTicker(s.opts.checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if _, _, _, fenced := s.journal.Backlog(); fenced {
			return
		}
		s.alerts.expireUnclaimed()
		for _, kind := range slices.Sorted(maps.Keys(rowKinds)) {
			how := rowKinds[kind]
			for n := 0; how.pruned && n < pruneSteps; n++ {
				deleted, err := s.pruneStep(ctx, kind)
				if err != nil && ctx.Err() == nil {
					s.log.Warn("storage does not delete old rows; LaneSwap tries again", "kind", kind, "err", err)
				}
				if err != nil || deleted < pruneRows {
					break
				}
			}
		}
	}
}

func (s *store) pruneStep(ctx context.Context, kind Kind) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	defer recovered(&err)
	before := s.absences.Wall(s.now().Mono) - int64(s.opts.retention)
	return s.storage.Prune(ctx, kind, clock.WallTime(before/int64(time.Millisecond)), pruneRows)
}
