package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

// reading collects what a watch yields, on a goroutine that the end of the watch
// ends.
func reading(w *laneswap.Watcher) (seen *atomic.Pointer[[]laneswap.Event], ended chan error) {
	seen, ended = new(atomic.Pointer[[]laneswap.Event]), make(chan error, 1)
	seen.Store(&[]laneswap.Event{})
	go func() {
		var err error
		var ev laneswap.Event
		for ev, err = range w.Events() {
			if err == nil {
				evs := append(append([]laneswap.Event(nil), *seen.Load()...), ev)
				seen.Store(&evs)
			}
		}
		ended <- err
	}()
	return seen, ended
}

// flip makes n events.
func flip(t *testing.T, m *laneswap.Manager, n int) {
	t.Helper()
	for range n {
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		next := laneswap.StatusError
		if st.Status == laneswap.StatusError {
			next = laneswap.StatusHealthy
		}
		require.NoError(t, m.Beat(t.Context(), "a", laneswap.Heartbeat{Status: next}))
	}
}

func sequences(evs []laneswap.Event) []uint64 {
	var out []uint64
	for _, ev := range evs {
		out = append(out, ev.Sequence)
	}
	return out
}

func upTo(from, to uint64) []uint64 {
	var out []uint64
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

func TestWatch_survivesLostConnectionsWithoutGapOrDuplicate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		flip(t, m, 3)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{After: 1})
		require.NoError(t, err)
		seen, ended := reading(w)
		for range 20 {
			flip(t, m, 5)
			l.down() // in the middle of it
			flip(t, m, 5)
			l.serve(server)
			time.Sleep(10 * time.Second)
		}
		l.down()
		flip(t, m, 1)
		time.Sleep(2 * time.Hour)
		l.serve(server)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, upTo(2, 3+200+1), sequences(*seen.Load()))
		require.NoError(t, w.Close())
		require.NoError(t, <-ended)
	})
}

func TestWatch_survivesALossBeforeItsFirstEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []uint64{0, 2} {
			l := newLAN(t)
			m, server := monitor(t)
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
			require.NoError(t, err)
			flip(t, m, int(after))
			l.serve(server)
			w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{After: after})
			require.NoError(t, err)
			seen, ended := reading(w)
			synctest.Wait()
			l.down()
			flip(t, m, 2)
			l.serve(server)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			require.Equal(t, upTo(after+1, after+2), sequences(*seen.Load()))
			require.NoError(t, w.Close())
			require.NoError(t, <-ended)
		}
	})
}

func TestWatch_isGoneWhenTheServerComesBackEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		flip(t, m, 5)
		l.serve(server)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		synctest.Wait()
		l.down()
		m, server = monitor(t)
		_, err = m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		flip(t, m, 50) // the numbers go on, the events are others
		l.serve(server)
		require.ErrorIs(t, <-ended, laneswap.ErrGone)
		require.Len(t, *seen.Load(), 5)
		for _, err := range w.Events() {
			require.ErrorIs(t, err, laneswap.ErrGone, "it stays so")
		}
		require.NoError(t, w.Close())
	})
}

// streaming is a server of event streams that are written down; the last one is
// repeated. "hang" at the end of one keeps it open.
func streaming(journal func(n int) string, scripts ...string) (http.Handler, *atomic.Int32) {
	var connections atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(connections.Add(1)) - 1
		w.Header().Set("LaneSwap-Boot", fmt.Sprint("boot", n)) // says nothing about events
		w.Header().Set("LaneSwap-Journal", journal(n))
		w.Header().Set("Content-Type", "text/event-stream")
		script, hang := strings.CutSuffix(scripts[min(n, len(scripts)-1)], "hang")
		_, _ = io.WriteString(w, script)
		_ = http.NewResponseController(w).Flush()
		if hang {
			<-r.Context().Done()
		}
	}), &connections
}

func oneJournal(int) string { return "journal" }

func frame(seq int) string {
	return fmt.Sprintf("id: %d\nevent: up\ndata: {\"sequence\":%d,\ndata: \"service\":\"a\"}\n\n", seq, seq)
}

func TestWatch_anotherJournalIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		server, _ := streaming(func(n int) string { return fmt.Sprint("journal", n) }, frame(1), frame(2))
		l.serve(server)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		require.ErrorIs(t, <-ended, laneswap.ErrGone)
		require.Equal(t, upTo(1, 1), sequences(*seen.Load()))
	})
}

func TestWatch_readsStreamsAsTheyAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		server, _ := streaming(oneJournal,
			": hello\r\n\r\n"+strings.ReplaceAll(frame(1), "\n", "\r\n")+": beat\n\n\n"+frame(2)[:30], // cut off within an event
			frame(2)[:len(frame(2))-1], // cut off before its end
			frame(1)+frame(2)+"unknown: field\nretry\n\n"+frame(3)+"hang", // told before
		)
		l.serve(server)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Equal(t, upTo(1, 3), sequences(*seen.Load()))
		require.NoError(t, w.Close())
		require.NoError(t, <-ended)
	})
}

