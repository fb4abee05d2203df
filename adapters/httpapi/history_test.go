package httpapi_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestHistory_isAskedForThePeriodOfTheURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // for a clock that stands still
		now := time.Now().UTC()
		at := func(s string) time.Time {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				panic(err)
			}
			return t.UTC()
		}
		for query, want := range map[string]laneswap.HistoryQuery{
			"":                          {},
			"limit=7":                   {Limit: 7},
			"from=1999-01-02T03:04:05Z": {From: at("1999-01-02T03:04:05Z")},
			"from=1999-01-02T03:04:05.6789%2B02:00&to=1999-02-01T00:00:00-01:00": {
				From: at("1999-01-02T01:04:05.6789Z"), To: at("1999-02-01T01:00:00Z"),
			},
			"to=1999-02-01T00:00:00+01:00":           {To: at("1999-01-31T23:00:00Z")}, // the plus sign was not escaped
			"period=90":                              {From: now.Add(-90 * time.Second)},
			"period=1.5":                             {From: now.Add(-1500 * time.Millisecond)},
			"period=24h":                             {From: now.Add(-24 * time.Hour)},
			"period=7d":                              {From: now.Add(-7 * 24 * time.Hour)},
			"period=0.5d":                            {From: now.Add(-12 * time.Hour)},
			"period=90d&to=1999-12-31T00:00:00Z":     {From: at("1999-10-02T00:00:00Z"), To: at("1999-12-31T00:00:00Z")},
			"period=1h&to=2999-12-31T00:00:00Z":      {From: now.Add(-time.Hour)},
			"period=&from=&to=&limit=":               {},
			"period=106751d&to=1999-12-31T00:00:00Z": {From: at("1999-12-31T00:00:00Z").Add(-106751 * 24 * time.Hour), To: at("1999-12-31T00:00:00Z")},
		} {
			s := newStoring()
			s.api(t).do("GET", "/api/services/a/history?"+query, "").want(200)
			require.Equal(t, want, s.asked, query)
		}
	})
}

func TestHistory_refusesWhatIsNoPeriod(t *testing.T) {
	t.Parallel()
	for query, field := range map[string]string{
		"from=yesterday": "from", "from=2026-01-01": "from", "to=0": "to", "to=0001-01-01T00:00:00Z": "to",
		"from=0000-01-01T00:00:00Z": "from", "to=9999-12-31T23:59:59-01:00": "to", "to=10000-01-01T00:00:00Z": "to",
		"from=" + url.QueryEscape("2026-01-01T00:00:00Z\n"): "from",
		"period=soon": "period", "period=-1h": "period", "period=0": "period", "period=0d": "period", "period=-7d": "period", "period=d": "period",
		"period=NaN": "period", "period=Infd": "period", "period=1e300": "period", "period=106752d": "period", "period=7dd": "period",
		"period=1h&from=2026-01-01T00:00:00Z": "period", "limit=many": "limit", "from=2026-01-01T00:00:00Z&from=2026-01-02T00:00:00Z": "from",
		"period=" + strings.Repeat("9", 500) + "h": "period",
	} {
		s := newStoring()
		p := s.api(t).do("GET", "/api/services/a/history?"+query, "").problem(422, "invalid-query")
		require.Equal(t, field, p["field"], query)
		require.Zero(t, s.asked, query)
	}
}

func TestHistory_isAnsweredWhole(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	s := newStoring()
	s.past = laneswap.History{
		From: at, To: at.Add(time.Hour), KnownFrom: at, Up: 50 * time.Minute, Down: 10 * time.Minute, IncidentCount: 1, Recovered: 1,
		MeanTimeToRecovery: 10 * time.Minute,
		Spans:              []laneswap.Span{{State: laneswap.SpanDown, Status: laneswap.StatusError, From: at, To: at.Add(10 * time.Minute), Beats: 3, Message: "no <disk>"}},
		Incidents:          []laneswap.PastIncident{{ID: "a/x-1", StartedAt: at, EndedAt: at.Add(10 * time.Minute), Duration: 10 * time.Minute, Worst: laneswap.StatusError}},
	}
	r := s.api(t).do("GET", "/api/services/a/history", "").want(200)
	require.Equal(t, "application/json", r.Header().Get("Content-Type"))
	var got laneswap.History
	require.NoError(t, json.Unmarshal(r.Body.Bytes(), &got))
	want := s.past
	want.Service, want.Absences, want.Events = "a", []laneswap.Absence{}, []laneswap.Event{}
	require.Equal(t, want, got)
	require.InDelta(t, 83.33, r.object()["uptime"], 0.01)
}

