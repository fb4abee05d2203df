package httpapi_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// deep is JSON nested n deep.
func deep(n int) string { return strings.Repeat(`{"d":`, n) + "1" + strings.Repeat("}", n) }

// badIDs are ids that nobody may have.
var badIDs = map[string]string{
	"dots":          "..",
	"dots within":   "a..b",
	"climbing":      "../../etc/passwd",
	"slash":         "a/b",
	"NUL":           "a\x00b",
	"newline":       "a\nb",
	"right to left": "a\u202eb",
	"Hebrew":        "\u05d0\u05d1",
	"bad UTF-8":     "a\xff",
	"4 KiB":         strings.Repeat("a", 4096),
	"4 KiB of RTL":  strings.Repeat("\u202e", 1365),
	"leading dot":   ".hidden",
	"space":         "a b",
	"dot":           ".",
}

// badBodies are the bodies that no route takes as an object; what the detail
// must name is the second of each.
var badBodies = map[string][2]string{
	"cut off":             {`{"FIELD":`, "FIELD"},
	"NaN":                 {`{"FIELD":NaN}`, "FIELD"},
	"Infinity":            {`{"FIELD":Infinity}`, "FIELD"},
	"-Infinity":           {`{"FIELD":-Infinity}`, "FIELD"},
	"1e400":               {`{"FIELD":1e400}`, "FIELD"},
	"leading zero":        {`{"FIELD":01}`, "FIELD"},
	"plus sign":           {`{"FIELD":+1}`, "FIELD"},
	"hexadecimal":         {`{"FIELD":0x10}`, "FIELD"},
	"bad UTF-8":           {"{\"FIELD\":\"a\xff\"}", "FIELD"},
	"half a surrogate":    {`{"FIELD":"\ud800"}`, "FIELD"},
	"unknown escape":      {`{"FIELD":"\x"}`, "FIELD"},
	"control character":   {"{\"FIELD\":\"a\nb\"}", "FIELD"},
	"given twice":         {`{"FIELD":null,"FIELD":null}`, "FIELD"},
	"too deep":            {`{"FIELD":` + deep(1000) + `}`, "FIELD"},
	"trailing data":       {`{"FIELD":null} {}`, "the body"},
	"trailing comma":      {`{"FIELD":null,}`, "the body"},
	"no quotes":           {`{FIELD:1}`, "the body"},
	"list":                {`[]`, "the body"},
	"string":              {`"FIELD"`, "the body"},
	"number":              {`1`, "the body"},
	"null":                {`null`, "the body"},
	"form":                {`FIELD=1`, "the body"},
	"only a NUL":          {"\x00", "the body"},
	"byte order mark":     {"\ufeff{}", "the body"},
	"UTF-16":              {"{\x00}\x00", "the body"},
	"deep with no fields": {strings.Repeat("[", 60_000), "deep"},
}

func TestBadBodies_areRefusedByNameAndChangeNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("known")
	before := a.state()
	routes := map[string][]string{
		"/api/services":                            {"service_id", "name", "interval", "stale_after", "forget_after", "metadata", "tags", "no_deadline", "alert_after", "recover_after"},
		"/api/services/known/heartbeat":            {"status", "message", "metadata", "final"},
		"/api/services/new/heartbeat?create=1":     {"status", "message", "metadata", "final"},
		"/api/services/known/heartbeat?interval=1": {"metadata"},
	}
	for target, fields := range routes {
		for _, field := range fields {
			for name, bad := range badBodies {
				body, want := strings.ReplaceAll(bad[0], "FIELD", field), strings.ReplaceAll(bad[1], "FIELD", field)
				p := a.do("POST", target, body).problem(400, "bad-request")
				require.Contains(t, p["detail"], want, "%s: %s", target, name)
				require.Less(t, len(p["detail"].(string)), 300)
			}
		}
	}
	require.Equal(t, before, a.state())
}

