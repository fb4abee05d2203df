package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// MaxStreams bounds the event streams of a Handler; more get a 503. The limit leaves
// connections for heartbeats.
const MaxStreams = 1024

const (
	// streamRest is the silence after which a comment is sent, so that neither side
	// nor a proxy closes the stream as dead.
	streamRest = 15 * time.Second
	// closeGrace is how long a client that does not read may delay a shutdown.
	closeGrace = time.Second
	// streamAhead is how many events are buffered for the connection; the rest
	// waits in the buffer of the Manager.
	streamAhead = 64
)

// stream answers GET /api/events/stream with server-sent events: first the kept
// events behind Last-Event-ID or after, then the new ones.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	q, journal, err := h.watchQuery(r)
	if err != nil {
		return err
	}
	if h.closing.Err() != nil {
		return fmt.Errorf("event stream: %w", laneswap.ErrStopped)
	}
	if h.streams.Add(1) > MaxStreams {
		h.streams.Add(-1)
		return &requestError{http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d event streams are open, which is the limit; try again later", MaxStreams)}
	}
	defer h.streams.Add(-1)

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.closing, cancel)()
	watcher, err := h.m.Watch(ctx, q)
	if err != nil {
		return err
	}
	defer watcher.Close()
	w.Header().Set(JournalHeader, journal)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the events back
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	newSSE(h.closing, w).run(ctx, watcher)
	return nil
}

// watchQuery reads where the stream begins, and returns the journal of its sequence
// number. Last-Event-ID wins over the URL: a browser that reconnects sends the
// header with the old URL.
func (h *Handler) watchQuery(r *http.Request) (q laneswap.WatchQuery, journal string, err error) {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	q.Service = p.id("service")
	after, given := p.sequence("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after, given = p.parseSequence("Last-Event-ID", last), true
	}
	known := p.text("journal")
	if p.err != nil {
		return q, "", p.err
	}
	sum, err := h.m.Summary(r.Context())
	if err != nil {
		return q, "", err
	}
	if known != "" && known != sum.Journal {
		return q, "", fmt.Errorf("the sequence numbers have started again: %w", laneswap.ErrGone)
	}
	if !given {
		after = sum.Sequence
	}
	q.After = after
	return q, sum.Journal, nil
}

// sse writes one stream, on the goroutine of the request.
type sse struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	closing context.Context

	mu        sync.Mutex // guards setting the deadline, which closing shortens for good
	shortened bool
}

func newSSE(closing context.Context, w http.ResponseWriter) *sse {
	return &sse{w: w, rc: http.NewResponseController(w), closing: closing}
}

// run writes until the watch ends, the client disconnects or the handler closes.
func (s *sse) run(ctx context.Context, watcher *laneswap.Watcher) {
	// A write in progress must not delay the shutdown.
	hurried := make(chan struct{})
	stop := context.AfterFunc(s.closing, func() {
		defer close(hurried)
		s.hurry()
	})
	defer func() {
		if !stop() {
			<-hurried // the connection must not be used after the handler returned
		} else if s.closing.Err() != nil {
			s.hurry() // the server still writes the end of the answer
		}
	}()

	events := make(chan laneswap.Event, streamAhead)
	var watchErr error // read after events is closed
	rctx, quit := context.WithCancel(ctx)
	go func() { // ended by quit, or by the end of the watch
		defer close(events)
		for ev, err := range watcher.Events() {
			if err != nil {
				watchErr = err
				return
			}
			select {
			case events <- ev:
			case <-rctx.Done():
				return
			}
		}
	}()
	err := s.copy(ctx, events)
	quit()
	watcher.Close()
	for range events { // until the reader has ended
	}
	if err == nil && ctx.Err() == nil && watchErr != nil && !errors.Is(watchErr, laneswap.ErrStopped) {
		_ = s.send(func() error { return s.event("", "problem", problemOf(watchErr)) }) // the stream ends anyway
	}
}

// copy writes the events until there are no more.
func (s *sse) copy(ctx context.Context, events <-chan laneswap.Event) error {
	pulse := func() error {
		_, err := fmt.Fprint(s.w, ": beat\n\n")
		return err
	}
	if err := s.send(pulse); err != nil { // the headers go with it
		return err
	}
	rest := time.NewTimer(streamRest)
	defer rest.Stop()
	for {
		write := pulse
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
		case ev, ok := <-events:
			if !ok {
				return nil
			}
			write = func() error { return s.replay(ev, events) }
		}
		if err := s.send(write); err != nil {
			return err
		}
		rest.Reset(streamRest)
	}
}

// replay writes an event and those that wait behind it, so that a long replay does
// not take one packet per event.
func (s *sse) replay(ev laneswap.Event, events <-chan laneswap.Event) error {
	for n := 1; ; n++ {
		if err := s.event(fmt.Sprint(ev.Sequence), string(ev.Kind), ev); err != nil {
			return err
		}
		if n == streamAhead {
			return nil
		}
		select {
		case next, ok := <-events:
			if !ok {
				return nil // the caller finds the same
			}
			ev = next
		default:
			return nil
		}
	}
}

func (s *sse) event(id, kind string, v any) error {
	data, err := json.Marshal(v) // never holds a newline
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	_, err = fmt.Fprintf(s.w, "%sevent: %s\ndata: %s\n\n", id, kind, data)
	return err
}

// send calls write with a fresh deadline, and flushes.
func (s *sse) send(write func() error) error {
	s.mu.Lock()
	if !s.shortened {
		_ = s.rc.SetWriteDeadline(time.Now().Add(writePatience)) // not supported: the deadline of the server applies
	}
	s.mu.Unlock()
	if err := write(); err != nil {
		return err
	}
	return s.rc.Flush()
}

// hurry shortens the deadline of all writes from now on.
func (s *sse) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shortened = true
	_ = s.rc.SetWriteDeadline(time.Now().Add(closeGrace)) // as above
}
