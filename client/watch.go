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

// Watch starts a watch; see laneswap.Manager.Watch. When the connection breaks, the watch
// reconnects and continues after the last event, without a gap or a duplicate. It tries
// without limit, also across restarts of a server with a storage. It ends with
// laneswap.ErrGone if the server lost its state or no longer has the next event: then
// events are missing, and the caller may start a new watch.
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

// watch is a running watch. It has no goroutine: the reader of the events reads the
// connection. All fields except closed and end belong to that reader.
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
	misses  int     // connections lost since something was received
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
			w.fail(&ResponseError{StatusCode: http.StatusOK, Detail: "but not with a stream of LaneSwap", Err: laneswap.ErrLaneSwap})
			continue
		}
		if ev.Sequence <= w.last {
			continue // a duplicate
		}
		w.last = ev.Sequence
		return ev, nil
	}
}

// over returns the reason why the watch is over, or nil.
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

// fail ends the watch; the first reason counts.
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

// lose closes a broken connection.
func (w *watch) lose(err error) {
	if errors.Is(err, errFrameTooLong) {
		w.fail(&ResponseError{StatusCode: http.StatusOK, Detail: "but " + err.Error(), Err: laneswap.ErrLaneSwap})
		return
	}
	if w.conn.alive {
		w.misses = 0
	}
	w.drop()
}

// reconnect tries to connect until it succeeds or the watch is over.
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
		w.logOutage(err)
		asked = 0
		var refused *ResponseError
		if errors.As(err, &refused) {
			asked = refused.RetryAfter
		}
	}
}

// final reports whether a retry would get the same answer.
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

// logOutage logs once an hour that the server cannot be reached.
func (w *watch) logOutage(err error) {
	if time.Since(w.logged) >= time.Hour {
		w.logged = time.Now()
		w.c.log.Warn("watch cannot reach the server, trying again", "err", err)
	}
}

// sleep waits. It returns false when the watch ends.
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

// connect opens the stream after the last event. It returns ErrGone for another journal,
// whose sequence numbers belong to other events.
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