func TestErrors_areTakenUnderTheNamesThatScriptsSend(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]laneswap.ErrorReport{
		`{"type":"T","message":"m","stack":"s","metadata":{"a":1}}`:                  {Type: "T", Message: "m", Stack: "s", Metadata: map[string]any{"a": 1.0}},
		`{"error_type":"T","error_message":"m","stack_trace":"s"}`:                   {Type: "T", Message: "m", Stack: "s"},
		`{"error_type":"T","message":"m","traceback":"s","metadata":null}`:           {Type: "T", Message: "m", Stack: "s"},
		`{"type":"T","error_type":"no","stack":"s","stack_trace":"no","x":[]}`:       {Type: "T", Stack: "s"},
		`{"type":"","error_type":"T","stack":null,"stack_trace":"","traceback":"s"}`: {Type: "T", Stack: "s"},
	} {
		s := newStoring()
		rec := s.api(t).do("POST", "/api/services/a/errors", body).want(201).object()
		require.Equal(t, want, s.reported, body)
		require.Equal(t, "a/1", rec["id"])
		require.Equal(t, "a", rec["service_id"])
		require.Equal(t, "2026-11-21T20:00:00Z", rec["timestamp"])
		require.Equal(t, want.Type, rec["type"])
		require.NotContains(t, rec, "durable")
		s.volatile = true
		require.Equal(t, false, s.api(t).do("POST", "/api/services/a/errors", body).want(201).object()["durable"])
	}
}

func TestErrors_refusesBodiesOfAnotherShape(t *testing.T) {
	t.Parallel()
	for body, status := range map[string]int{
		"": 400, "[]": 400, `"x"`: 400, `{"type":1}`: 400, `{"message":["x"]}`: 400, `{"metadata":"x"}`: 400, `{"type":"a","error_type":7}`: 400,
		`{"stack":"` + strings.Repeat("x", 256<<10) + `"}`: 413,
	} {
		s := newStoring()
		s.api(t).do("POST", "/api/services/a/errors", body).want(status)
		require.Zero(t, s.reported)
	}
}

func TestErrors_arePagedBackwards(t *testing.T) {
	t.Parallel()
	s := newStoring()
	for _, id := range []string{"a/5", "a/4", "a/3", "a/2", "a/1"} { // the newest first
		s.errors = append(s.errors, laneswap.ErrorRecord{ID: id, Service: "a", Message: "m"})
	}
	a := s.api(t)
	page := func(query string) (ids []string, next any) {
		got := a.do("GET", "/api/services/a/errors?"+query, "").want(200).object()
		for _, rec := range got["errors"].([]any) {
			ids = append(ids, rec.(map[string]any)["id"].(string))
		}
		return ids, got["next"]
	}
	for query, want := range map[string]struct {
		ids  []string
		next any
	}{
		"":                   {[]string{"a/5", "a/4", "a/3", "a/2", "a/1"}, nil},
		"limit=2":            {[]string{"a/5", "a/4"}, "a/4"},
		"limit=2&before=a/4": {[]string{"a/3", "a/2"}, "a/2"},
		"limit=2&before=a/2": {[]string{"a/1"}, nil},
		"limit=5":            {[]string{"a/5", "a/4", "a/3", "a/2", "a/1"}, nil},
		"before=a/1":         {nil, nil},
	} {
		ids, next := page(query)
		require.Equal(t, want.ids, ids, query)
		require.Equal(t, want.next, next, query)
	}
	require.Equal(t, laneswap.ErrorQuery{Before: "x"}, func() laneswap.ErrorQuery { page("before=x"); return s.listed }())
	a.do("GET", "/api/services/a/errors?limit=x", "").problem(422, "invalid-query")
}

func TestErrors_ofLegalSizeFitHoweverTheyAreEscaped(t *testing.T) {
	t.Parallel()
	s := newStoring()
	stack := strings.Repeat(`\u00fc`, 16<<10) // 32 KiB of two bytes each, as Python writes them
	s.api(t).do("POST", "/api/services/a/errors", `{"type":"T","stack":"`+stack+`"}`).want(201)
	require.Len(t, s.reported.Stack, 32<<10)
}

func TestHistory_ofAPeriodUntilNowShowsWhatLasts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	require.NoError(t, a.m.Beat(t.Context(), "a", laneswap.Heartbeat{}))
	for range 200 { // some of them across the end of a millisecond
		for _, query := range []string{"?period=1h", "?period=1h&to=2999-01-01T00:00:00Z", ""} {
			spans := a.do("GET", "/api/services/a/history"+query, "").want(200).object()["spans"].([]any)
			require.NotEmpty(t, spans)
			require.Nil(t, spans[len(spans)-1].(map[string]any)["to"], query)
		}
	}
}
