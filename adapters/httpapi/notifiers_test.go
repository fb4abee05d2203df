package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// alerting is a Manager whose notifiers are whatever a test needs.
type alerting struct {
	*laneswap.Manager
	explanations map[string]laneswap.Explanation
	notifiers    []laneswap.NotifierStatus
	health       laneswap.Health
	err          error
	test         func(ctx context.Context, name string) (laneswap.NotifierTest, error)
}

func newAlerting() *alerting { return &alerting{Manager: laneswap.NewManager()} }

func (f *alerting) api(t testing.TB, opts ...httpapi.Option) *api {
	t.Helper()
	a := &api{t: t, m: f.Manager, h: httpapi.NewFake(f, opts...)}
	t.Cleanup(a.h.Close)
	return a
}

func (f *alerting) Explain(_ context.Context, id string) (laneswap.Explanation, error) {
	if f.err != nil {
		return laneswap.Explanation{}, f.err
	}
	explained, ok := f.explanations[id]
	if !ok {
		return explained, fmt.Errorf("laneswap: explain %q: %w", id, laneswap.ErrEventNotFound)
	}
	return explained, nil
}

func (f *alerting) Notifiers(context.Context) ([]laneswap.NotifierStatus, error) {
	return f.notifiers, f.err
}

func (f *alerting) TestNotifier(ctx context.Context, name string) (laneswap.NotifierTest, error) {
	return f.test(ctx, name)
}

func (f *alerting) Health() laneswap.Health { return f.health }

func TestExplain_idMayBeEscapedOrNot(t *testing.T) {
	t.Parallel()
	f := newAlerting()
	f.explanations = map[string]laneswap.Explanation{}
	for _, id := range []string{"a/x-1/2", "/laneswap/x", "explain", "a b/x-1/1", "one/two/three/x-1/1"} {
		f.explanations[id] = laneswap.Explanation{Event: laneswap.Event{ID: id}}
	}
	a := f.api(t)
	for target, id := range map[string]string{
		"a%2Fx-1%2F2": "a/x-1/2", "a/x-1/2": "a/x-1/2", "a%2Fx-1/2": "a/x-1/2", "%2Flaneswap%2Fx": "/laneswap/x", "/laneswap/x": "/laneswap/x",
		"explain": "explain", "a%20b%2Fx-1%2F1": "a b/x-1/1", "one%2Ftwo%2Fthree%2Fx-1%2F1": "one/two/three/x-1/1", "one/two/three/x-1/1": "one/two/three/x-1/1",
	} {
		got := a.do("GET", "/api/events/"+target+"/explain", "").want(200).object()
		require.Equal(t, id, got["event"].(map[string]any)["id"], target)
		require.Equal(t, []any{}, got["notices"], "none is a list, too")
	}
	p := a.do("GET", "/api/events/a%2F1/explain", "").problem(404, "event-not-found")
	require.Equal(t, `explain "a/1": event not found`, p["detail"])
	a.do("GET", "/api/events//explain", "").problem(404, "event-not-found")
}

func TestExplain_answersWhatWasDecided(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 20, 0, 0, 123e6, time.UTC)
	f := newAlerting()
	f.explanations = map[string]laneswap.Explanation{"a/x-1/1": {
		Event: laneswap.Event{ID: "a/x-1/1", Sequence: 3, Kind: laneswap.EventDown, Service: "a", Name: "a", From: "healthy", To: "stale", At: at},
		Notices: []laneswap.NoticeTrace{
			{Notifier: "discord", State: laneswap.NoticeSent, MessageID: "123", Attempts: 2, Steps: []laneswap.TraceStep{{At: at, Text: "sent"}}},
			{Notifier: "webhook", State: laneswap.NoticeHeld, Steps: []laneswap.TraceStep{}},
		},
	}}
	got := f.api(t).do("GET", "/api/events/a%2Fx-1%2F1/explain", "").want(200).object()
	require.Equal(t, []string{"event", "notices"}, keys(got))
	require.EqualValues(t, 3, got["event"].(map[string]any)["sequence"])
	require.Equal(t, []any{
		map[string]any{
			"notifier": "discord", "state": "sent", "message_id": "123", "attempts": 2.0,
			"steps": []any{map[string]any{"timestamp": "2026-11-21T20:00:00.123Z", "text": "sent"}},
		},
		map[string]any{"notifier": "webhook", "state": "held", "attempts": 0.0, "steps": []any{}},
	}, got["notices"])
	f.err = fmt.Errorf("laneswap: explain: %w: mongodb://user:secret@host", laneswap.ErrStorage)
	require.Equal(t, "storage failed", f.api(t).do("GET", "/api/events/a/explain", "").problem(503, "storage")["detail"])
}

