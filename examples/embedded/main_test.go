package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRun_turnsHealthzRedWhileAJobHangs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hang, stuck := make(chan struct{}), make(chan struct{})
	job := func(ctx context.Context, n int) {
		switch n {
		case 3:
			close(stuck)
			<-hang
		default:
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, w, "127.0.0.1:0", 300*time.Millisecond, job)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	line := func() string {
		require.True(t, lines.Scan(), "the output ended: %v", lines.Err())
		return lines.Text()
	}
	url := strings.TrimPrefix(line(), "watch ")
	health := func() (int, string) {
		resp, err := http.Get(url)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, strings.TrimSpace(string(body))
	}

	<-stuck
	require.Regexp(t, `^worker is stale, was healthy, silent since `, line())
	code, body := health()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"unhealthy","detail":"worker is stale"}`, body)

	close(hang)
	require.Regexp(t, `^worker recovered and is healthy after \d`, line())
	code, body = health()
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ok"}`, body)

	cancel()
	require.False(t, lines.Scan(), "nothing more is said: %s", lines.Text())
	require.NoError(t, <-ended)
}
