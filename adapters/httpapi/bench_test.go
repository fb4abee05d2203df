package httpapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// benchConns is how many connections send at once.
const benchConns = 16

// wire is a client connection that costs as little as possible: the server is
// what is measured.
type wire struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func (w *wire) exchange() error {
	if _, err := w.conn.Write(w.request); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 20")) {
			return fmt.Errorf("answer %q", line)
		}
		if len(line) == 2 {
			_, err := w.in.Discard(length)
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}

// dialAll serves h on loopback and connects to it.
func dialAll(b *testing.B, srv *http.Server, request string) []*wire {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	b.Cleanup(func() {
		_ = srv.Close()
		require.ErrorIs(b, <-ended, http.ErrServerClosed)
	})
	wires := make([]*wire, benchConns)
	for i := range wires {
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(b, err)
		b.Cleanup(func() { conn.Close() })
		wires[i] = &wire{conn, bufio.NewReader(conn), []byte(request)}
	}
	return wires
}

// burst sends n requests over each connection and returns how long it took.
func burst(b *testing.B, wires []*wire, n int) time.Duration {
	b.Helper()
	begin := time.Now()
	errs := make(chan error, len(wires))
	for _, w := range wires {
		go func() {
			for range n {
				if err := w.exchange(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range wires {
		require.NoError(b, <-errs)
	}
	return time.Since(begin)
}

// BenchmarkBeat sends heartbeats over loopback, and as many requests to an empty
// net/http handler in turns, so that both see the same machine. "of-empty" is
// the throughput of beats as a part of that of the empty handler.
func BenchmarkBeat(b *testing.B) {
	body := `{"status":"healthy","message":"queue drained","metadata":{"cpu":12.5,"queue":0,"version":"1.2.3","region":"eu-1"}}`
	for _, c := range []struct{ name, head, body string }{
		{"full", "", body},
		{"full minimal answer", "Prefer: return=minimal\r\n", body},
		{"empty", "", ""},
		{"empty minimal answer", "Prefer: return=minimal\r\n", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := laneswap.NewManager()
			_, err := m.Register(b.Context(), laneswap.Registration{ID: "bench", Interval: 30 * time.Second})
			require.NoError(b, err)
			request := fmt.Sprintf("POST /api/services/bench/heartbeat HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", c.head, len(c.body), c.body)
			beats := dialAll(b, httpapi.NewServer(httpapi.New(m)), request)
			empty := dialAll(b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusNoContent)
			})}, request)
			burst(b, beats, 20)
			burst(b, empty, 20)

			const each = 20
			var beating, nothing time.Duration
			sent := 0
			for b.Loop() {
				beating += burst(b, beats, each)
				nothing += burst(b, empty, each)
				sent += benchConns * each
			}
			b.ReportMetric(float64(sent)/beating.Seconds(), "beats/s")
			b.ReportMetric(float64(sent)/nothing.Seconds(), "empty/s")
			b.ReportMetric(nothing.Seconds()/beating.Seconds(), "of-empty")
			b.ReportMetric(0, "ns/op") // of a round of both: says nothing
		})
	}
}

// BenchmarkBatch is a thousand heartbeats in one request, without a network.
func BenchmarkBatch(b *testing.B) {
	a := newAPI(b)
	var body bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&body, "{\"service_id\":\"s%d\",\"status\":\"healthy\"}\n", i)
	}
	a.chunked("/api/heartbeats?create=1", body.String()).want(200)
	for b.Loop() {
		if rec := a.post("/api/heartbeats", bytes.NewReader(body.Bytes())); !bytes.Contains(rec.Body.Bytes(), []byte(`"accepted":1000`)) {
			b.Fatal(rec.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/beat")
}
