package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fill repeats a piece until the body is as long as a batch may be.
func fill(head, piece, tail string) string { return fillTo(8<<20, head, piece, tail) }

func fillTo(n int, head, piece, tail string) string {
	return head + strings.Repeat(piece, (n-len(head)-len(tail))/len(piece)) + tail
}

func TestBatch_itemAboveTheLimitOfAHeartbeatIsABadOne(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	pad := func(n int) string {
		return `{"service_id":"a","x":"` + strings.Repeat("x", n-len(`{"service_id":"a","x":""}`)) + `"}`
	}
	good := `{"service_id":"a"}`
	for name, body := range map[string]string{
		"array":  "[" + good + ", " + pad(limit+1) + " ," + pad(limit) + "," + good + "]",
		"NDJSON": good + "\n " + pad(limit+1) + " \r\n " + pad(limit) + " \n" + good,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.register("a")
			got := a.do("POST", "/api/heartbeats", body).want(200).object()
			require.EqualValues(t, 3, got["accepted"])
			require.Equal(t, []any{
				failure(1, "", 413, "too-large", "the heartbeat is 65537 bytes long, the limit is 65536", ""),
			}, got["failed"])
		})
	}
}

func TestBatch_listsTheFirstFailuresAndCountsTheRest(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	const n = 1000
	got := a.do("POST", "/api/heartbeats", "["+strings.Repeat("1,", n)+`{"service_id":"a"}]`).want(200).object()
	require.Equal(t, []string{"accepted", "failed"}, keys(got), "nothing was left out")
	require.Len(t, got["failed"], n)

	got = a.do("POST", "/api/heartbeats", "["+strings.Repeat("1,", n+5)+`{"service_id":"a"}]`).want(200).object()
	require.Equal(t, []string{"accepted", "failed", "failed_total"}, keys(got))
	require.Len(t, got["failed"], n)
	require.EqualValues(t, n+5, got["failed_total"])
	require.EqualValues(t, 1, got["accepted"])
	require.EqualValues(t, n-1, got["failed"].([]any)[n-1].(map[string]any)["index"], "the first ones are listed")
}

// TestBatch_holdsLittleMoreThanItsBody is not parallel: it measures the heap of
// the whole process while an answer is made.
func TestBatch_holdsLittleMoreThanItsBody(t *testing.T) {
	deepest := strings.Repeat("[", 28) + strings.Repeat("]", 28) + ","
	for name, body := range map[string]string{
		"one item of objects":   fill(`[{"service_id":"a","metadata":{"l":[`, "{},", `{}]}}]`),
		"one item of lists":     fill(`[{"service_id":"a","metadata":{"l":[`, "[],", `[]]}}]`),
		"one item of depth":     fill(`[{"service_id":"a","metadata":{"l":[`, deepest, `1]}}]`),
		"one item of numbers":   fill(`[{"service_id":"a","metadata":{"l":[`, "1,", `1]}}]`),
		"one item of keys":      fill(`[{"service_id":"a","metadata":{"k":0`, `,"k":0`, `}}]`),
		"one item of escapes":   fill(`[{"service_id":"a","message":"`, `\u00e9`, `"}]`),
		"one item of bad UTF-8": fill(`[{"service_id":"a","metadata":{"l":[`, "\"\xff\",", `1]}}]`),
		"one line of objects":   fill(`{"service_id":"a","metadata":{"l":[`, "{},", `{}]}}`),
		"items cut off":         fill(`[{"service_id":"a","metadata":{"l":[`, "{},", `{}`),
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			a.register("a")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rec := a.post("/api/heartbeats", strings.NewReader(body))
			runtime.ReadMemStats(&after)
			// All that was ever allocated, dead or not. Reading a body whose length is
			// not known takes four times its length, more with the race detector.
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(96<<20), "for a body of 8 MiB")
			if name == "items cut off" {
				require.Equal(t, 400, rec.Code)
				return
			}
			got := (&reply{t, rec}).want(200).object()
			require.EqualValues(t, 0, got["accepted"])
			require.Len(t, got["failed"], 1)
			require.EqualValues(t, 413, got["failed"].([]any)[0].(map[string]any)["status"])
		})
	}
}

// counting throws an answer away and knows how long it was.
type counting struct {
	http.ResponseWriter
	n    int
	peak uint64 // of the live heap, seen when something was written
}

func (c *counting) Write(p []byte) (int, error) {
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	c.n, c.peak = c.n+len(p), max(c.peak, ms.HeapAlloc)
	return len(p), nil
}

func TestBatch_ofOnlyFailuresHasAShortAnswer(t *testing.T) {
	const n = 1 << 20 // bytes
	for name, body := range map[string]string{
		"numbers":        fillTo(n/4, "[", "1,", "1]"),
		"empty":          fillTo(n/4, "[", "{},", "{}]"),
		"lines":          fillTo(n/4, "{}\n", "1\n", ""),
		"long ids":       fillTo(n, "[", `{"service_id":"`+strings.Repeat(`\u0001`, 200)+`"},`, "1]"),
		"too large ones": fillTo(n, "[", `{"metadata":"`+strings.Repeat("x", 64<<10)+`"},`, "1]"),
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			w := &counting{ResponseWriter: httptest.NewRecorder()}
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/api/heartbeats", io.NopCloser(strings.NewReader(body)))
			runtime.GC()
			a.h.ServeHTTP(w, req)
			require.Positive(t, w.n)
			require.Less(t, w.n, 2<<20)
			require.Less(t, w.peak, uint64(64<<20))
		})
	}
}

func TestBatch_syntaxErrorsReadAsForOneHeartbeat(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, bad := range badBodies {
		body := strings.ReplaceAll(bad[0], "FIELD", "k\\u0065y")
		if json.Valid([]byte(body)) || name == "deep with no fields" {
			continue
		}
		alone := a.do("POST", "/api/services/a/heartbeat", body).problem(400, "bad-request")["detail"].(string)
		if field, _, ok := strings.Cut(alone, " is not JSON"); ok && field == "key" {
			p := a.do("POST", "/api/heartbeats", "["+body+"]").problem(400, "bad-request")
			require.True(t, strings.HasPrefix(p["detail"].(string), "[0].key is not JSON"), "%s: %v", name, p)
		}
	}
}