func TestNotifiers_areListed(t *testing.T) {
	t.Parallel()
	f := newAlerting()
	a := f.api(t)
	require.JSONEq(t, `{"notifiers":[]}`, a.do("GET", "/api/notifiers", "").want(200).Body.String())
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	f.notifiers = []laneswap.NotifierStatus{
		{Name: "discord", State: laneswap.NotifierRetrying, Waiting: 3, Oldest: at, Sent: 7, Dead: 1, LastSent: at, LastError: "503", LastErrorAt: at, RetryAt: at.Add(time.Minute)},
		{Name: "slog", State: laneswap.NotifierOK},
	}
	require.JSONEq(t, `{"notifiers":[
		{"name":"discord","state":"retrying","waiting":3,"oldest":"2026-11-21T20:00:00Z","sent":7,"dead":1,"last_sent":"2026-11-21T20:00:00Z",
		 "last_error":"503","last_error_at":"2026-11-21T20:00:00Z","retry_at":"2026-11-21T20:01:00Z"},
		{"name":"slog","state":"ok","waiting":0,"sent":0,"dead":0}]}`, a.do("GET", "/api/notifiers", "").want(200).Body.String())
	f.err = fmt.Errorf("laneswap: notifiers: %w", laneswap.ErrNotStarted)
	a.do("GET", "/api/notifiers", "").problem(503, "not-started")
}

func TestNotifierTest_answersWhatCameBack(t *testing.T) {
	t.Parallel()
	f := newAlerting()
	f.test = func(_ context.Context, name string) (laneswap.NotifierTest, error) {
		switch name {
		case "discord#2":
			return laneswap.NotifierTest{Notifier: name, Delivered: true, MessageID: "123"}, nil
		case "a/b":
			return laneswap.NotifierTest{Notifier: name, Error: "404 Not Found"}, nil
		case "stopped":
			return laneswap.NotifierTest{}, fmt.Errorf("laneswap: test notifier: %w", laneswap.ErrStopped)
		}
		return laneswap.NotifierTest{}, fmt.Errorf("laneswap: test notifier: %w", laneswap.ErrNotifierNotFound)
	}
	a := f.api(t)
	for _, body := range []string{"", "{}", "null"} {
		r := a.do("POST", "/api/notifiers/discord%232/test", body).want(200)
		require.JSONEq(t, `{"notifier":"discord#2","delivered":true,"message_id":"123"}`, r.Body.String())
	}
	r := a.do("POST", "/api/notifiers/a%2Fb/test", "").want(200)
	require.JSONEq(t, `{"notifier":"a/b","delivered":false,"error":"404 Not Found"}`, r.Body.String())
	a.do("POST", "/api/notifiers/stopped/test", "").problem(503, "stopped")
	a.do("POST", "/api/notifiers/nobody/test", "").problem(404, "notifier-not-found")
	a.do("POST", "/api/notifiers//test", "").problem(404, "notifier-not-found")
	a.do("GET", "/api/notifiers/discord%232/test", "").problem(405, "method-not-allowed")
}

func TestNotifierTest_isAChangeForPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	f := newAlerting()
	tested := 0
	f.test = func(_ context.Context, name string) (laneswap.NotifierTest, error) {
		tested++
		return laneswap.NotifierTest{Notifier: name, Delivered: true}, nil
	}
	const status = "https://status.example.com"
	a := f.api(t, httpapi.WithCORSOrigins("*", status))
	a.do("POST", "/api/notifiers/a/test", "", "Origin", "https://evil.test").problem(403, "forbidden-origin")
	require.Zero(t, tested)
	a.do("POST", "/api/notifiers/a/test", "", "Origin", status).want(200)
	require.Equal(t, 1, tested)
	require.Equal(t, "*", a.do("GET", "/api/notifiers", "", "Origin", "https://evil.test").want(200).Header().Get("Access-Control-Allow-Origin"))
}