func TestBadFields_areRefusedByNameAndChangeNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("known")
	before := a.state()
	const register, beat, create = "/api/services", "/api/services/known/heartbeat", "/api/services/new/heartbeat?create=1"
	for _, c := range []struct {
		target, body string
		status       int
		detail       string // its beginning
	}{
		{register, `{}`, 422, "name "},
		{register, `{"Service_ID":"x"}`, 422, "name is empty"}, // keys match exactly
		{register, `{"service_id":1}`, 400, "service_id must be a string, got a number"},
		{register, `{"service_id":"x","service_name":[]}`, 400, "service_name must be a string, got a list"},
		{register, `{"service_id":"x","name":false}`, 400, "name must be a string, got a boolean"},
		{register, `{"service_id":"x","name":"` + strings.Repeat("n", 129) + `"}`, 422, "name is 129 characters long"},
		{register, `{"service_id":"x","interval":"30"}`, 400, "interval must be a number of seconds, got a string"},
		{register, `{"service_id":"x","interval":-1}`, 422, "interval is -1 seconds"},
		{register, `{"service_id":"x","interval":1e300}`, 422, "interval is 1e+300 seconds"},
		{register, `{"service_id":"x","interval":9223372036854775807}`, 422, "interval is 9.2"},
		{register, `{"service_id":"x","interval":1e-9}`, 422, "interval is 1ns"},
		{register, `{"service_id":"x","interval":1e-300}`, 422, "interval is less than"},
		{register, `{"service_id":"x","stale_after":{}}`, 400, "stale_after must be a number of seconds, got an object"},
		{register, `{"service_id":"x","stale_after":-0.5}`, 422, "stale_after is -0.5 seconds"},
		{register, `{"service_id":"x","interval":60,"stale_after":60}`, 422, "stale_after is 1m0s"},
		{register, `{"service_id":"x","stale_after":60,"no_deadline":true}`, 422, "stale_after "},
		{register, `{"service_id":"x","forget_after":"always"}`, 400, `forget_after must be a number of seconds or "never", got a string`},
		{register, `{"service_id":"x","forget_after":-1}`, 422, "forget_after is -1"},
		{register, `{"service_id":"x","no_deadline":1}`, 400, "no_deadline must be true or false, got a number"},
		{register, `{"service_id":"x","must_run":"yes"}`, 400, "must_run must be true or false, got a string"},
		{register, `{"service_id":"x","tags":"a"}`, 400, "tags must be a list of strings, got a string"},
		{register, `{"service_id":"x","tags":["a",1]}`, 400, "tags must be a list of strings, got a number"},
		{register, `{"service_id":"x","tags":[""]}`, 422, "tags[0] "},
		{register, `{"service_id":"x","metadata":[]}`, 400, "metadata must be an object, got a list"},
		{register, `{"service_id":"x","metadata":{"m":"` + strings.Repeat("m", 9000) + `"}}`, 422, "metadata "},
		{register, `{"service_id":"x","metadata":` + deep(20) + `}`, 422, "metadata.d"},
		{register, `{"service_id":"x","metadata":{"a":{"b":[1,{"c":1e999}]}}}`, 400, "metadata.a.b[1].c is a number too large"},
		{beat, `{"status":1}`, 400, "status must be a string, got a number"},
		{beat, `{"status":"great"}`, 422, "status "},
		{beat, `{"status":"stale"}`, 422, "status "},
		{beat, `{"message":{}}`, 400, "message must be a string, got an object"},
		{beat, `{"message":"` + strings.Repeat("m", 4097) + `"}`, 422, "message is 4097 bytes"},
		{beat, `{"metadata":"cpu"}`, 400, "metadata must be an object, got a string"},
		{beat, `{"metadata":{"":1}}`, 422, "metadata has an empty key"},
		{beat, `{"metadata":` + deep(20) + `}`, 422, "metadata.d"},
		{beat, `{"final":"yes"}`, 400, "final must be true or false, got a string"},
		{beat, `{"final":1}`, 400, "final must be true or false, got a number"},
		{create, `{"final":[]}`, 400, "final must be true or false, got a list"},
		{create, `{"metadata":` + deep(20) + `}`, 422, "metadata.d"},
		{create + "&interval=abc", ``, 422, "interval must be a number of seconds"},
		{create + "&interval=NaN", ``, 422, "interval is not a finite"},
		{create + "&interval=Inf", ``, 422, "interval is not a finite"},
		{create + "&interval=1e400", ``, 422, "interval is not a finite"},
		{create + "&interval=-1", ``, 422, "interval is -1"},
		{create + "&interval=1e30", ``, 422, "interval is 1e+30"},
		{create + "&interval=60&stale_after=1", ``, 422, "stale_after "},
		{create + "&interval=60&interval=60", ``, 422, "interval is given twice"},
		{create + "&name=%ff", ``, 422, "name is not valid UTF-8"},
		{create + "&name=" + strings.Repeat("n", 4096), ``, 422, "name is 4096"},
		{create + "&name=%zz", ``, 400, "the query"},
		{"/api/services/new/heartbeat?create=perhaps", ``, 422, "create must be"},
	} {
		r := a.do("POST", c.target, c.body).want(c.status)
		require.True(t, strings.HasPrefix(r.object()["detail"].(string), c.detail), "%s %.80s: %s", c.target, c.body, r.Body)
		if c.status == 422 {
			require.NotEmpty(t, r.object()["field"], "%s", r.Body)
		}
	}
	require.Equal(t, before, a.state())
}

