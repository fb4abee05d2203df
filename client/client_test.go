package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
)

// against returns a client of a server that answers so.
func against(t *testing.T, handler http.HandlerFunc, opts ...client.Option) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func beat(t *testing.T, c *client.Client) error {
	t.Helper()
	return c.Beat(t.Context(), "billing", laneswap.Heartbeat{})
}

func TestNew_refusesWhatIsNoServer(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "localhost:8000", "laneswap.example.com", "ftp://host", "http://", "http://user:s3cr3t/@host", "http://user:s3cr3t@ho st", "://",
	} {
		c, err := client.New(address)
		require.Error(t, err, address)
		require.Nil(t, c)
		require.NotContains(t, err.Error(), "s3cr3t")
	}
	_, err := client.New("http://localhost", client.WithTimeout(0))
	require.ErrorContains(t, err, "timeout")
}

func TestClient_sendsPathCredentialsQueryAndName(t *testing.T) {
	t.Parallel()
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	address := strings.Replace(server.URL, "://", "://al%40ice:p%2Fw@", 1) + "/moni%20tor/?token=t%26k&x=1#here"
	c, err := client.New(address, client.WithUserAgent("billing/1.2"))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Beat(t.Context(), "a/b:c@d", laneswap.Heartbeat{}))
	require.Equal(t, "/moni%20tor/api/services/a%2Fb:c@d/heartbeat", got.URL.EscapedPath())
	require.Equal(t, "t&k", got.URL.Query().Get("token"))
	user, password, _ := got.BasicAuth()
	require.Equal(t, "al@ice", user)
	require.Equal(t, "p/w", password)
	require.Equal(t, "billing/1.2", got.UserAgent())
	require.Zero(t, got.ContentLength, "an empty beat has no body")
	require.Equal(t, "return=minimal", got.Header.Get("Prefer"))
	require.NotContains(t, got.Header, "Idempotency-Key")

	for _, err := range c.Services(t.Context(), laneswap.ServiceQuery{Name: "n&m"}) {
		require.Error(t, err) // 204 is no list
	}
	require.Equal(t, "t&k", got.URL.Query().Get("token"))
	require.Equal(t, "n&m", got.URL.Query().Get("name"))
}

func TestClient_namesItselfByDefault(t *testing.T) {
	t.Parallel()
	var name atomic.Value
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		name.Store(r.UserAgent())
		w.WriteHeader(http.StatusNoContent)
	})
	require.NoError(t, beat(t, c))
	require.Equal(t, "laneswap-go/"+laneswap.Version, name.Load())
}

func TestClient_errorsHoldNoSecretOfTheURL(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t/väl ue"
	leak := roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("cannot reach %v as %v", r.URL, r.URL.User)
	})
	for name, transport := range map[string]http.RoundTripper{"refused": nil, "a transport that quotes": leak} {
		c, err := client.New("http://us3r:s3cr3t%2Fv%C3%A4l%20ue@127.0.0.1:1/?token=s3cr3t%2Fv%C3%A4l+ue", client.WithHTTPClient(&http.Client{Transport: transport}))
		require.NoError(t, err)
		_, watchErr := c.Watch(t.Context(), laneswap.WatchQuery{})
		_, registerErr := c.Register(t.Context(), laneswap.Registration{ID: "billing"})
		errs := []error{beat(t, c), watchErr, registerErr}
		for _, err := range c.Services(t.Context(), laneswap.ServiceQuery{}) {
			errs = append(errs, err)
		}
		for _, err := range errs {
			require.ErrorIs(t, err, client.ErrUnreachable, name)
			require.ErrorIs(t, err, laneswap.ErrLaneSwap, name)
			for ; err != nil; err = errors.Unwrap(err) {
				for _, bad := range []string{"s3cr3t", "us3r", secret, "token=", "/api/"} {
					if name == "refused" || bad != "/api/" && bad != "token=" {
						require.NotContains(t, err.Error(), bad, name)
					}
				}
			}
		}
		if transport == nil {
			require.ErrorContains(t, beat(t, c), `laneswap: beat "billing": server not reachable: dial tcp 127.0.0.1:1: `)
		}
	}
}