func TestNotifierTest_mayTakeLongerThanTheWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAlerting()
		f.test = func(ctx context.Context, name string) (laneswap.NotifierTest, error) {
			select {
			case <-time.After(80 * time.Second):
				return laneswap.NotifierTest{Notifier: name, Delivered: true}, nil
			case <-ctx.Done():
				return laneswap.NotifierTest{}, ctx.Err()
			}
		}
		a := f.api(t)
		_, _, client := a.serve()
		for range 2 { // the connection is as good as before
			resp, err := client.Post("http://l/api/notifiers/a/test", "application/json", nil)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.JSONEq(t, `{"notifier":"a","delivered":true}`, string(body))
		}
	})
}

// waiting is a test of a notifier that goes on until its context ends.
func (f *alerting) waiting() (begun chan struct{}, ended chan error) {
	begun, ended = make(chan struct{}, 100), make(chan error, 100)
	f.test = func(ctx context.Context, _ string) (laneswap.NotifierTest, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return laneswap.NotifierTest{}, ctx.Err()
	}
	return begun, ended
}

func TestNotifierTest_endsWhenTheClientGoesAway(t *testing.T) {
	for name, body := range map[string]string{"no body": "", "a body": "{}"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newAlerting()
				begun, ended := f.waiting()
				_, l, _ := f.api(t).serve()
				conn, err := l.dial(t.Context())
				require.NoError(t, err)
				_, err = fmt.Fprintf(conn, "POST /api/notifiers/a/test HTTP/1.1\r\nHost: l\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				require.NoError(t, err)
				<-begun
				begin := time.Now()
				require.NoError(t, conn.Close())
				require.ErrorIs(t, <-ended, context.Canceled)
				require.Zero(t, time.Since(begin))
			})
		})
	}
}

func TestNotifierTest_endsWhenTheHandlerCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAlerting()
		begun, ended := f.waiting()
		a := f.api(t)
		answer := make(chan *reply, 1)
		go func() { answer <- a.do("POST", "/api/notifiers/a/test", "") }() // ended by Close
		<-begun
		a.h.Close()
		require.ErrorIs(t, <-ended, context.Canceled)
		(<-answer).problem(503, "stopped")
		a.do("POST", "/api/notifiers/a/test", "").problem(503, "stopped")
	})
}

func TestNotifierTest_endsWhileTheAnswerCanBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAlerting()
		_, ended := f.waiting()
		_, _, client := f.api(t).serve()
		resp, err := client.Post("http://l/api/notifiers/a/test", "application/json", nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.ErrorIs(t, <-ended, context.DeadlineExceeded)
	})
}

func TestNotifierTest_tooManyAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAlerting()
		begun, _ := f.waiting()
		a := f.api(t)
		const most = 16
		answers := make(chan *reply, most)
		for range most {
			go func() { answers <- a.do("POST", "/api/notifiers/a/test", "") }() // ended by Close
			<-begun
		}
		a.do("POST", "/api/notifiers/a/test", "").problem(503, "busy")
		a.h.Close()
		for range most {
			(<-answers).want(503)
		}
	})
}