func TestBadIDs_areRefusedByNameAndChangeNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("known")
	before := a.state()
	for name, id := range badIDs {
		path := "/api/services/" + url.PathEscape(id)
		for _, c := range [][3]string{
			{"GET", path},
			{"DELETE", path},
			{"GET", path + "/heartbeats"},
			{"POST", path + "/heartbeat"},
			{"POST", path + "/heartbeat", `{"status":"error"}`},
			{"POST", path + "/heartbeat?create=1&interval=60", `{"status":"error"}`},
		} {
			p := a.do(c[0], c[1], c[2]).problem(422, "invalid-service-id")
			require.Equal(t, "service_id", p["field"], name)
			require.True(t, strings.HasPrefix(p["detail"].(string), "service_id "), "%s: %v", name, p)
		}
		for _, target := range []string{"/api/events?service=", "/api/events/stream?service="} {
			p := a.do("GET", target+url.QueryEscape(id), "").problem(422, "invalid-query")
			require.Equal(t, "service", p["field"], name)
		}
		if name == "bad UTF-8" {
			require.Equal(t, "after", a.do("GET", "/api/services?after=%ff", "").problem(422, "invalid-query")["field"])
			continue // in a body it is a 400, which badBodies has
		}
		body := `{"service_id":` + quote(id) + `,"name":"x"}`
		require.Equal(t, "service_id", a.do("POST", "/api/services", body).problem(422, "invalid-service-id")["field"], name)
		failed := a.do("POST", "/api/heartbeats?create=1", "["+body+"]").want(200).object()["failed"].([]any)
		require.Len(t, failed, 1, name)
		require.Equal(t, "service_id", failed[0].(map[string]any)["field"], name)
	}
	a.do("GET", "/api/services/", "").problem(422, "invalid-service-id")
	require.Equal(t, before, a.state())
}

