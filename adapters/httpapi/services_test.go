package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

var statusKeys = []string{
	"alert_after", "beats", "created_at", "deadline", "events", "id", "incident", "interval", "last_heartbeat", "late", "message",
	"metadata", "name", "recover_after", "reported_status", "since", "status", "tags", "window",
}

func TestServices_roundTripWithExactKeys(t *testing.T) {
	t.Parallel()
	a := newAPI(t)

	created := a.do("POST", "/api/services", `{
		"service_id": "billing", "service_name": "Billing", "interval": 30, "stale_after": 90.5, "forget_after": "never",
		"must_run": true, "tags": ["eu"], "metadata": {"version": "1.2", "cpu": 3}, "unknown": 1}`).want(200)
	require.JSONEq(t, `{"service_id":"billing"}`, created.Body.String())
	require.Equal(t, "application/json", created.Header().Get("Content-Type"))
	require.NotEmpty(t, created.Header().Get("LaneSwap-Boot"))

	st := a.do("POST", "/api/services/billing/heartbeat", `{"status":"warning","message":"slow","metadata":{"cpu":91,"version":null}}`).want(200).object()
	require.Equal(t, statusKeys, keys(st))
	require.Equal(t, "warning", st["status"])
	require.Equal(t, "slow", st["message"])
	require.Equal(t, map[string]any{"cpu": 91.0}, st["metadata"])
	require.Equal(t, []any{90.5, 30.0}, []any{st["window"], st["interval"]})
	require.Equal(t, []any{}, st["events"])

	st = a.do("GET", "/api/services/billing", "").want(200).object()
	require.Equal(t, statusKeys, keys(st))
	require.Equal(t, "Billing", st["name"])
	require.Equal(t, []any{"eu"}, st["tags"])
	events := st["events"].([]any)
	require.Len(t, events, 1)
	event := events[0].(map[string]any)
	require.Equal(t, "down", event["kind"])
	for _, key := range []string{"id", "kind", "from", "to", "message", "timestamp"} {
		require.Contains(t, event, key)
	}

	list := a.do("GET", "/api/services", "").want(200).object()
	require.Equal(t, []string{"services", "summary"}, keys(list))
	require.Equal(t, map[string]any{"total": 1.0, "status_counts": map[string]any{"warning": 1.0}}, list["summary"])
	listed := list["services"].(map[string]any)["billing"].(map[string]any)
	require.Equal(t, statusKeys, keys(listed))
	require.Equal(t, []any{}, listed["events"])

	spoken := a.do("GET", "/api/services/billing/heartbeats", "").want(200).object()
	require.Equal(t, []string{"heartbeats"}, keys(spoken))
	require.Equal(t, "slow", spoken["heartbeats"].([]any)[0].(map[string]any)["message"])

	sum := a.do("GET", "/api/summary", "").want(200).object()
	journal := sum["journal"]
	require.IsType(t, "", journal)
	require.Equal(t, map[string]any{"total": 1.0, "status_counts": map[string]any{"warning": 1.0}, "sequence": 1.0, "journal": journal}, sum)

	kept := a.do("GET", "/api/events", "").want(200).object()
	require.Equal(t, []string{"events", "journal", "sequence"}, keys(kept))
	require.Equal(t, journal, kept["journal"])
	require.Len(t, kept["events"], 1)
	require.EqualValues(t, 1, kept["sequence"])

	require.Empty(t, a.do("DELETE", "/api/services/billing", "").want(204).Body.String())
	a.do("DELETE", "/api/services/billing", "").problem(404, "service-not-found")
	a.do("GET", "/api/services/billing", "").problem(404, "service-not-found")
	a.do("GET", "/api/services/billing/heartbeats", "").problem(404, "service-not-found")
	a.do("POST", "/api/services/billing/heartbeat", "").problem(404, "service-not-found")
}