func TestReady_tellsOfItsNotifiers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // for a clock that stands still
		now := time.Now().UTC()
		ago := func(d time.Duration) time.Time { return now.Add(-d) }
		bad := &laneswap.StorageHealth{State: "degraded"}
		for name, c := range map[string]struct {
			notifier laneswap.NotifierStatus
			storage  *laneswap.StorageHealth
			strict   int
			detail   any
		}{
			"a good one":              {laneswap.NotifierStatus{State: laneswap.NotifierOK, Waiting: 2, Oldest: ago(time.Hour)}, nil, 200, nil},
			"one that was deleted":    {laneswap.NotifierStatus{State: laneswap.NotifierDisabled}, nil, 503, "notices are not delivered: discord is disabled"},
			"one that hangs":          {laneswap.NotifierStatus{State: laneswap.NotifierStuck}, nil, 503, "notices are not delivered: discord is stuck"},
			"one that failed once":    {laneswap.NotifierStatus{State: laneswap.NotifierRetrying, Oldest: ago(9 * time.Minute)}, nil, 200, nil},
			"one that fails for long": {laneswap.NotifierStatus{State: laneswap.NotifierRetrying, Oldest: ago(10 * time.Minute), LastSent: ago(time.Hour)}, nil, 503, "notices are not delivered: discord is retrying"},
			"one that took some":      {laneswap.NotifierStatus{State: laneswap.NotifierRetrying, Oldest: ago(time.Hour), LastSent: ago(time.Minute)}, nil, 200, nil},
			"one that is owed none":   {laneswap.NotifierStatus{State: laneswap.NotifierRetrying}, nil, 200, nil},
			"a storage that is away":  {laneswap.NotifierStatus{State: laneswap.NotifierOK}, bad, 503, "heartbeats are received, but the storage does not accept writes"},
			"both":                    {laneswap.NotifierStatus{State: laneswap.NotifierDisabled}, bad, 503, "heartbeats are received, but the storage does not accept writes; notices are not delivered: discord is disabled"},
		} {
			f := newAlerting()
			c.notifier.Name = "discord"
			f.health = laneswap.Health{Stage: "running", Storage: c.storage, Notifiers: []laneswap.NotifierStatus{c.notifier}}
			a := f.api(t)
			got := a.do("GET", "/readyz", "").want(200).object()
			require.Equal(t, c.detail, got["detail"], name)
			require.Equal(t, c.detail == nil, got["status"] == "ok", name)
			require.Equal(t, c.detail != nil, got["status"] == "degraded", name)
			listed := got["notifiers"].([]any)[0].(map[string]any)
			require.Equal(t, []any{"discord", string(c.notifier.State)}, []any{listed["name"], listed["state"]}, name)
			a.do("GET", "/readyz?strict=1", "").want(c.strict)
		}
		require.NotContains(t, newAPI(t).do("GET", "/readyz", "").want(200).object(), "notifiers")
	})
}

func TestRegister_takesThresholds(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for text, want := range map[string]any{
		`3`: 3.0, `1000`: 1000.0, `1e2`: 100.0, `"3"`: 3.0, `"90s"`: "1m30s", `"24h"`: "24h0m0s", `"10ms"`: "10ms", `null`: nil, `""`: nil,
	} {
		st := a.do("POST", "/api/services", `{"service_id":"a","alert_after":`+text+`,"recover_after":2}`, "Prefer", "return=representation").want(200).object()
		require.Equal(t, want, st["alert_after"], text)
		require.EqualValues(t, 2, st["recover_after"])
	}
	st := a.do("POST", "/api/services", `{"service_id":"a"}`, "Prefer", "return=representation").want(200).object()
	require.Equal(t, []any{nil, nil}, []any{st["alert_after"], st["recover_after"]}, "what is not said is not kept")

	st = a.do("POST", "/api/services/b/heartbeat?create=1&alert_after=3&recover_after=90s", "").want(200).object()
	require.Equal(t, []any{3.0, "1m30s"}, []any{st["alert_after"], st["recover_after"]})
	a.do("POST", "/api/heartbeats?create=1&alert_after=1h", `[{"service_id":"c"}]`).want(200)
	st = a.do("GET", "/api/services/c", "").want(200).object()
	require.Equal(t, []any{"1h0m0s", nil}, []any{st["alert_after"], st["recover_after"]})
}

