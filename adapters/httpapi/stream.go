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

// MaxStreams is how many event streams a Handler serves at once; more get a 503.
// It leaves connections for heartbeats.
const MaxStreams = 1024

const (
	// streamRest is the silence after which a comment is sent, so that neither
	// side nor a proxy takes the stream for dead.
	streamRest = 15 * time.Second
	// closeGrace is what a reader that does not read may cost a shutdown.
	closeGrace = time.Second
	// streamAhead is how many events are read ahead of the connection; the rest
	// waits in the Manager's own buffer.
	streamAhead = 64
)

// stream answers GET /api/events/stream: server-sent events, a replay of what is
// kept behind Last-Event-ID or after, then what comes.
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
		return &requestError{http.StatusServiceUnavailable, "busy", fmt.Sprintf("there are %d event streams, which is the limit", MaxStreams)}
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

// watchQuery reads where the stream begins, and returns the journal of its
// sequence number. The header, which a browser sends when it connects again, wins
// over the URL, which is still that of the first time.
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
		return q, "", fmt.Errorf("the events began anew: %w", laneswap.ErrGone)
	}
	if !given {
		after = sum.Sequence
	}
	q.After = after
	return q, sum.Journal, nil
}

// sse writes one stream. Its methods are called by the goroutine of the request.
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

// run writes until the watch ends, the client goes away or the handler closes.
func (s *sse) run(ctx context.Context, watcher *laneswap.Watcher) {
	// A write that is under way when the handler closes must not hold it up.
	hurried := make(chan struct{})
	stop := context.AfterFunc(s.closing, func() {
		defer close(hurried)
		s.hurry()
	})
	defer func() {
		if !stop() {
			<-hurried // the connection is not ours once the handler has returned
		} else if s.closing.Err() != nil {
			s.hurry() // the server has yet to write the end of the answer
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

// replay writes an event and those that wait behind it, so that a long replay is
// not one packet an event.
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

// send gives the client time to take what write writes, and flushes it.
func (s *sse) send(write func() error) error {
	s.mu.Lock()
	if !s.shortened {
		_ = s.rc.SetWriteDeadline(time.Now().Add(writePatience)) // not supported: the server's own holds
	}
	s.mu.Unlock()
	if err := write(); err != nil {
		return err
	}
	return s.rc.Flush()
}

// hurry shortens the deadline of whatever is written from now on.
func (s *sse) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shortened = true
	_ = s.rc.SetWriteDeadline(time.Now().Add(closeGrace)) // as above
}
