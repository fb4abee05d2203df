package httppost_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/httppost"
)

var now = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

func retryAfter(text string) (time.Duration, bool) {
	return httppost.RetryAfter(http.Header{"Retry-After": {text}}, now)
}

func TestRetryAfter_isSecondsOrADate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, " 120 ": 2 * time.Minute, "0.5": 500 * time.Millisecond, "86400": 24 * time.Hour, "86401": httppost.MaxDelay,
		"4294967295": httppost.MaxDelay, "4294967296": httppost.MaxDelay, strings.Repeat("9", 400): httppost.MaxDelay,
		now.Add(time.Minute).Format(http.TimeFormat):     time.Minute,
		now.Add(time.Minute).Format(time.ANSIC):          time.Minute,
		now.Add(300 * time.Hour).Format(http.TimeFormat): httppost.MaxDelay,
	} {
		d, ok := retryAfter(text)
		require.True(t, ok, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{
		"", " ", "-1", "+1", "1.2.3", ".", "0x10", "1e3", "soon", "NaN", "Inf", "１２０",
		now.Format(http.TimeFormat), now.Add(-time.Hour).Format(http.TimeFormat), now.Add(time.Hour).Format(time.RFC3339),
	} {
		d, ok := retryAfter(text)
		require.False(t, ok, text)
		require.Zero(t, d, text)
	}
}

func FuzzRetryAfter_isBounded(f *testing.F) {
	f.Add("120")
	f.Add(now.Format(http.TimeFormat))
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(string) (time.Duration, bool){retryAfter, httppost.Seconds} {
			d, ok := read(text)
			require.True(t, ok || d == 0)
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.LessOrEqual(t, d, httppost.MaxDelay)
		}
	})
}

type safe struct{}

func (safe) Error() string  { return "refused by the notifier" }
func (safe) HoldsNoSecret() {}

func TestFailure_showsNothingFromOutside(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, tc := range map[string]struct {
		ctx context.Context
		err error
	}{
		"no answer: context canceled":                                     {ended, errors.New("canary")},
		"no answer in time: context deadline exceeded":                    {t.Context(), fmt.Errorf("canary: %w", context.DeadlineExceeded)},
		"the name of the server does not exist in DNS":                    {t.Context(), &net.DNSError{Name: "canary", IsNotFound: true}},
		"DNS does not answer":                                             {t.Context(), &net.DNSError{Name: "canary", IsTimeout: true}},
		"the server does not speak TLS":                                   {t.Context(), fmt.Errorf("canary: %w", http.ErrSchemeMismatch)},
		"the server closed the connection before its answer was complete": {t.Context(), fmt.Errorf("canary: %w", io.ErrUnexpectedEOF)},
		"the connection to the server failed: connection refused":         {t.Context(), &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("canary: %w", syscall.ECONNREFUSED)}},
		"refused by the notifier":                                         {t.Context(), fmt.Errorf("canary: %w", safe{})},
		"the request failed":                                              {t.Context(), fmt.Errorf("canary: %w", errors.New("canary"))},
	} {
		err := httppost.Failure(tc.ctx, &url.Error{Op: "Post", URL: "https://example.org/canary", Err: tc.err})
		require.EqualError(t, err, want)
		for ; err != nil; err = errors.Unwrap(err) {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "canary")
		}
	}
}

func TestDo_readsAnswersWithinBounds(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "0123456789")
		if r.URL.Path == "/hangs" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	do := func(path string, limit int64) httppost.Answer {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, nil)
		require.NoError(t, err)
		a, err := httppost.Do(httppost.Client(server.Client()), req, limit, 50*time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, a.Status)
		return a
	}
	a := do("/", 100)
	require.NoError(t, a.Err)
	require.Equal(t, "0123456789", string(a.Body))
	a = do("/hangs", 100)
	require.ErrorIs(t, a.Err, context.DeadlineExceeded)
	require.Equal(t, "0123456789", string(a.Body))
	a = do("/hangs", 4)
	require.NoError(t, a.Err, "the limit ends the body")
	require.Equal(t, "0123", string(a.Body))
}
