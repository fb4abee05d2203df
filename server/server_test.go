package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestMain runs more tests at a time than there are processors, since they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0))))
	os.Exit(m.Run())
}

// settings are the defaults on a free loopback port, in memory.
func settings(change func(*config.Config)) config.Config {
	cfg := config.Default()
	cfg.Host, cfg.Port, cfg.Storage = "127.0.0.1", 0, config.StorageMemory
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// running is a server that is being run.
type running struct {
	*server.Server
	log  *logBuffer
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, cfg config.Config, opts ...server.Option) running {
	t.Helper()
	log := new(logBuffer)
	s, err := server.Open(cfg, append([]server.Option{server.WithLogOutput(log)}, opts...)...)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	r := running{Server: s, log: log, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		_ = s.Close() // what Run returned is the test's affair
	})
	return r
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestServer_servesItsManager(t *testing.T) {
	t.Parallel()
	s := run(t, settings(nil))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: "billing"})
	require.NoError(t, err)
	code, body := get(t, s.URL()+"/api/services/billing")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `"billing"`)

	s.stop()
	require.NoError(t, <-s.done)
	require.Regexp(t, `(?m)^time=\S+ level=INFO msg=listening url=`+regexp.QuoteMeta(s.URL())+` address=127\.0\.0\.1:\d+ storage=memory notifiers=slog$`, s.log.String())
	require.ErrorIs(t, s.Manager().Remove(context.Background(), "billing"), laneswap.ErrStopped)
}

func TestServer_tellsTransitionsInItsLog(t *testing.T) {
	t.Parallel()
	s := run(t, settings(func(c *config.Config) { c.LogFormat = "json" }))
	require.Eventually(t, func() bool {
		_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: "billing"})
		return err == nil
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Manager().Beat(t.Context(), "billing", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "no disk"}))
	s.stop()
	require.NoError(t, <-s.done, "stopping delivers what is owed")
	require.Contains(t, s.log.String(), `"msg":"billing is error, was unknown: no disk"`)
	for _, line := range strings.Split(strings.TrimSpace(s.log.String()), "\n") {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

func TestServer_saysWhereItListensAtEveryLogLevel(t *testing.T) {
	t.Parallel()
	s := run(t, settings(func(c *config.Config) { c.LogLevel = 8 }))
	get(t, s.URL()+"/healthz")
	s.stop()
	require.NoError(t, <-s.done)
	require.Contains(t, s.log.String(), "url="+s.URL())
	require.Equal(t, 1, strings.Count(s.log.String(), "\n"))
}

func TestServer_stopsInTimeWithOpenStreams(t *testing.T) {
	t.Parallel()
	s := run(t, settings(nil))
	var streams []*bufio.Reader
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/api/events/stream?after=0", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		streams = append(streams, bufio.NewReader(res.Body))
	}
	begun := time.Now()
	s.stop()
	require.NoError(t, <-s.done)
	require.Less(t, time.Since(begun), 10*time.Second)
	for _, stream := range streams {
		_, err := io.ReadAll(stream)
		require.NoError(t, err, "the stream ends properly")
	}
	_, err := net.Dial("tcp", s.Addr().String())
	require.Error(t, err)
}

func TestServer_stopsInTimeWhateverHangs(t *testing.T) {
	t.Parallel()
	require.Less(t, server.StopLimit, 10*time.Second)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	stuck := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
		<-release
		return nil
	})
	s := run(t, settings(nil), server.WithManagerOptions(laneswap.WithNotifier(stuck)), server.WithQuickStop())
	conn, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /api/services HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err = s.Manager().Register(t.Context(), laneswap.Registration{ID: "a"})
	require.NoError(t, err)
	require.NoError(t, s.Manager().Beat(t.Context(), "a", laneswap.Heartbeat{Status: laneswap.StatusError}))
	begun := time.Now()
	s.stop()
	require.ErrorIs(t, <-s.done, laneswap.ErrNotifier)
	require.Less(t, time.Since(begun), 3*time.Second)
}