func TestWatch_saysWhereItWasAndInWhichJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		stream, _ := streaming(oneJournal, frame(8), "hang")
		queries := make(chan url.Values, 2)
		l.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			queries <- r.URL.Query()
			stream.ServeHTTP(w, r)
		}))
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{After: 7, Service: "a@b:c"})
		require.NoError(t, err)
		_, ended := reading(w)
		require.Equal(t, url.Values{"after": {"7"}, "service": {"a@b:c"}}, <-queries)
		require.Equal(t, url.Values{"after": {"8"}, "service": {"a@b:c"}, "journal": {"journal"}}, <-queries)
		require.NoError(t, w.Close())
		require.NoError(t, <-ended)
	})
}

func TestWatch_leavesAConnectionThatIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		server, connections := streaming(oneJournal, frame(1)+"hang", frame(2)+"hang")
		l.serve(server)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, connections.Load())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, connections.Load())
		require.Equal(t, upTo(1, 2), sequences(*seen.Load()))
		require.NoError(t, w.Close())
		require.NoError(t, <-ended)
	})
}

func TestWatch_staysWithAServerThatIsQuietButAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		time.Sleep(time.Hour)
		flip(t, m, 1)
		synctest.Wait()
		require.Len(t, *seen.Load(), 1)
		require.Len(t, server.seen("/stream"), 1)
		require.NoError(t, w.Close())
		require.NoError(t, <-ended)
	})
}

func TestWatch_endsWithWhatTheServerSays(t *testing.T) {
	t.Parallel()
	for code, body := range map[string]string{
		"slow-consumer": `{"code":"slow-consumer","status":503,"detail":"watch fell behind"}`,
		"gone":          `{"code":"gone","status":410,"detail":"events no longer kept"}`,
		"stopped":       `{"code":"stopped","status":503,"detail":"manager stopped"}`,
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN(t)
				server, _ := streaming(oneJournal, frame(1)+"event: problem\ndata: "+body+"\n\n")
				l.serve(server)
				w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
				require.NoError(t, err)
				_, ended := reading(w)
				err = <-ended
				require.ErrorIs(t, err, laneswap.ErrorFromCode(code))
				require.EqualError(t, err, "laneswap: watch: "+laneswap.ErrorFromCode(code).Error())
			})
		})
	}
}

func TestWatch_endsWithNonsense(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"no event":     "data: {\"sequence\":\"x\"}\n\n",
		"endless line": "data: " + strings.Repeat("x", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN(t)
				server, connections := streaming(oneJournal, script)
				l.serve(server)
				w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
				require.NoError(t, err)
				_, ended := reading(w)
				require.ErrorIs(t, <-ended, laneswap.ErrLaneSwap)
				require.EqualValues(t, 1, connections.Load())
			})
		})
	}
}

func TestWatch_goesOnAfterARefusalThatPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		well := server.next
		l.serve(server)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		synctest.Wait()
		server.become(answering(http.StatusServiceUnavailable, "Retry-After", "60"))
		l.down()
		l.serve(server)
		flip(t, m, 1)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		server.become(well)
		require.Len(t, server.seen("/stream"), 2, "it waits as it was asked")
		time.Sleep(45 * time.Second)
		synctest.Wait()
		require.Len(t, *seen.Load(), 1)

		server.become(answering(http.StatusUnauthorized))
		l.down()
		l.serve(server)
		err = <-ended
		var refused *client.ResponseError
		require.ErrorAs(t, err, &refused, "a refusal that does not pass ends it")
		require.Equal(t, http.StatusUnauthorized, refused.StatusCode)
	})
}

func TestWatch_isPatientAndQuietWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		var log lines
		w, err := l.client(client.WithLogger(log.logger())).Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		_, ended := reading(w)
		synctest.Wait()
		l.down()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		require.Greater(t, len(l.refused()), 5*450)
		require.Less(t, len(l.refused()), 5*1800)
		require.InDelta(t, 5, strings.Count(log.String(), "\n"), 1)
		require.NoError(t, w.Close())
		require.NoError(t, <-ended, "Close ends it quietly, also while it has no connection")
	})
}

func TestWatch_endsWithItsContextWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		w, err := l.client().Watch(ctx, laneswap.WatchQuery{})
		require.NoError(t, err)
		_, ended := reading(w)
		synctest.Wait()
		l.down()
		time.Sleep(time.Minute)
		cancel(enough)
		require.ErrorIs(t, <-ended, enough)
	})
}

func TestWatch_thatNobodyReadsHoldsNothingAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which fails when goroutines are left
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		flip(t, m, 100)
		require.NoError(t, w.Close())
		ctx, cancel := context.WithCancel(t.Context())
		_, err = l.client().Watch(ctx, laneswap.WatchQuery{})
		require.NoError(t, err)
		cancel()
	})
}

func TestWatch_needsItsServerToBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.ErrorIs(t, err, client.ErrUnreachable)
	})
}
