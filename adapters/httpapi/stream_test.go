package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// sse is one server-sent event; a comment has a comment only.
type sse struct{ id, event, data, comment string }

// reader reads server-sent events.
type reader struct {
	t    testing.TB
	resp *http.Response
	in   *bufio.Reader
}

// open opens a stream; headers are pairs of name and value.
func open(ctx context.Context, t testing.TB, client *http.Client, query string, headers ...string) *reader {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://laneswap/api/events/stream"+query, http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"))
	require.Equal(t, "no", resp.Header.Get("X-Accel-Buffering"))
	r := &reader{t, resp, bufio.NewReader(resp.Body)}
	require.Equal(t, sse{comment: "beat"}, r.next(), "the headers do not come alone")
	return r
}

// read returns the next event or why there is none.
func (r *reader) read() (sse, error) {
	var ev sse
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return ev, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			ev.id = value
		case "event":
			ev.event = value
		case "data":
			ev.data = value
		default:
			if strings.HasPrefix(line, ": ") {
				ev.comment = line[2:]
			}
			if line == "" {
				return ev, nil
			}
		}
	}
}

func (r *reader) next() sse {
	r.t.Helper()
	ev, err := r.read()
	require.NoError(r.t, err)
	return ev
}

// expect reads the event of that sequence and kind.
func (r *reader) expect(id, kind string) laneswap.Event {
	r.t.Helper()
	got := r.next()
	require.Equal(r.t, [2]string{id, kind}, [2]string{got.id, got.event})
	var ev laneswap.Event
	require.NoError(r.t, json.Unmarshal([]byte(got.data), &ev))
	require.Equal(r.t, kind, string(ev.Kind))
	return ev
}

// flip makes two events of a service: down and recovered.
func flip(t testing.TB, m *laneswap.Manager, id laneswap.ServiceID) {
	t.Helper()
	for _, st := range []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy} {
		require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{Status: st}))
	}
}

func TestStream_replaysThenFollowsWithoutAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, _, client := a.serve()
		a.register("a")
		a.register("b")
		flip(t, a.m, "a") // 1, 2

		all := open(t.Context(), t, client, "?after=0")
		all.expect("1", "down")
		all.expect("2", "recovered")
		behind := open(t.Context(), t, client, "?after=1")
		behind.expect("2", "recovered")
		resumed := open(t.Context(), t, client, "?after=0", "Last-Event-ID", "1")
		resumed.expect("2", "recovered")
		live := open(t.Context(), t, client, "")
		onlyB := open(t.Context(), t, client, "?after=0&service=b")

		flip(t, a.m, "a") // 3, 4
		flip(t, a.m, "b") // 5, 6
		for _, r := range []*reader{all, behind, resumed, live} {
			r.expect("3", "down")
			r.expect("4", "recovered")
			require.Equal(t, laneswap.ServiceID("b"), r.expect("5", "down").Service)
			r.expect("6", "recovered")
		}
		onlyB.expect("5", "down")
		onlyB.expect("6", "recovered")
	})
}

func TestStream_survivesTheTimeoutsOfTheServerAndBeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, _, client := a.serve()
		_, err := a.m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		r := open(t.Context(), t, client, "")
		begin := time.Now()
		for i := range 40 { // ten minutes, twenty times the write timeout
			require.Equal(t, sse{comment: "beat"}, r.next())
			require.Equal(t, time.Duration(i+1)*15*time.Second, time.Since(begin))
		}
		flip(t, a.m, "a")
		r.expect("1", "down")
		r.expect("2", "recovered")
	})
}

func TestStream_showsAStaleServiceAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, _, client := a.serve()
		require.NoError(t, a.m.Start(t.Context()))
		defer a.m.Stop(context.Background())
		begin := time.Now()
		_, err := a.m.Register(t.Context(), laneswap.Registration{ID: "a", StaleAfter: 10 * time.Second})
		require.NoError(t, err)
		r := open(t.Context(), t, client, "")
		ev := r.expect("1", "down")
		require.Equal(t, laneswap.StatusStale, ev.To)
		require.Equal(t, begin.Add(10*time.Second).UTC(), ev.At)
		require.Less(t, time.Since(begin), 10*time.Second+100*time.Millisecond)
	})
}