func TestServer_saysAnAddressThatCanBeReached(t *testing.T) {
	t.Parallel()
	for host, want := range map[config.Host]string{
		"0.0.0.0": "http://127.0.0.1:", "::": "http://[::1]:", "127.0.0.1": "http://127.0.0.1:", "localhost": "http://127.0.0.1:",
	} {
		s, err := server.Open(settings(func(c *config.Config) { c.Host = host }))
		if host == "::" && err != nil {
			continue // there is no IPv6 here
		}
		require.NoError(t, err)
		require.Contains(t, s.URL(), want)
		require.NoError(t, s.Close())
	}
}

func TestServer_closeEndsRunAndMayComeTwice(t *testing.T) {
	t.Parallel()
	s := run(t, settings(nil))
	get(t, s.URL()+"/healthz")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.NoError(t, <-s.done)

	unused, err := server.Open(settings(nil))
	require.NoError(t, err)
	require.NoError(t, unused.Close())
	l, err := net.Listen("tcp", unused.Addr().String())
	require.NoError(t, err, "the address is free again")
	require.NoError(t, l.Close())
}

func TestOpen_saysThatTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	s, err := server.Open(settings(nil))
	require.NoError(t, err)
	defer s.Close()
	port := s.Addr().(*net.TCPAddr).Port
	_, err = server.Open(settings(func(c *config.Config) { c.Port = port }))
	require.ErrorContains(t, err, fmt.Sprintf("server: cannot listen on 127.0.0.1:%d: ", port))
	require.ErrorContains(t, err, "address already in use")
}

func TestServer_refusesToRunWithSettingsOutOfRange(t *testing.T) {
	t.Parallel()
	s, err := server.Open(settings(func(c *config.Config) { c.StaleThreshold = time.Nanosecond }))
	require.NoError(t, err)
	err = s.Run(t.Context())
	require.ErrorIs(t, err, laneswap.ErrInvalidOption)
	require.ErrorContains(t, err, "stale_threshold")

	s, err = server.Open(settings(func(c *config.Config) { c.Retention = time.Second }))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = s.Run(ctx)
	require.ErrorIs(t, err, laneswap.ErrInvalidOption)
	require.ErrorContains(t, err, "retention")
}

func TestServer_holdsNoMoreConnectionsThanItMay(t *testing.T) {
	t.Parallel()
	s := run(t, settings(func(c *config.Config) { c.MaxConnections = 1 }))
	first, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer first.Close()
	const request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	_, err = io.WriteString(first, request)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(first), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)

	second, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer second.Close()
	_, err = io.WriteString(second, request)
	require.NoError(t, err)
	require.NoError(t, second.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err = second.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout, "it waits")
	require.True(t, timeout.Timeout())

	require.NoError(t, first.Close())
	require.NoError(t, second.SetReadDeadline(time.Now().Add(10*time.Second)))
	res, err = http.ReadResponse(bufio.NewReader(second), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestServer_servesPprofOnLoopbackOnlyInDebug(t *testing.T) {
	t.Parallel()
	s := run(t, settings(func(c *config.Config) { c.Debug = true }))
	var base string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`msg="serving pprof" url=(http://127\.0\.0\.1:\d+/debug/pprof/)`).FindStringSubmatch(s.log.String())
		if m != nil {
			base = m[1]
		}
		return m != nil
	}, 10*time.Second, time.Millisecond)
	code, body := get(t, base)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "goroutine?debug=1")
	_, body = get(t, base+"goroutine?debug=1")
	require.Contains(t, body, "goroutine profile: total")
	_, body = get(t, base+"trace?seconds=1")
	require.True(t, strings.HasPrefix(body, "go 1."), "a trace")
	code, _ = get(t, base+"none")
	require.Equal(t, http.StatusNotFound, code)
	code, _ = get(t, s.URL()+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code, "not where the API is")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base, nil)
	require.NoError(t, err)
	req.Host = "rebound.example.org"
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode)
}
