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

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// upload begins to send a batch of n bytes and returns the connection.
func upload(t *testing.T, l *pipeListener, n int) net.Conn {
	t.Helper()
	conn, err := l.dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /api/heartbeats HTTP/1.1\r\nHost: l\r\nContent-Length: %d\r\n\r\n", n)
	require.NoError(t, err)
	return conn
}

func TestBatch_stalledUploadsKeepOthersOutOnlyBriefly(t *testing.T) {
	for name, trickle := range map[string]bool{"stalled": false, "trickling": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI(t)
				a.register("a")
				_, l, _ := a.serve()
				for range 16 {
					conn := upload(t, l, 1<<20)
					_, err := io.WriteString(conn, "["+strings.Repeat(" ", 100<<10))
					require.NoError(t, err)
					go func() { _, _ = io.Copy(io.Discard, conn) }() // ended by Close
					if trickle {
						go func() {
							for {
								if _, err := io.WriteString(conn, strings.Repeat(" ", 1<<10)); err != nil {
									return
								}
								time.Sleep(100 * time.Millisecond) // virtual
							}
						}()
					}
				}
				synctest.Wait()
				large := `[{"service_id":"a"}` + strings.Repeat(" ", 65<<10) + `]`
				a.do("POST", "/api/heartbeats", large).problem(503, "busy")
				time.Sleep(4 * time.Second) // virtual
				a.do("POST", "/api/heartbeats", large).want(200)
			})
		})
	}
}

func TestBatch_slowUploadIsToldSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, l, _ := newAPI(t).serve()
		conn := upload(t, l, 1<<20)
		_, err := io.WriteString(conn, "["+strings.Repeat(" ", 100<<10))
		require.NoError(t, err)
		begin := time.Now()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, string(body), "the body arrives too slowly")
		require.Less(t, time.Since(begin), 4*time.Second)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "the connection is not used again")
	})
}

func TestBatch_steadyUploadHasTheTimeThatItNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		a.register("a")
		_, l, _ := a.serve()
		const n = 6 << 20
		for range 2 { // on one connection each: nothing of the first is left over
			conn := upload(t, l, n)
			in, begin := bufio.NewReader(conn), time.Now()
			rest := `[{"service_id":"a"}` + strings.Repeat(" ", n-20) + `]`
			for len(rest) > 0 {
				piece := rest[:min(len(rest), 256<<10)]
				rest = rest[len(piece):]
				_, err := io.WriteString(conn, piece)
				require.NoError(t, err)
				time.Sleep(time.Second) // virtual
			}
			require.Greater(t, time.Since(begin), 20*time.Second)
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)

			time.Sleep(httpapi.IdleTimeout / 2) // virtual: the deadline of the body is gone
			_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: l\r\n\r\n")
			require.NoError(t, err)
			resp, err = http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
		}
	})
}

func TestBatch_uploadDeadlineEndsWithTheUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(_ context.Context, _ laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
			time.Sleep(10 * time.Second) // virtual
			return hb, nil
		}
		a := withManager(t, laneswap.NewManager(laneswap.WithInterceptor(slow)))
		a.register("a")
		srv, l, _ := a.serve()
		left := make(chan error, 1)
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.h.ServeHTTP(w, r)
			left <- r.Context().Err()
		})
		body := `[{"service_id":"a"}` + strings.Repeat(" ", 100<<10) + `]`
		conn, begin := upload(t, l, len(body)), time.Now()
		_, err := io.WriteString(conn, body)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), 10*time.Second)
		require.NoError(t, <-left, "while the batch was applied the client seemed to hang up")
	})
}

func TestBatch_fastUploadIsStillBoundByTheReadTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		_, l, _ := a.serve()
		conn := upload(t, l, 8<<20)
		begin := time.Now()
		_, err := io.WriteString(conn, "["+strings.Repeat(" ", 8<<20-10))
		require.NoError(t, err)
		_, err = io.ReadAll(conn)
		require.NoError(t, err)
		require.Less(t, time.Since(begin), httpapi.ReadTimeout+time.Second)
	})
}