func TestRegister_takesWhatExistingClientsSend(t *testing.T) {
	t.Parallel()
	a := newAPI(t)

	made := a.do("POST", "/api/services", `{"service_name":"cron","service_id":null,"metadata":null,"interval":null}`).want(200).object()
	require.Len(t, made["service_id"], 36)
	empty := a.do("POST", "/api/services", `{"service_id":"","name":"other"}`).want(200).object()
	require.Len(t, empty["service_id"], 36)

	// What curl -d sends says that it is a form.
	a.do("POST", "/api/services", `{"service_id":"curl"}`, "Content-Type", "application/x-www-form-urlencoded").want(200)
	a.do("POST", "/api/services", `{"service_id":"curl","tags":["b"],"forget_after":3600,"no_deadline":true}`).want(200)
	st, err := a.m.Service(t.Context(), "curl")
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, st.Tags, "the same id again updates")
	require.Zero(t, st.Window)
}

func TestRegister_answersTheWholeStatusWhenPreferred(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	r := a.do("POST", "/api/services", `{"service_id":"a","interval":60}`, "Prefer", "return=representation").want(200)
	require.Equal(t, "return=representation", r.Header().Get("Preference-Applied"))
	require.Equal(t, "application/json", r.Header().Get("Content-Type"))
	got := r.object()
	require.ElementsMatch(t, append([]string{"service_id"}, statusKeys...), keys(got))
	require.Equal(t, "a", got["service_id"])
	var st laneswap.ServiceStatus
	require.NoError(t, json.Unmarshal(r.Body.Bytes(), &st))
	require.Equal(t, laneswap.ServiceID("a"), st.ID)
	require.Equal(t, time.Minute, st.Interval)
	require.Empty(t, a.do("POST", "/api/services", `{"service_id":"a"}`).Header().Get("Preference-Applied"))
}

func TestRegister_refusesMoreServicesThanTheLimit(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{Services: 1}))
	a := withManager(t, m)
	a.do("POST", "/api/services", `{"service_id":"one"}`).want(200)
	a.do("POST", "/api/services", `{"service_id":"two"}`).problem(429, "too-many-services")
	a.do("POST", "/api/services/two/heartbeat?create=1", "").problem(429, "too-many-services")
}

func TestHeartbeat_emptyBodyIsHealthy(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	for _, body := range []string{"", " \n", "{}", `{"status":null,"message":null,"metadata":null}`} {
		require.Equal(t, "healthy", a.do("POST", "/api/services/a/heartbeat", body).want(200).object()["status"])
	}
}

func TestHeartbeat_minimalAnswerWhenPreferred(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	for _, prefer := range []string{"return=minimal", `respond-async, Return = "minimal"; x=1`} {
		r := a.do("POST", "/api/services/a/heartbeat", `{"status":"busy"}`, "Prefer", prefer).want(204)
		require.Equal(t, "return=minimal", r.Header().Get("Preference-Applied"))
		require.Empty(t, r.Body.String())
	}
	a.do("POST", "/api/services/a/heartbeat", "", "Prefer", "return=representation").want(200)
	st, err := a.m.Service(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 3, st.Beats)
}

func TestHeartbeat_createRegistersOnlyWhenUnknown(t *testing.T) {
	t.Parallel()
	a := newAPI(t)

	st := a.do("POST", "/api/services/cron@web-1/heartbeat?create=1&interval=60&stale_after=300&name=Backup", "").want(200).object()
	require.Equal(t, "Backup", st["name"])
	require.EqualValues(t, 60, st["interval"])
	require.EqualValues(t, 300, st["window"])
	require.EqualValues(t, 1, st["beats"])

	st = a.do("POST", "/api/services/cron@web-1/heartbeat?create=1&interval=5", "").want(200).object()
	require.EqualValues(t, 60, st["interval"], "a known service keeps its registration")
	require.EqualValues(t, 2, st["beats"])

	a.do("POST", "/api/services/other/heartbeat?create=0", "").problem(404, "service-not-found")
}

func TestHeartbeat_createNeedsAValidHeartbeat(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	before := a.state()
	p := a.do("POST", "/api/services/new/heartbeat?create=1", `{"status":"stale"}`).problem(422, "invalid-heartbeat")
	require.Equal(t, "status", p["field"])
	require.Equal(t, before, a.state())
}