func TestBadQueries_areRefusedByName(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for target, field := range map[string]string{
		"/api/services?limit=x":                          "limit",
		"/api/services?limit=-1":                         "limit",
		"/api/services?limit=1e3":                        "limit",
		"/api/services?limit=99999999999999999999":       "limit",
		"/api/services?events=11":                        "events",
		"/api/services?events=-1":                        "events",
		"/api/services?status=great":                     "status",
		"/api/services?name=%ff":                         "name",
		"/api/services?tag=a&tag=b":                      "tag",
		"/api/events?after=-1":                           "after",
		"/api/events?after=1.5":                          "after",
		"/api/events?limit=-1":                           "limit",
		"/api/events?after=18446744073709551616":         "after",
		"/api/events/stream?after=x":                     "after",
		"/api/events/stream?after=0&service=a&service=b": "service",
	} {
		p := a.do("GET", target, "").problem(422, "invalid-query")
		require.Equal(t, field, p["field"], target)
		require.True(t, strings.HasPrefix(p["detail"].(string), field+" "), "%s: %v", target, p)
	}
	require.Equal(t, "Last-Event-ID", a.do("GET", "/api/events/stream", "", "Last-Event-ID", "x").problem(422, "invalid-query")["field"])
	a.do("GET", "/api/services?limit=%zz", "").problem(400, "bad-request")
	a.do("GET", "/api/services?a;b", "").problem(400, "bad-request")
}

func TestBodies_aboveTheirLimitAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("known")
	before := a.state()
	pad := func(body string, n int) string { return body + strings.Repeat(" ", n-len(body)) }
	const small, large = 64 << 10, 8 << 20
	for target, c := range map[string]struct {
		body  string
		limit int
	}{
		"/api/services":                        {`{"service_id":"new"}`, small},
		"/api/services/known/heartbeat":        {`{"status":"error"}`, small},
		"/api/services/new/heartbeat?create=1": {`{}`, small},
		"/api/heartbeats":                      {`[{"service_id":"known","status":"error"}]`, large},
	} {
		tooBig := pad(c.body, c.limit+1)
		a.do("POST", target, tooBig).problem(413, "too-large")
		unannounced := a.chunked(target, tooBig).problem(413, "too-large")
		require.Contains(t, unannounced["detail"], "limit of", target)
	}
	require.Equal(t, before, a.state())
	a.do("POST", "/api/services", pad(`{"service_id":"new"}`, small)).want(200)
	a.chunked("/api/services/known/heartbeat", pad(`{"status":"error"}`, small)).want(200)
	require.EqualValues(t, 1, a.do("POST", "/api/heartbeats", pad(`[{"service_id":"known"}]`, large)).want(200).object()["accepted"])
	require.EqualValues(t, 1, a.chunked("/api/heartbeats", pad(`[{"service_id":"known"}]`, large)).want(200).object()["accepted"])
}

func TestBodies_ofOtherMediaTypesAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("known")
	const target = "/api/services/known/heartbeat"
	for _, media := range []string{
		"", "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json", "text/json",
		"text/plain", "application/x-www-form-urlencoded", "application/octet-stream",
	} {
		a.do("POST", target, `{}`, "Content-Type", media).want(200)
	}
	for _, media := range []string{"text/html", "multipart/form-data; boundary=x", "image/png", "application/json; charset=utf-16", ";"} {
		a.do("POST", target, `{}`, "Content-Type", media).problem(415, "unsupported-media-type")
		a.do("POST", target, ``, "Content-Type", media).want(200) // nothing to misread
	}
	a.do("POST", target, `{}`, "Content-Encoding", "gzip").problem(415, "unsupported-media-type")
}

func TestInterceptor_refusalIsA422(t *testing.T) {
	t.Parallel()
	refuse := func(_ context.Context, _ laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
		return hb, &laneswap.ValidationError{Field: "metadata.cpu", Problem: "is missing", Err: laneswap.ErrInvalidHeartbeat}
	}
	a := withManager(t, laneswap.NewManager(laneswap.WithInterceptor(refuse)))
	a.register("known")
	p := a.do("POST", "/api/services/known/heartbeat", "").problem(422, "invalid-heartbeat")
	require.Equal(t, "metadata.cpu", p["field"])
	require.Equal(t, "metadata.cpu is missing", p["detail"])
	a.do("POST", "/api/services/new/heartbeat?create=1", "").problem(422, "invalid-heartbeat")
	a.do("GET", "/api/services/new", "").problem(404, "service-not-found")
}
