package httpapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/httpapi"
)

func TestCORS_table(t *testing.T) {
	t.Parallel()
	const own, evil, status = "http://example.com", "https://evil.test", "https://status.example.com"
	any, named := []string{"*"}, []string{status}
	both, none := []string{"*", status + "/"}, []string{}
	for _, c := range []struct {
		name           string
		origins        []string
		method, origin string
		fetchSite      string
		code           int
		allow          string // Access-Control-Allow-Origin
	}{
		{"reading without origin", any, "GET", "", "", 200, "*"},
		{"reading from anywhere", any, "GET", evil, "cross-site", 200, "*"},
		{"reading the head from anywhere", any, "HEAD", evil, "cross-site", 200, "*"},
		{"reading when only others are named", named, "GET", evil, "cross-site", 200, ""},
		{"reading when named", named, "GET", status, "cross-site", 200, status},
		{"reading when named beside any", both, "GET", status, "cross-site", 200, status},
		{"reading beside a named one", both, "GET", evil, "cross-site", 200, "*"},
		{"reading when nobody may", none, "GET", evil, "cross-site", 200, ""},
		{"writing by a program", any, "DELETE", "", "", 404, ""},
		{"writing by the own page", any, "DELETE", own, "same-origin", 404, ""},
		{"writing by the own page of an old browser", any, "DELETE", own, "", 404, ""},
		{"writing by hand", any, "DELETE", "", "none", 404, ""},
		{"writing from anywhere", any, "DELETE", evil, "cross-site", 403, ""},
		{"writing from anywhere with an old browser", any, "DELETE", evil, "", 403, ""},
		{"writing without an origin but across sites", any, "DELETE", "", "cross-site", 403, ""},
		{"writing from another port of the same host", any, "DELETE", "http://example.com:3000", "same-site", 403, ""},
		{"writing from a sandbox", any, "DELETE", "null", "", 403, ""},
		{"writing when named", named, "DELETE", status, "cross-site", 404, status},
		{"writing when named beside any", both, "DELETE", status, "cross-site", 404, status},
		{"writing beside a named one", both, "DELETE", evil, "cross-site", 403, ""},
		{"writing from what begins like a named one", named, "DELETE", status + ".evil.test", "cross-site", 403, ""},
		{"writing when named with another scheme", named, "DELETE", "http://status.example.com", "", 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, httpapi.WithCORSOrigins(c.origins...))
			target := "/api/services"
			if c.method == "DELETE" {
				target = "/api/services/nobody"
			}
			var headers []string
			if c.origin != "" {
				headers = append(headers, "Origin", c.origin)
			}
			if c.fetchSite != "" {
				headers = append(headers, "Sec-Fetch-Site", c.fetchSite)
			}
			r := a.do(c.method, target, "", headers...).want(c.code)
			if c.code == 403 {
				r.problem(403, "forbidden-origin")
			}
			require.Equal(t, c.allow, r.Header().Get("Access-Control-Allow-Origin"))
			require.Empty(t, r.Header().Get("Access-Control-Allow-Credentials"))
			if len(c.origins) > 0 && c.origins[len(c.origins)-1] != "*" {
				require.Contains(t, r.Header().Values("Vary"), "Origin")
			}
		})
	}
}

func TestCORS_refusedWritesChangeNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	before := a.state()
	for target, body := range map[string]string{
		"/api/services":             `{"service_id":"b"}`,
		"/api/services/a/heartbeat": `{"status":"error"}`,
		"/api/heartbeats":           `[{"service_id":"a","status":"error"}]`,
		"/api/notifiers/a/test":     ``,
	} {
		a.do("POST", target, body, "Origin", "https://evil.test", "Content-Type", "text/plain").problem(403, "forbidden-origin")
	}
	require.Equal(t, before, a.state())
}

func TestCORS_preflight(t *testing.T) {
	t.Parallel()
	const status = "https://status.example.com"
	a := newAPI(t, httpapi.WithCORSOrigins("*", status))
	ask := func(origin, method string) *reply {
		return a.do("OPTIONS", "/api/services/a", "", "Origin", origin, "Access-Control-Request-Method", method,
			"Access-Control-Request-Headers", "content-type")
	}
	r := ask(status, "DELETE").want(204)
	require.Equal(t, status, r.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "GET, HEAD, DELETE, OPTIONS", r.Header().Get("Access-Control-Allow-Methods"))
	require.Contains(t, r.Header().Get("Access-Control-Allow-Headers"), "Content-Type")
	require.NotEmpty(t, r.Header().Get("Access-Control-Max-Age"))

	r = ask("https://evil.test", "GET").want(204)
	require.Equal(t, "*", r.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "GET, HEAD", r.Header().Get("Access-Control-Allow-Methods"))

	r = ask("https://evil.test", "DELETE")
	r.problem(403, "forbidden-origin")
	require.Empty(t, r.Header().Get("Access-Control-Allow-Origin"))

	plain := a.do("OPTIONS", "/api/services", "").want(204)
	require.Equal(t, "GET, HEAD, POST, OPTIONS", plain.Header().Get("Allow"))
	require.Empty(t, plain.Header().Get("Access-Control-Allow-Methods"))
	a.do("OPTIONS", "/nowhere", "").problem(404, "not-found")
}
