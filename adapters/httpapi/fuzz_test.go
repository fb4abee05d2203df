package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fuzzAnswer sends a request and checks what holds for every answer.
func fuzzAnswer(t *testing.T, a *api, req *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	a.h.ServeHTTP(rec, req)
	require.Less(t, rec.Code, 500, "%s %s: %s", req.Method, req.URL, rec.Body)
	switch {
	case rec.Code >= 400:
		var p struct{ Type, Title, Detail, Code string }
		require.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p))
		require.NotEmpty(t, p.Code)
		require.NotEmpty(t, p.Detail)
		require.Less(t, rec.Body.Len(), 2000, "an error does not repeat the input")
		// Control characters must not reach a terminal, not even escaped.
		for _, r := range p.Detail {
			require.False(t, r < ' ' || 0x7f <= r && r <= 0x9f, "%q", p.Detail)
		}
	case rec.Code >= 300:
		t.Fatalf("%s %s: redirected", req.Method, req.URL)
	case rec.Body.Len() > 0:
		require.True(t, json.Valid(rec.Body.Bytes()), "%s", rec.Body)
	}
	return rec
}

func FuzzDecodeHeartbeat(f *testing.F) {
	for name, bad := range badBodies {
		if name != "deep with no fields" {
			f.Add([]byte(strings.ReplaceAll(bad[0], "FIELD", "status")))
		}
	}
	for _, seed := range []string{
		``, `{}`, `{"status":"warning","message":"a\u00e9\ud83d\ude00","metadata":{"cpu":9.5e1,"l":[1,null,true,"x"]}}`,
		`[{"service_id":"known"},{"service_id":"x"}]`, "{\"service_id\":\"known\"}\n{\"service_id\":1}\n", `{"interval":30,"service_id":"known"}`,
		`{"service_id":"known","alert_after":3,"recover_after":"90s"}`, `{"service_id":"known","alert_after":-1e9,"recover_after":"1h1h"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := newAPI(t)
		a.register("known")
		for _, target := range []string{
			"/api/services/known/heartbeat", "/api/services/new/heartbeat?create=1&interval=60", "/api/heartbeats", "/api/services",
		} {
			before := a.state()
			rec := fuzzAnswer(t, a, httptest.NewRequestWithContext(t.Context(), "POST", target, bytes.NewReader(body)))
			if rec.Code >= 400 {
				require.Equal(t, before, a.state(), "refused, but something changed")
			}
			require.True(t, json.Valid(a.do("GET", "/api/services?events=10", "").Body.Bytes()))
		}
	})
}

func FuzzHandler(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "/api/services", "limit=1&after=known", ""},
		{"GET", "/api/services/known", "", ""},
		{"DELETE", "/api/services/known", "", ""},
		{"POST", "/api/services/a%2Fb/heartbeat", "create=1&interval=1e9", "{}"},
		{"POST", "/api/services/../x/heartbeat", "create=1", `{"status":"busy"}`},
		{"GET", "/api/services/known/heartbeats", "", ""},
		{"GET", "/api/events", "after=1&service=known&limit=2", ""},
		{"GET", "/api/events/stream", "after=0&journal=x", ""},
		{"OPTIONS", "/api/summary", "", ""},
		{"GET", "/api/events/known%2F1%2F2/explain", "", ""},
		{"GET", "/api/events//laneswap/x/explain", "", ""},
		{"POST", "/api/notifiers/discord%232/test", "", "{}"},
		{"POST", "/api/services/new/heartbeat", "create=1&alert_after=90s&recover_after=3", ""},
		{"GET", "//healthz%00", "", ""},
		{"POST", "/api/heartbeats", "create=yes", "[]"},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]))
	}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" {
			t.Skip()
		}
		u.RawQuery = query
		if method == http.MethodGet && strings.HasSuffix(u.Path, "/stream") {
			method = http.MethodHead // the stream itself does not end
		}
		a := newAPI(t)
		a.register("known")
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		req.Method, req.URL = method, u
		fuzzAnswer(t, a, req)
	})
}
