package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/httpapi"
)

func TestServer_cutsHalfOpenConnections(t *testing.T) {
	for name, c := range map[string]struct {
		sent  string
		after time.Duration
	}{
		"nothing":       {"", httpapi.ReadHeaderTimeout},
		"half a header": {"POST /api/heartbeats HTTP/1.1\r\nHost: l", httpapi.ReadHeaderTimeout},
		"half a body":   {"POST /api/heartbeats HTTP/1.1\r\nHost: l\r\nContent-Length: 9\r\n\r\n[", httpapi.ReadTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, l, _ := newAPI(t).serve()
				for range 50 {
					conn, err := l.dial(t.Context())
					require.NoError(t, err)
					defer conn.Close()
					_, err = io.WriteString(conn, c.sent)
					require.NoError(t, err)
					begin := time.Now()
					_, err = io.ReadAll(conn)
					require.NoError(t, err, "the server has hung up")
					require.GreaterOrEqual(t, time.Since(begin), c.after)
					require.Less(t, time.Since(begin), c.after+time.Second)
				}
			})
		})
	}
}

func TestServer_cutsConnectionsThatTrickle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, l, _ := newAPI(t).serve()
		conn, err := l.dial(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		go func() { _, _ = io.Copy(io.Discard, conn) }() // ended by Close
		begin := time.Now()
		for _, c := range []byte("POST /api/heartbeats HTTP/1.1\r\nX: " + strings.Repeat("x", 100)) {
			if _, err = conn.Write([]byte{c}); err != nil {
				break
			}
			time.Sleep(time.Second) // virtual
		}
		require.Error(t, err)
		require.Less(t, time.Since(begin), httpapi.ReadHeaderTimeout+2*time.Second)
	})
}

func TestServer_cutsClientsThatDoNotReadTheirAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		wait time.Duration
		cut  bool
	}{
		"just in time": {httpapi.WriteTimeout - time.Second, false},
		"too late":     {httpapi.WriteTimeout + time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, l, _ := newAPI(t).serve()
				conn, err := l.dial(t.Context())
				require.NoError(t, err)
				defer conn.Close()
				_, err = io.WriteString(conn, "GET /api/summary HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
				require.NoError(t, err)
				time.Sleep(c.wait) // virtual: a pipe holds nothing, the answer waits for its reader
				got, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.Equal(t, c.cut, len(got) == 0, "%s", got)
			})
		})
	}
}

func TestServer_cutsIdleConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, l, _ := newAPI(t).serve()
		conn, err := l.dial(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: l\r\n\r\n")
		require.NoError(t, err)
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		begin := time.Now()
		_, err = in.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, httpapi.IdleTimeout, time.Since(begin).Round(time.Second))
	})
}

func TestServer_longListOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		for i := range 1000 {
			_, err := a.m.Register(t.Context(), noDeadline(fmt.Sprintf("s%d", i)))
			require.NoError(t, err)
		}
		_, _, client := a.serve()
		resp, err := client.Get("http://laneswap/api/services")
		require.NoError(t, err)
		defer resp.Body.Close()
		begin, piece, total := time.Now(), make([]byte, 8<<10), 0
		for {
			n, err := io.ReadFull(resp.Body, piece)
			total += n
			if err != nil {
				require.Contains(t, []error{io.EOF, io.ErrUnexpectedEOF}, err)
				break
			}
			time.Sleep(2 * time.Second) // virtual
		}
		require.Greater(t, total, 250<<10)
		require.Greater(t, time.Since(begin), httpapi.WriteTimeout)
	})
}

func TestServer_refusesLargeHeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, client := newAPI(t).serve()
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://laneswap/healthz", http.NoBody)
		require.NoError(t, err)
		req.Header.Set("X-Large", strings.Repeat("x", 2*httpapi.MaxHeaderBytes))
		resp, err := client.Do(req)
		if err == nil { // else it was cut while we were still sending
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
		}
		time.Sleep(time.Second) // virtual: the server lingers before it closes
	})
}

func TestServer_refusedBodyIsNotAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, l, _ := newAPI(t).serve()
		conn, err := l.dial(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		begin := time.Now()
		_, err = io.WriteString(conn, "POST /api/services HTTP/1.1\r\nHost: l\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		require.Zero(t, time.Since(begin))
	})
}

func TestServer_shutsDownOverLoopbackWithOpenStreams(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	srv := httpapi.NewServer(a.h)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(httpapi.LimitListener(l, 0)) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}}
	var streams []*reader
	for range 10 {
		streams = append(streams, open(t.Context(), t, client, ""))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, srv.Shutdown(ctx))
	require.ErrorIs(t, <-ended, http.ErrServerClosed)
	for _, r := range streams {
		_, err := r.read()
		require.ErrorIs(t, err, io.EOF)
	}
}

func TestLimitListener_blocksUntilAConnectionCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newPipeListener()
		l := httpapi.LimitListener(inner, 2)
		accepted := make(chan net.Conn)
		ended := make(chan error, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				accepted <- c
			}
		}()
		for range 3 {
			go func() {
				c, err := inner.dial(t.Context())
				if err == nil {
					_, _ = io.ReadAll(c) // until it is closed
				}
			}()
		}
		first, second := <-accepted, <-accepted
		synctest.Wait()
		select {
		case <-accepted:
			t.Fatal("a third connection was accepted")
		default:
		}
		require.NoError(t, first.Close())
		_ = first.Close() // gives no second slot
		third := <-accepted
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed, "also while it waits for a slot")
		require.NoError(t, second.Close())
		require.NoError(t, third.Close())
	})
}
