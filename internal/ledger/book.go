package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/laneswap/laneswap"
)

// book holds every event that was ever heard of, by its sequence number.
type book struct {
	l *Ledger

	mu       sync.Mutex // guards what follows
	journal  string
	seen     map[uint64]string // as JSON
	top      uint64            // the greatest number heard
	before   uint64            // top when the present run of the server began
	compared uint64            // up to here the accounts know the events
	pledged  bool              // something was acknowledged: the journal stays
}

// begin says that another run of the server begins.
func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before = b.top
}

// pledge says that something was acknowledged as durable.
func (b *book) pledge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pledged = true
}

// open takes in the name of the numbering.
func (b *book) open(journal string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.journal == journal {
		return
	}
	// A storage that could be read and then takes nothing makes the numbering begin
	// anew, for nobody knows which numbers were given before.
	if b.journal != "" && b.pledged && !b.l.opts.StorageLeaves {
		b.l.violated("the journal was %s and is %s", b.journal, journal)
	}
	b.journal, b.seen, b.top, b.before = journal, map[uint64]string{}, 0, 0
	if !b.pledged {
		b.compared = 0
	}
}

// hear takes in an event.
func (b *book) hear(raw string) (ev laneswap.Event, err error) {
	if err := json.Unmarshal([]byte(raw), &ev); err != nil {
		return ev, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch old, known := b.seen[ev.Sequence]; {
	case known && old != raw:
		b.l.violated("sequence %d meant\n    %s\nand means\n    %s", ev.Sequence, old, raw)
	case !known && ev.Sequence <= b.before:
		b.l.violated("event %d is heard of after a restart, although up to %d all had been heard: %s", ev.Sequence, b.before, raw)
	}
	b.seen[ev.Sequence] = raw
	b.top = max(b.top, ev.Sequence)
	return ev, nil
}

// follow reads the stream of events until it ends, as a client does that was there
// before.
func (b *book) follow(ctx context.Context, s *server) error {
	b.mu.Lock()
	last, journal := b.top, b.journal
	b.mu.Unlock()
	res, err := s.stream(ctx, last, journal)
	for err == nil && res.StatusCode == http.StatusServiceUnavailable { // it has not read its storage
		res.Body.Close()
		rest(ctx)
		res, err = s.stream(ctx, last, journal)
	}
	if err != nil {
		return nil // killed already
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusGone && b.l.opts.StorageLeaves {
		return nil // see open; what happens meanwhile is compared all the same
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream of events cannot go on behind %d: %s", last, res.Status)
	}
	b.open(res.Header.Get("LaneSwap-Journal"))
	sc := bufio.NewScanner(res.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		raw, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		ev, err := b.hear(raw)
		if err != nil {
			return nil // cut off in the middle
		}
		if ev.Sequence <= last {
			return fmt.Errorf("the stream tells of %d behind %d", ev.Sequence, last)
		}
		last = ev.Sequence
	}
	return nil
}

// page reads the events that the server has behind a sequence number.
func (b *book) page(ctx context.Context, s *server, after uint64) ([]laneswap.Event, error) {
	var list struct {
		Events  []json.RawMessage
		Journal string
	}
	if err := s.read(ctx, fmt.Sprint("/api/events?after=", after), &list); err != nil {
		return nil, fmt.Errorf("events behind %d: %w", after, err)
	}
	b.open(list.Journal)
	var out []laneswap.Event
	last := after
	for _, raw := range list.Events {
		ev, err := b.hear(string(raw))
		if err != nil {
			return nil, err
		}
		if ev.Sequence <= last {
			return nil, fmt.Errorf("event %d is listed behind %d", ev.Sequence, last)
		}
		last = ev.Sequence
		out = append(out, ev)
	}
	return out, nil
}

// news are the events that were not compared yet.
func (b *book) news(ctx context.Context, s *server) ([]laneswap.Event, error) {
	b.mu.Lock()
	after := b.compared
	b.mu.Unlock()
	evs, err := b.page(ctx, s, after)
	if err == nil && len(evs) > 0 {
		b.mu.Lock()
		b.compared = evs[len(evs)-1].Sequence
		b.mu.Unlock()
	}
	return evs, err
}