func TestClient_rebuildsTheErrorsOfTheManager(t *testing.T) {
	t.Parallel()
	problem := func(status int, body string) *client.Client {
		return against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	for _, code := range []string{
		"service-not-found", "invalid-service-id", "invalid-registration", "invalid-heartbeat", "invalid-query", "too-many-services",
		"storage", "not-started", "stopped", "slow-consumer", "gone",
	} {
		err := beat(t, problem(http.StatusTeapot, fmt.Sprintf(`{"code":%q,"detail":"x"}`, code)))
		sentinel := laneswap.ErrorFromCode(code)
		require.ErrorIs(t, err, sentinel)
		require.ErrorIs(t, err, laneswap.ErrLaneSwap)
		require.EqualError(t, err, `laneswap: beat "billing": `+sentinel.Error())
		var answered *client.ResponseError
		require.ErrorAs(t, err, &answered)
		require.Equal(t, http.StatusTeapot, answered.StatusCode)
		require.Equal(t, code, answered.Code)
	}
	err := beat(t, problem(422, `{"code":"invalid-heartbeat","field":"metadata.cpu","detail":"metadata.cpu is \u001b[1mbad"}`))
	var invalid *laneswap.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, &laneswap.ValidationError{Field: "metadata.cpu", Problem: "is [1mbad", Err: laneswap.ErrInvalidHeartbeat}, invalid)
	require.EqualError(t, err, `laneswap: beat "billing": metadata.cpu is [1mbad`)

	err = beat(t, problem(400, `{"code":"bad-request","field":"message","detail":"message must be a string"}`))
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, &laneswap.ValidationError{Field: "message", Problem: "must be a string", Err: laneswap.ErrInvalidHeartbeat}, invalid)

	err = beat(t, problem(422, `{"code":"invalid-heartbeat","detail":"report \"billing\": invalid heartbeat: too hot"}`))
	require.EqualError(t, err, `laneswap: beat "billing": invalid heartbeat: too hot`)

	err = beat(t, problem(502, "<html>Bad Gateway of a proxy</html>"))
	require.EqualError(t, err, `laneswap: beat "billing": server answered 502 Bad Gateway`)
	require.ErrorIs(t, err, laneswap.ErrLaneSwap)
	require.NotErrorIs(t, err, client.ErrUnreachable)

	err = beat(t, problem(429, `{"code":"later","detail":"`+strings.Repeat("long ", 5000)+`"}`))
	require.Less(t, len(err.Error()), 1200)
}

func TestClient_tooManyServicesTravels(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{Services: 1}))
	c := against(t, httpapi.New(m).ServeHTTP)
	_, err := c.Register(t.Context(), laneswap.Registration{ID: "a"})
	require.NoError(t, err)
	_, err = c.Register(t.Context(), laneswap.Registration{ID: "b"})
	_, want := m.Register(t.Context(), laneswap.Registration{ID: "b"})
	require.ErrorIs(t, err, laneswap.ErrTooManyServices)
	require.Equal(t, want.Error(), err.Error())
}

func TestClient_stoppedAndNotStartedTravel(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithNotifier(laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { return nil })))
	c := against(t, httpapi.New(m).ServeHTTP)
	require.ErrorIs(t, beat(t, c), laneswap.ErrNotStarted)
	require.NoError(t, m.Start(t.Context()))
	require.NoError(t, m.Stop(t.Context()))
	require.ErrorIs(t, beat(t, c), laneswap.ErrStopped)
	var answered *client.ResponseError
	require.ErrorAs(t, beat(t, c), &answered)
	require.Equal(t, time.Second, answered.RetryAfter)
}

func TestClient_followsNoRedirect(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	require.EqualError(t, beat(t, c), `laneswap: beat "billing": server answered 307 Temporary Redirect`)
	_, err := c.Watch(t.Context(), laneswap.WatchQuery{})
	require.ErrorContains(t, err, "307")
	require.Zero(t, elsewhere.Load())
}

func TestClient_callsAreBoundedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		l.serve(hanging())
		for _, c := range []struct {
			want time.Duration
			opts []client.Option
		}{{client.DefaultTimeout, nil}, {3 * time.Second, []client.Option{client.WithTimeout(3 * time.Second)}}} {
			began := time.Now()
			cl := l.client(c.opts...)
			err := beat(t, cl)
			require.ErrorIs(t, err, client.ErrUnreachable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, fmt.Sprintf(`laneswap: beat "billing": server not reachable: no answer within %v`, c.want))
			require.Equal(t, c.want, time.Since(began))
			_, err = cl.Watch(t.Context(), laneswap.WatchQuery{})
			require.ErrorIs(t, err, client.ErrUnreachable)
			require.Equal(t, 2*c.want, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.client().Beat(ctx, "a", laneswap.Heartbeat{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, client.ErrUnreachable, "the caller's own deadline")
	})
}

// Of such an answer net/http hands out the bare connection, which no context ends.
func TestClient_aSwitchOfProtocolsThatNobodyAskedForHangsNobody(t *testing.T) {
	t.Parallel()
	held := make(chan net.Conn, 4)
	c := against(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			held <- conn
		}
	}, client.WithTimeout(5*time.Second))
	done := make(chan error, 1)
	go func() { done <- beat(t, c) }()
	select {
	case err := <-done:
		require.ErrorIs(t, err, client.ErrUnreachable)
	case <-time.After(20 * time.Second):
		t.Error("the call has not returned")
	}
	(<-held).Close()
}