func TestRegister_refusesThresholdsThatAreNone(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	before := a.state()
	for text, want := range map[string]string{
		`0`: "alert_after is out of its range, 1 to 1000 heartbeats", `-1`: "alert_after is out of its range, 1 to 1000 heartbeats",
		`1001`: "alert_after is out of its range, 1 to 1000 heartbeats", `-1e300`: "alert_after is out of its range, 1 to 1000 heartbeats",
		`1e300`: "alert_after is out of its range, 1 to 1000 heartbeats", `2.5`: "alert_after is 2.5, it must be a whole number of heartbeats",
		`"25h"`: "alert_after is 25h0m0s, it must be from 10ms to 24h0m0s", `"-5s"`: "alert_after is -5s, it must be from 10ms to 24h0m0s",
		`"1ms"`: "alert_after is 1ms, it must be from 10ms to 24h0m0s", `"0"`: "alert_after is out of its range, 1 to 1000 heartbeats",
		`"0s"`:     `alert_after is "0s", neither a number of heartbeats such as 3 nor a time such as 90s`,
		`"soon"`:   `alert_after is "soon", neither a number of heartbeats such as 3 nor a time such as 90s`,
		`"\u001b"`: `alert_after is "\x1b", neither a number of heartbeats such as 3 nor a time such as 90s`,
	} {
		p := a.do("POST", "/api/services", `{"service_id":"a","alert_after":`+text+`}`).problem(422, "invalid-registration")
		require.Equal(t, want, p["detail"])
		require.Equal(t, "alert_after", p["field"])
	}
	for _, text := range []string{`true`, `[]`, `{"beats":3}`} {
		p := a.do("POST", "/api/services", `{"service_id":"a","recover_after":`+text+`}`).problem(400, "bad-request")
		require.Contains(t, p["detail"], `recover_after must be a number of heartbeats or a time such as "90s", got a`)
	}
	for query, field := range map[string]string{
		"alert_after=0": "alert_after", "alert_after=2.5": "alert_after", "recover_after=25h": "recover_after", "recover_after=3&recover_after=4": "recover_after",
	} {
		for _, target := range []string{"/api/services/a/heartbeat", "/api/heartbeats"} {
			p := a.do("POST", target+"?create=1&"+query, "").problem(422, "invalid-registration")
			require.Equal(t, field, p["field"], query)
		}
	}
	require.Equal(t, before, a.state())
}

func TestNotifiers_internalErrorsKeepTheirText(t *testing.T) {
	t.Parallel()
	f := newAlerting()
	f.err = errors.Join(laneswap.ErrNotifier, errors.New("https://discord.test/api/webhooks/1/secret"))
	require.NotContains(t, f.api(t).do("GET", "/api/notifiers", "").problem(500, "notifier")["detail"], "secret")
}

func TestNotifierTest_ofARealManagerEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan struct{})
		hangs := laneswap.NotifierFunc(func(ctx context.Context, _ laneswap.Notification) error {
			close(begun)
			<-ctx.Done()
			return ctx.Err()
		})
		m := laneswap.NewManager(laneswap.WithNotifier(hangs))
		require.NoError(t, m.Start(t.Context()))
		a := withManager(t, m)
		answer := make(chan *reply, 1)
		go func() { answer <- a.do("POST", "/api/notifiers/laneswap.NotifierFunc/test", "") }() // ended by Close
		<-begun
		begin := time.Now()
		a.h.Close()
		(<-answer).problem(503, "stopped")
		require.Zero(t, time.Since(begin))
		_ = m.Stop(t.Context()) // the notifier may be cut off
	})
}

func TestReady_tellsWhenARealNotifierIsDisabled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
			return laneswap.Permanent(errors.New("there is no such webhook"))
		})
		m := laneswap.NewManager(laneswap.WithNotifier(gone))
		require.NoError(t, m.Start(t.Context()))
		a := withManager(t, m)
		a.do("POST", "/api/services/a/heartbeat?create=1", `{"status":"error"}`).want(200)
		time.Sleep(time.Minute) // virtual
		got := a.do("GET", "/readyz?strict=1", "").want(503).object()
		require.Equal(t, "notices are not delivered: laneswap.NotifierFunc is disabled", got["detail"])
		notifier := got["notifiers"].([]any)[0].(map[string]any)
		require.EqualValues(t, 1, notifier["waiting"])
		require.Equal(t, "disabled", notifier["state"])
		require.Equal(t, "there is no such webhook", notifier["last_error"])
		a.do("GET", "/readyz", "").want(200)
		require.Error(t, m.Stop(t.Context()))
	})
}
