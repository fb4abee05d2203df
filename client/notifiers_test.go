package client_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func TestExplain_asksForTheWholeID(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 20, 0, 0, 1_000_000, time.UTC)
	want := laneswap.Explanation{
		Event: laneswap.Event{ID: "a@b/x-1/1", Sequence: 3, Kind: laneswap.EventDown, Service: "a@b", From: "healthy", To: "error", At: at},
		Notices: []laneswap.NoticeTrace{{
			Notifier: "discord", State: laneswap.NoticeSent, MessageID: "123", Attempts: 2,
			Steps: []laneswap.TraceStep{{At: at, Text: "threshold 1 of 2"}, {At: at.Add(time.Second), Text: "sent as message 123"}},
		}},
	}
	var asked *http.Request
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		_ = json.NewEncoder(w).Encode(want)
	})
	got, err := c.Explain(t.Context(), "a@b/x-1/1")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, "/api/events/a@b%2Fx-1%2F1/explain", asked.URL.EscapedPath())
	require.Equal(t, "GET", asked.Method)
	_, err = c.Explain(t.Context(), "/laneswap/x")
	require.NoError(t, err)
	require.Equal(t, "/api/events/%2Flaneswap%2Fx/explain", asked.URL.EscapedPath())
	_, err = against(t, says(200, "[]")).Explain(t.Context(), "a/1")
	require.ErrorIs(t, err, laneswap.ErrLaneSwap)
}

func TestNotifiers_areAskedFor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	want := []laneswap.NotifierStatus{
		{Name: "discord", State: laneswap.NotifierRetrying, Waiting: 3, Oldest: at, Sent: 7, Dead: 1, LastSent: at, LastError: "503", LastErrorAt: at, RetryAt: at},
		{Name: "slog", State: laneswap.NotifierOK},
	}
	var asked *http.Request
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		_ = json.NewEncoder(w).Encode(map[string]any{"notifiers": want})
	})
	got, err := c.Notifiers(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, "/api/notifiers", asked.URL.EscapedPath())
	_, err = against(t, says(503, `{"status":503,"code":"not-started","detail":"notifiers: manager not started"}`)).Notifiers(t.Context())
	require.ErrorIs(t, err, laneswap.ErrNotStarted)
	require.EqualError(t, err, "laneswap: notifiers: manager not started")
}

func TestTestNotifier_saysWhatCameBack(t *testing.T) {
	t.Parallel()
	var asked *http.Request
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		says(200, `{"notifier":"discord#2","delivered":false,"error":"404 Not Found"}`)(w, r)
	})
	got, err := c.TestNotifier(t.Context(), "discord#2")
	require.NoError(t, err, "that it was not delivered is none")
	require.Equal(t, laneswap.NotifierTest{Notifier: "discord#2", Error: "404 Not Found"}, got)
	require.Equal(t, "/api/notifiers/discord%232/test", asked.URL.EscapedPath())
	require.Equal(t, "POST", asked.Method)
	require.Zero(t, asked.ContentLength)

	_, err = against(t, says(404, `{"status":404,"code":"notifier-not-found","detail":"test notifier \"x\": notifier not found"}`)).TestNotifier(t.Context(), "x")
	require.ErrorIs(t, err, laneswap.ErrNotifierNotFound)
	require.EqualError(t, err, `laneswap: test notifier "x": notifier not found`)
}

func TestClient_whatCannotTravelInAPathIsNotFound(t *testing.T) {
	t.Parallel()
	c := against(t, func(http.ResponseWriter, *http.Request) { t.Error("asked all the same") })
	for _, name := range []string{"", ".", "..", "a\xff", strings.Repeat("x", 5000)} {
		_, err := c.Explain(t.Context(), name)
		require.ErrorIs(t, err, laneswap.ErrEventNotFound)
		_, err = c.TestNotifier(t.Context(), name)
		require.ErrorIs(t, err, laneswap.ErrNotifierNotFound)
	}
}

// slowly is a client of a server that answers after that time.
func slowly(t *testing.T, after time.Duration) *client.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() { // ends when the client hangs up
			defer far.Close()
			timer := time.AfterFunc(after, func() {
				_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n"+`{"notifier":"a","delivered":true  }`)
			})
			defer timer.Stop()
			_, _ = io.Copy(io.Discard, far)
		}()
		return near, nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New("http://l", client.WithHTTPClient(&http.Client{Transport: transport}), client.WithTimeout(time.Second))
	require.NoError(t, err)
	return c
}

func TestTestNotifier_waitsLongerThanOtherCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test, err := slowly(t, 90*time.Second).TestNotifier(t.Context(), "a")
		require.NoError(t, err)
		require.True(t, test.Delivered)
		_, err = slowly(t, 2*time.Second).Explain(t.Context(), "a/1")
		require.ErrorIs(t, err, client.ErrUnreachable)
		_, err = slowly(t, 92*time.Second).TestNotifier(t.Context(), "a")
		require.ErrorIs(t, err, client.ErrUnreachable)
		require.ErrorContains(t, err, "no answer within 1m31s")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = slowly(t, time.Hour).TestNotifier(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, client.ErrUnreachable)
	})
}