func TestClient_answersAreBoundedInSize(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	endless := func(status int) *client.Client {
		return against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			block := []byte(strings.Repeat(" ", 1<<16))
			for r := 0; r < 1<<12; r++ { // a quarter of a gigabyte
				n, err := w.Write(block)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	_, err := endless(http.StatusOK).Service(t.Context(), "a")
	require.ErrorContains(t, err, "longer than 4194304 bytes")
	require.ErrorIs(t, err, laneswap.ErrLaneSwap)
	err = beat(t, endless(http.StatusBadGateway))
	require.ErrorContains(t, err, "502")
	require.Less(t, written.Load(), int64(64<<20))
}

func TestClient_answersOfOthersAreErrors(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "OK", "[]", `"x"`, `{"services":[],"events":{},"heartbeats":7,"total":"x","id":5,"service_id":5}`} {
		c := against(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		_, err := c.Service(t.Context(), "a")
		require.ErrorIs(t, err, laneswap.ErrLaneSwap, body)
		_, err = c.Register(t.Context(), laneswap.Registration{ID: "a"})
		require.ErrorIs(t, err, laneswap.ErrLaneSwap, body)
		_, err = c.Report(t.Context(), "a", laneswap.Heartbeat{})
		require.ErrorIs(t, err, laneswap.ErrLaneSwap, body)
		_, err = c.Summary(t.Context())
		require.ErrorIs(t, err, laneswap.ErrLaneSwap, body)
		_, err = c.Watch(t.Context(), laneswap.WatchQuery{})
		require.ErrorIs(t, err, laneswap.ErrLaneSwap, body)
	}
}

func TestClient_listingThatGoesBackEnds(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"services":{},"next":"a"}`) })
	var last error
	for _, err := range c.Services(t.Context(), laneswap.ServiceQuery{}) {
		last = err
	}
	require.ErrorIs(t, last, laneswap.ErrLaneSwap)
}

func TestClient_registrationIsWholeWhicheverTheServerAnswers(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	handler := httpapi.New(m)
	for _, whole := range []bool{true, false} {
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || !whole {
				r.Header.Del("Prefer")
				handler.ServeHTTP(w, r)
				return
			}
			st, err := m.Service(r.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			data, err := st.MarshalJSON()
			if err != nil {
				t.Error(err)
			}
			_, _ = fmt.Fprintf(w, `{"service_id":"a",%s`, data[1:])
		})
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", Name: "A", Interval: time.Hour})
		require.NoError(t, err)
		want, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		st, err := c.Register(t.Context(), laneswap.Registration{ID: "a", Interval: time.Hour})
		require.NoError(t, err)
		require.Equal(t, want.Name, st.Name)
		require.Equal(t, want.CreatedAt, st.CreatedAt)
		require.Equal(t, want.Deadline, st.Deadline)
	}
}

func TestClient_keepsConnectionsInUse(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	_, err := m.Register(t.Context(), laneswap.Registration{ID: "billing"})
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(httpapi.New(m))
	var opened atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c, err := client.New(server.URL)
	require.NoError(t, err)
	defer c.Close()
	for range 20 {
		require.NoError(t, beat(t, c))
		_, err := c.Service(t.Context(), "billing")
		require.NoError(t, err)
		require.Error(t, c.Beat(t.Context(), "nobody", laneswap.Heartbeat{}))
	}
	require.EqualValues(t, 1, opened.Load(), "every answer was read off")
}

func TestClient_copesWithAConnectionThatEndsUnderACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		well := server.next
		c := l.client()
		_, err := c.Register(t.Context(), laneswap.Registration{ID: "billing"})
		require.NoError(t, err)
		var calls atomic.Int32
		server.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1)%2 == 1 { // as when the server closed it just before
				panic(http.ErrAbortHandler)
			}
			well.ServeHTTP(w, r)
		}))
		for range 10 {
			require.NoError(t, beat(t, c))
			_, err := c.Register(t.Context(), laneswap.Registration{ID: "billing"})
			require.NoError(t, err)
		}
		before := calls.Load()
		_, err = c.Register(t.Context(), laneswap.Registration{Name: "without an id"})
		require.ErrorIs(t, err, client.ErrUnreachable, "sent twice it might make two services")
		require.Equal(t, before+1, calls.Load())
	})
}

func TestClient_copesWithConnectionsThatTheServerClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		c := l.client()
		_, err := c.Register(t.Context(), laneswap.Registration{ID: "billing"})
		require.NoError(t, err)
		for range 20 {
			l.down() // the connection that is kept is dead now
			l.serve(server)
			require.NoError(t, beat(t, c))
		}
	})
}
