package durabilitytest

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

// eventLog holds every event that was received, by its sequence number.
type eventLog struct {
	c *Checker

	mu           sync.Mutex // guards the fields below
	journal      string
	seen         map[uint64]string // as JSON
	top          uint64            // the greatest number received
	before       uint64            // top when the present run of the server began
	compared     uint64            // up to here the events were compared
	acknowledged bool              // something was acknowledged: the journal stays
}

// begin begins another run of the server.
func (b *eventLog) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before = b.top
}

// acknowledge records that something was acknowledged as durable.
func (b *eventLog) acknowledge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acknowledged = true
}

// open sets the journal of the sequence numbers.
func (b *eventLog) open(journal string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.journal == journal {
		return
	}
	// With a storage that could be read and then refuses writes a new journal begins,
	// because the numbers in use are not known.
	if b.journal != "" && b.acknowledged && !b.c.opts.StorageLeaves {
		b.c.fail("the journal was %s and is %s", b.journal, journal)
	}
	b.journal, b.seen, b.top, b.before = journal, map[uint64]string{}, 0, 0
	if !b.acknowledged {
		b.compared = 0
	}
}

// receive records an event.
func (b *eventLog) receive(raw string) (ev laneswap.Event, err error) {
	if err := json.Unmarshal([]byte(raw), &ev); err != nil {
		return ev, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch old, known := b.seen[ev.Sequence]; {
	case known && old != raw:
		b.c.fail("sequence %d meant\n    %s\nand means\n    %s", ev.Sequence, old, raw)
	case !known && ev.Sequence <= b.before:
		b.c.fail("event %d was received first after a restart, although all up to %d had been received: %s", ev.Sequence, b.before, raw)
	}
	b.seen[ev.Sequence] = raw
	b.top = max(b.top, ev.Sequence)
	return ev, nil
}

// follow reads the stream of events until it ends, and continues behind the last
// event.
func (b *eventLog) follow(ctx context.Context, s *server) error {
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
	if res.StatusCode == http.StatusGone && b.c.opts.StorageLeaves {
		return nil // see open; events until then are compared by Check
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
		ev, err := b.receive(raw)
		if err != nil {
			return nil // cut off in the middle
		}
		if ev.Sequence <= last {
			return fmt.Errorf("the stream has event %d behind %d", ev.Sequence, last)
		}
		last = ev.Sequence
	}
	return nil
}

// page returns the events behind a sequence number.
func (b *eventLog) page(ctx context.Context, s *server, after uint64) ([]laneswap.Event, error) {
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
		ev, err := b.receive(string(raw))
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

// news returns the events that were not compared yet.
func (b *eventLog) news(ctx context.Context, s *server) ([]laneswap.Event, error) {
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
