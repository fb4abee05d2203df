package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/middleware"
)

// serve runs a handler under the middleware behind a real server.
func serve(t *testing.T, http2 bool, handle http.HandlerFunc) (*httptest.Server, *laneswap.Manager) {
	t.Helper()
	m := laneswap.NewManager()
	s := httptest.NewUnstartedServer(middleware.Heartbeat(m, laneswap.Registration{ID: "web"}, handle))
	s.EnableHTTP2 = http2
	if http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, m
}

// abilities is what a handler can find out about its writer by assertion.
func abilities(w http.ResponseWriter) string {
	var out []string
	if _, ok := w.(http.Flusher); ok {
		out = append(out, "flush")
	}
	if _, ok := w.(http.Hijacker); ok {
		out = append(out, "hijack")
	}
	return strings.Join(out, " ")
}

func TestRecorder_hasTheAbilitiesOfTheWriterBelow(t *testing.T) {
	t.Parallel()
	type plain struct{ http.ResponseWriter }
	type flusher struct {
		http.ResponseWriter
		http.Flusher
	}
	type hijacker struct {
		http.ResponseWriter
		http.Hijacker
	}
	type both struct {
		http.ResponseWriter
		http.Flusher
		http.Hijacker
	}
	inner := httptest.NewRecorder()
	for want, w := range map[string]http.ResponseWriter{
		"":             plain{inner},
		"flush":        flusher{inner, inner},
		"hijack":       hijacker{inner, nil},
		"flush hijack": both{inner, inner, nil},
	} {
		var got string
		var pushed error
		middleware.Observe(func(laneswap.Heartbeat) {}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			got = abilities(w)
			io.WriteString(w, "x")
			io.Copy(w, strings.NewReader("y"))
			pushed = w.(http.Pusher).Push("/", nil)
		})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, want, got)
		require.Equal(t, http.ErrNotSupported, pushed)
	}
	require.Equal(t, "xyxyxyxy", inner.Body.String())
}

func TestRecorder_keepsTheAbilitiesOfRealServers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		http2 bool
		want  string
	}{"HTTP/1.1": {false, "flush hijack"}, "HTTP/2": {true, "flush"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := serve(t, tc.http2, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, abilities(w)) })
			resp, err := s.Client().Get(s.URL)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, tc.want, string(body))
			require.Equal(t, tc.http2, resp.ProtoMajor == 2)
		})
	}
}

func TestRecorder_streamsEventsAndCountsThem(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%t", http2), func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{})
			s, m := serve(t, http2, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for i := range 3 {
					fmt.Fprintf(w, "data: %d\n\n", i)
					w.(http.Flusher).Flush()
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
				}
			})
			resp, err := s.Client().Get(s.URL)
			require.NoError(t, err)
			defer resp.Body.Close()
			lines := bufio.NewReader(resp.Body)
			for i := range 3 {
				line, err := lines.ReadString('\n')
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("data: %d\n", i), line)
				_, err = lines.ReadString('\n')
				require.NoError(t, err)
				// The beat follows the flush that let us read.
				require.Eventually(t, func() bool { return status(t, m, "web").Beats == uint64(i+1) }, 5*time.Second, time.Millisecond)
				next <- struct{}{}
			}
			_, err = lines.ReadByte()
			require.Equal(t, io.EOF, err)
		})
	}
}

func TestRecorder_flushOfAFailureIsNoHeartbeat(t *testing.T) {
	t.Parallel()
	var got told
	var flushed error
	ask(middleware.Observe(got.tell, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		flushed = http.NewResponseController(w).Flush()
	})), "GET", "/")
	require.NoError(t, flushed)
	require.Len(t, got, 1)
	require.Equal(t, laneswap.StatusError, got[0].Status)
}

func TestRecorder_handsTheConnectionOver(t *testing.T) {
	t.Parallel()
	s, m := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		rw.WriteString("echo " + line)
		rw.Flush()
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	rd := bufio.NewReader(conn)
	resp, err := http.ReadResponse(rd, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, laneswap.StatusHealthy, status(t, m, "web").Status, "alive while the connection is open")
	fmt.Fprintln(conn, "hello")
	line, err := rd.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "echo hello\n", line)
}

func TestRecorder_passesTheResponseControllerOn(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%t", http2), func(t *testing.T) {
			t.Parallel()
			late := make(chan error, 1)
			s, _ := serve(t, http2, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				if err := rc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
					panic(err)
				}
				if err := rc.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
					panic(err)
				}
				// A passed deadline that was really set makes writing fail.
				var err error
				for range 1000 {
					if _, err = w.Write(make([]byte, 1<<16)); err != nil {
						break
					}
				}
				late <- err
			})
			resp, err := s.Client().Get(s.URL)
			if err == nil {
				resp.Body.Close()
			}
			require.Error(t, <-late)
		})
	}
}

func TestRecorder_servesFilesWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "big")
	want := strings.Repeat("0123456789abcdef", 1<<16)
	require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	s, m := serve(t, false, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	resp, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if want != string(got) {
		t.Errorf("the file came through changed: %d bytes of %d", len(got), len(want))
	}
	require.Eventually(t, func() bool { return status(t, m, "web").Status == laneswap.StatusHealthy }, 5*time.Second, time.Millisecond)
}

// sendfiler is a writer that can tell how its bytes came.
type sendfiler struct {
	*httptest.ResponseRecorder
	readFrom int64
}

func (s *sendfiler) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, src)
	s.readFrom += n
	return n, err
}

func TestRecorder_usesTheReaderFromOfTheWriterBelow(t *testing.T) {
	t.Parallel()
	below := &sendfiler{ResponseRecorder: httptest.NewRecorder()}
	middleware.Observe(func(laneswap.Heartbeat) {}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.Copy(w, io.LimitReader(strings.NewReader("0123456789"), 7))
	})).ServeHTTP(below, httptest.NewRequest("GET", "/", nil))
	require.EqualValues(t, 7, below.readFrom)
}