func TestHeartbeat_createdByManyAtOnceCountsEveryBeat(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const n = 40
	codes := make(chan int, n)
	for i := range n {
		go func() {
			body := ""
			if i%4 == 0 {
				body = `{"status":"nonsense"}` // must not take the service away from the others
			}
			rec := httptest.NewRecorder()
			a.h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "POST", "/api/services/x/heartbeat?create=1", strings.NewReader(body)))
			codes <- rec.Code
		}()
	}
	got := map[int]int{}
	for range n {
		got[<-codes]++
	}
	require.Equal(t, map[int]int{200: n * 3 / 4, 422: n / 4}, got)
	st, err := a.m.Service(t.Context(), "x")
	require.NoError(t, err)
	require.EqualValues(t, n*3/4, st.Beats)
}

func TestListServices_filtersAndPages(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for i := range 5 {
		id := laneswap.ServiceID(fmt.Sprintf("s%d", i))
		_, err := a.m.Register(t.Context(), laneswap.Registration{ID: id, Name: "n" + string(id), Tags: []string{fmt.Sprint("even", i%2 == 0)}})
		require.NoError(t, err)
	}
	require.NoError(t, a.m.Beat(t.Context(), "s3", laneswap.Heartbeat{Status: laneswap.StatusError}))
	ids := func(target string) (ids []string, next any) {
		list := a.do("GET", target, "").want(200).object()
		require.EqualValues(t, 5, list["summary"].(map[string]any)["total"], "the summary covers all")
		return keys(list["services"].(map[string]any)), list["next"]
	}
	check := func(target string, want []string, wantNext any) {
		t.Helper()
		got, next := ids(target)
		require.Equal(t, want, got, target)
		require.Equal(t, wantNext, next, target)
	}
	check("/api/services?limit=2", []string{"s0", "s1"}, "s1")
	check("/api/services?limit=2&after=s1", []string{"s2", "s3"}, "s3")
	check("/api/services?limit=2&after=s3", []string{"s4"}, nil)
	check("/api/services?limit=5", []string{"s0", "s1", "s2", "s3", "s4"}, nil)
	check("/api/services?limit=2&tag=eventrue", []string{"s0", "s2"}, "s2")
	check("/api/services?status=ERROR", []string{"s3"}, nil)
	check("/api/services?name=ns4&status=&tag=", []string{"s4"}, nil)
	check("/api/services?limit=9223372036854775807", []string{"s0", "s1", "s2", "s3", "s4"}, nil)

	list := a.do("GET", "/api/services?status=error&events=3", "").want(200).object()
	require.Len(t, list["services"].(map[string]any)["s3"].(map[string]any)["events"], 1)
}

// pieces counts how an answer arrives.
type pieces struct {
	*httptest.ResponseRecorder
	largest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return p.ResponseRecorder.Write(b)
}

func TestListServices_isSentInPieces(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for i := range 1000 {
		a.register(laneswap.ServiceID(fmt.Sprintf("service-%d", i)))
	}
	w := &pieces{ResponseRecorder: httptest.NewRecorder()}
	a.h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/api/services", http.NoBody))
	require.Equal(t, 200, w.Code)
	var list struct {
		Services map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Len(t, list.Services, 1000)
	require.Greater(t, w.Body.Len(), 4*w.largest, "no piece is the whole")
}

func TestListEvents_sequenceIsWhereToContinue(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	a.register("b")
	for _, id := range []laneswap.ServiceID{"a", "a", "b", "b"} {
		for _, st := range []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy} {
			require.NoError(t, a.m.Beat(t.Context(), id, laneswap.Heartbeat{Status: st}))
		}
	}
	sequences := func(target string) (got []float64, sequence any) {
		t.Helper()
		answer := a.do("GET", target, "").want(200).object()
		for _, ev := range answer["events"].([]any) {
			got = append(got, ev.(map[string]any)["sequence"].(float64))
		}
		return got, answer["sequence"]
	}
	for _, c := range []struct {
		target string
		want   []float64
		next   int
	}{
		{"/api/events?after=0&limit=3", []float64{1, 2, 3}, 3},
		{"/api/events?after=3&limit=3", []float64{4, 5, 6}, 6},
		{"/api/events?after=6&limit=3", []float64{7, 8}, 8},
		{"/api/events?after=8", nil, 8},
		{"/api/events?service=a", []float64{1, 2, 3, 4}, 8},
		{"/api/events?service=b&after=2&limit=1", []float64{5}, 5},
	} {
		got, next := sequences(c.target)
		require.Equal(t, c.want, got, c.target)
		require.EqualValues(t, c.next, next, c.target)
	}
	a.do("GET", "/api/events?after=99", "").problem(410, "gone")
}

