package cli_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/cmd/internal/cli"
)

// host is an address whose server can be exchanged, or be away.
type host struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	now   http.Handler
	tries int // while it was away
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := new(host)
	h.Server = httptest.NewServer(h)
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

// become exchanges the server; nil is none.
func (h *host) become(now http.Handler) {
	h.mu.Lock()
	h.now = now
	h.mu.Unlock()
	h.CloseClientConnections()
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	now := h.now
	if now == nil {
		h.tries++
	}
	h.mu.Unlock()
	if now == nil {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	now.ServeHTTP(w, r)
}

func (h *host) tried() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tries
}

// monitor is a server that has seen one service come up.
func monitor(t *testing.T, id core.ServiceID) http.Handler {
	t.Helper()
	m := core.NewManager()
	_, err := m.Announce(t.Context(), core.Registration{ID: id}, core.Heartbeat{})
	require.NoError(t, err)
	return httpapi.New(m)
}

func TestEvents_followSurvivesARestartThatTakesAWhile(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.become(monitor(t, "before"))
	stdout, stderr := new(buffer), new(buffer)
	stop, done := make(chan os.Signal), make(chan int, 1)
	go func() { // ends when stop is sent
		done <- cli.Laneswap(cli.Process{
			Args:   []string{"events", "--follow", "--after", "0", "--server", h.URL},
			Stdout: stdout, Stderr: stderr, Stop: stop,
		})
	}()
	eventually := func(holds func() bool) {
		require.Eventually(t, holds, 30*time.Second, 5*time.Millisecond, stderr)
	}
	eventually(func() bool { return strings.Contains(stdout.String(), "before") })

	// A server that has forgotten says so once, and is away again.
	h.become(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Connection", "close") // net/http tries a kept one twice
		w.WriteHeader(http.StatusGone)
		_, _ = w.Write([]byte(`{"status":410,"code":"gone","detail":"events no longer kept"}`))
		h.mu.Lock()
		h.now = nil
		h.mu.Unlock()
	}))
	eventually(func() bool { return h.tried() >= 1 })

	h.become(monitor(t, "afterwards"))
	eventually(func() bool { return strings.Contains(stdout.String(), "afterwards") })
	require.Equal(t, 2, strings.Count(stdout.String(), "\n"), stdout)
	require.Regexp(t, `^laneswap: some events are missing here: .*\nlaneswap: cannot reach the server, trying again: watch: server not reachable: .*\n$`, stderr.String())
	select {
	case code := <-done:
		require.Fail(t, "it ended", "with %d", code)
	case stop <- os.Interrupt:
	}
	require.Equal(t, cli.CodeOK, <-done)
}
