package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
)

func TestRun_isWatchedThroughItsRequests(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	require.NoError(t, m.Start(t.Context()))
	monitor := httptest.NewServer(httpapi.New(m))
	defer monitor.Close()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, w, monitor.URL, "127.0.0.1:0") }()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	id, url, found := strings.Cut(strings.TrimSpace(line), " listens on ")
	require.True(t, found, line)
	require.EqualValues(t, client.DefaultID("simple_service"), id)

	get := func(path string) {
		resp, err := http.Get(url + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	becomes := func(want laneswap.Status, message string) {
		t.Helper()
		var st laneswap.ServiceStatus
		require.Eventually(t, func() bool {
			st, err = m.Service(t.Context(), laneswap.ServiceID(id))
			return err == nil && st.Status == want
		}, 15*time.Second, 5*time.Millisecond, "it never became %s", want)
		require.Equal(t, message, st.Message)
	}
	get("/hello/you")
	becomes(laneswap.StatusHealthy, "")
	get("/fail")
	becomes(laneswap.StatusError, "GET /fail: 500 Internal Server Error")
	get("/hello/you")
	becomes(laneswap.StatusHealthy, "")
	cancel()
	require.NoError(t, <-ended)
	becomes(laneswap.StatusShutdown, "")
}