func TestHealth_answersForTheChosenServicesOnly(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	all, chosen := withManager(t, m), withManager(t, m, httpapi.WithHealthServices("db"))
	_, err := m.Register(t.Context(), laneswap.Registration{ID: "other"})
	require.NoError(t, err)
	require.NoError(t, m.Beat(t.Context(), "other", laneswap.Heartbeat{Status: laneswap.StatusCritical}))

	require.JSONEq(t, `{"status":"ok"}`, all.do("GET", "/healthz", "").want(200).Body.String())
	require.JSONEq(t, `{"status":"unhealthy","detail":"db is not registered"}`, chosen.do("GET", "/healthz", "").want(503).Body.String())
	_, err = m.Register(t.Context(), laneswap.Registration{ID: "db"})
	require.NoError(t, err)
	require.JSONEq(t, `{"status":"ok"}`, chosen.do("GET", "/healthz", "").want(200).Body.String())
	require.NoError(t, m.Beat(t.Context(), "db", laneswap.Heartbeat{Status: laneswap.StatusError}))
	require.JSONEq(t, `{"status":"unhealthy","detail":"db is error"}`, chosen.do("GET", "/healthz", "").want(503).Body.String())
}

func TestAPIHealth_hasTheShapeOfTheOriginal(t *testing.T) {
	t.Parallel()
	got := newAPI(t).do("GET", "/api/health", "").want(200).object()
	require.Equal(t, []string{"service", "status", "timestamp"}, keys(got))
	require.Equal(t, "ok", got["status"])
	require.Equal(t, "LaneSwap API", got["service"])
	at, err := time.Parse(time.RFC3339, got["timestamp"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
	require.Equal(t, time.UTC, at.Location())
}

func TestReady_onlyBetweenStartAndStop(t *testing.T) {
	t.Parallel()
	quiet := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { return nil })
	m := laneswap.NewManager(laneswap.WithNotifier(quiet))
	a := withManager(t, m)
	require.Equal(t, "starting", a.do("GET", "/readyz", "").want(503).object()["status"])
	p := a.do("GET", "/api/services", "")
	p.problem(503, "not-started")
	require.Equal(t, "1", p.Header().Get("Retry-After"))

	require.NoError(t, m.Start(t.Context()))
	require.JSONEq(t, `{"status":"ok","notifiers":[{"name":"laneswap.NotifierFunc","state":"ok","waiting":0,"sent":0,"dead":0}]}`,
		a.do("GET", "/readyz?strict=1", "").want(200).Body.String())
	a.do("POST", "/api/services", `{"service_id":"a"}`).want(200)

	closed := withManager(t, m)
	closed.h.Close()
	require.Equal(t, "stopping", closed.do("GET", "/readyz", "").want(503).object()["status"])
	closed.do("POST", "/api/services/a/heartbeat", "").want(200)

	require.NoError(t, m.Stop(t.Context()))
	require.Equal(t, "stopping", a.do("GET", "/readyz", "").want(503).object()["status"])
	require.Equal(t, "1", a.do("POST", "/api/services/a/heartbeat", "").want(503).Header().Get("Retry-After"))
	a.do("POST", "/api/heartbeats", `[{"service_id":"a"}]`).problem(503, "stopped")
	a.do("GET", "/api/services/a", "").want(200)
}
