package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/laneswap/laneswap"
)

// Watch begins a watch; see laneswap.Manager.Watch. It survives the loss of the
// connection: it goes on behind the last event, without a gap or a duplicate,
// and tries for ever while the server is away, also across restarts of a server
// that has a storage. When the server comes back with an empty memory, or no
// longer has the events that follow, the watch ends with laneswap.ErrGone: what
// happened in between is not known, and a new watch begins anew.
func (c *Client) Watch(ctx context.Context, q laneswap.WatchQuery) (*laneswap.Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("watch", q.Service, err)
	}
	if q.Service != "" {
		if err := laneswap.ValidateServiceID(q.Service); err != nil {
			return nil, failed("watch", q.Service, err)
		}
	}
	w := &watch{c: c, q: q, ctx: ctx, last: q.After, closed: make(chan struct{})}
	w.life, w.end = context.WithCancel(ctx)
	if err := w.connect(); err != nil {
		w.end()
		return nil, failed("watch", q.Service, err)
	}
	return laneswap.NewWatcher(w.events(), w.close), nil
}

// watch is a running watch. It has no goroutine: whoever reads the events reads
// the connection. Everything but closed and end belongs to that reader.
type watch struct {
	c   *Client
	q   laneswap.WatchQuery
	ctx context.Context // the caller's

	life   context.Context // ends with ctx and by close
	end    context.CancelFunc
	closed chan struct{}

	conn    *stream // nil while there is no connection
	journal string  // the numbering of the events; known after the first connection
	last    uint64  // the sequence number of the latest event
	misses  int     // connections lost since something was heard
	logged  time.Time
	err     error // how the watch ended
}

// errClosed ends the reading without an error.
var errClosed = errors.New("closed")

func (w *watch) close() {
	close(w.closed)
	w.end()
}

func (w *watch) events() iter.Seq2[laneswap.Event, error] {
	return func(yield func(laneswap.Event, error) bool) {
		for {
			ev, err := w.next()
			switch {
			case errors.Is(err, errClosed):
				return
			case err != nil:
				yield(laneswap.Event{}, failed("watch", w.q.Service, err))
				return
			case !yield(ev, nil):
				return
			}
		}
	}
}

// next waits for the next event.
func (w *watch) next() (laneswap.Event, error) {
	for {
		if err := w.over(); err != nil {
			return laneswap.Event{}, err
		}
		if w.conn == nil {
			w.reconnect()
			continue
		}
		f, err := w.conn.next()
		if err != nil {
			w.lose(err)
			continue
		}
		w.misses = 0
		if f.kind == "problem" {
			w.fail(problemError(0, nil, f.data, laneswap.ErrInvalidQuery))
			continue
		}
		var ev laneswap.Event
		if json.Unmarshal(f.data, &ev) != nil {
			w.fail(&ResponseError{StatusCode: http.StatusOK, Detail: "but not what a LaneSwap server streams", Err: laneswap.ErrLaneSwap})
			continue
		}
		if ev.Sequence <= w.last {
			continue // told before
		}
		w.last = ev.Sequence
		return ev, nil
	}
}

// over returns why no more events come, if so.
func (w *watch) over() error {
	select {
	case <-w.closed:
		w.drop()
		return errClosed
	default:
	}
	if w.ctx.Err() != nil {
		w.fail(context.Cause(w.ctx))
	}
	return w.err
}

// fail ends the watch for good; the first reason stays.
func (w *watch) fail(err error) {
	w.drop()
	w.end()
	if w.err == nil {
		w.err = err
	}
}

func (w *watch) drop() {
	if w.conn != nil {
		w.conn.close()
		w.conn = nil
	}
}

// lose gives up a connection that broke.
func (w *watch) lose(err error) {
	if errors.Is(err, errFrameTooLong) {
		w.fail(&ResponseError{StatusCode: http.StatusOK, Detail: "but " + err.Error(), Err: laneswap.ErrLaneSwap})
		return
	}
	if w.conn.heard {
		w.misses = 0
	}
	w.drop()
}

// reconnect tries until it has a connection or the watch is over.
func (w *watch) reconnect() {
	var asked time.Duration
	for {
		wait := rand.N(min(250*time.Millisecond<<min(w.misses, 5), 8*time.Second))
		w.misses++
		if !w.sleep(max(wait, asked)) {
			return
		}
		err := w.connect()
		if err == nil || w.life.Err() != nil {
			return
		}
		if final(err) {
			w.fail(err)
			return
		}
		w.say(err)
		asked = 0
		var refused *ResponseError
		if errors.As(err, &refused) {
			asked = refused.RetryAfter
		}
	}
}

// final reports whether asking again would bring the same answer.
func final(err error) bool {
	var refused *ResponseError
	if !errors.As(err, &refused) {
		return errors.Is(err, laneswap.ErrGone)
	}
	switch refused.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return refused.StatusCode < 500
}

// say logs that the server is away, once an hour.
func (w *watch) say(err error) {
	if time.Since(w.logged) >= time.Hour {
		w.logged = time.Now()
		w.c.log.Warn("watch lost its server, trying on", "err", err)
	}
}

// sleep waits; false when the watch ended meanwhile.
func (w *watch) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.life.Done():
		return false
	}
}

// connect opens the stream behind the last event. Another journal is ErrGone: its
// sequence numbers mean other events.
func (w *watch) connect() error {
	query := url.Values{"after": {strconv.FormatUint(w.last, 10)}}
	if w.q.Service != "" {
		query.Set("service", string(w.q.Service))
	}
	if w.journal != "" {
		query.Set("journal", w.journal)
	}
	conn, err := w.c.openStream(w.life, request{
		method: http.MethodGet, path: []string{"events", "stream"}, query: query, kind: laneswap.ErrInvalidQuery,
		stream: true,
	})
	if err != nil {
		return err
	}
	if w.journal != "" && conn.journal != "" && conn.journal != w.journal {
		conn.close()
		return laneswap.ErrGone
	}
	if conn.journal != "" {
		w.journal = conn.journal
	}
	w.conn = conn
	return nil
}