func TestStream_shutdownEndsItPromptly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		srv, _, client := a.serve()
		a.register("a")
		r := open(t.Context(), t, client, "")
		idle := open(t.Context(), t, client, "") // is not read when the server wants to end
		for range 200 {
			flip(t, a.m, "a")
		}
		synctest.Wait()
		begin := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- srv.Shutdown(t.Context()) }()
		for {
			if _, err := r.read(); err != nil {
				require.ErrorIs(t, err, io.EOF, "it just ends")
				break
			}
		}
		require.NoError(t, <-ended)
		require.Less(t, time.Since(begin), 2*time.Second)
		_ = idle
	})
}

func TestStream_eventsDuringShutdownDoNotDelayIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		srv, l, _ := a.serve()
		a.register("a")
		for range 200 { // each has its own order of the event and the end
			conn, err := l.dial(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "GET /api/events/stream HTTP/1.1\r\nHost: l\r\n\r\n")
			require.NoError(t, err)
			in := bufio.NewReader(conn)
			for line := ""; !strings.HasPrefix(line, ": beat"); {
				line, err = in.ReadString('\n')
				require.NoError(t, err)
			}
		} // nobody reads on
		synctest.Wait()
		begin := time.Now()
		a.h.Close()
		flip(t, a.m, "a")
		require.NoError(t, srv.Shutdown(t.Context()))
		require.Less(t, time.Since(begin), 2*time.Second)
	})
}

func TestStream_endsQuietlyWhenTheManagerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, _, client := a.serve()
		r := open(t.Context(), t, client, "")
		require.NoError(t, a.m.Stop(t.Context()))
		_, err := r.read()
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestStream_slowReaderIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager(laneswap.WithEventBuffer(100))
		a := withManager(t, m)
		_, _, client := a.serve()
		a.register("a")
		r := open(t.Context(), t, client, "")
		for range 500 { // more than is kept, read ahead and buffered on the way
			flip(t, m, "a")
			synctest.Wait()
		}
		seen := 0
		for {
			ev := r.next()
			if ev.event == "problem" {
				var p struct{ Code, Detail string }
				require.NoError(t, json.Unmarshal([]byte(ev.data), &p))
				require.Equal(t, "slow-consumer", p.Code)
				require.Empty(t, ev.id, "it is no place to continue from")
				break
			}
			seen++
		}
		require.Positive(t, seen)
		require.Less(t, seen, 1000)
		_, err := r.read()
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestStream_readerThatNeverReadsIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, l, _ := a.serve()
		a.register("a")
		conn, err := l.dial(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /api/events/stream HTTP/1.1\r\nHost: laneswap\r\n\r\n")
		require.NoError(t, err)
		time.Sleep(31 * time.Second) // virtual
		synctest.Wait()
		_, err = conn.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe, "the server has hung up")
	})
}

func TestStream_clientThatLeavesLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, _, client := a.serve()
		ctx, cancel := context.WithCancel(t.Context())
		r := open(ctx, t, client, "")
		cancel()
		_, err := r.read()
		require.Error(t, err)
		synctest.Wait() // a goroutine that stays would deadlock the bubble at its end
	})
}

func TestStream_refusesWhatIsGone(t *testing.T) {
	t.Parallel()
	a := withManager(t, laneswap.NewManager(laneswap.WithEventBuffer(2)))
	a.register("a")
	flip(t, a.m, "a")
	flip(t, a.m, "a")
	a.do("GET", "/api/events/stream?after=1", "").problem(410, "gone")
	a.do("GET", "/api/events/stream", "", "Last-Event-ID", "5").problem(410, "gone") // of an earlier run
	a.do("HEAD", "/api/events/stream?after=3&journal=another", "").problem(410, "gone")
	a.do("GET", "/api/events?after=1", "").problem(410, "gone")
	a.do("HEAD", "/api/events/stream?after=3&boot=another", "").want(200)
	a.h.Close()
	a.do("GET", "/api/events/stream", "").problem(503, "stopped")
}

func TestStream_numberIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, _, client := a.serve()
		var last *reader
		for range httpapi.MaxStreams {
			last = open(t.Context(), t, client, "")
		}
		a.do("HEAD", "/api/events/stream", "").problem(503, "busy")
		a.do("GET", "/healthz", "").want(200)
		require.NoError(t, last.resp.Body.Close())
		synctest.Wait()
		a.do("HEAD", "/api/events/stream", "").want(200)
	})
}
