package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestBatch_appliesTheGoodAndListsTheBad(t *testing.T) {
	t.Parallel()
	items := []string{
		`{"service_id":"a","status":"warning","message":"hot","metadata":{"cpu":97}}`,
		`{"service_id":"nobody"}`,
		`{"service_id":"a","status":"stale"}`,
		`{"service_id":"a","message":1}`,
		`{"status":"error"}`,
		`[]`,
		`{"service_id":"a","metadata":{"x":1e999}}`,
		`{"service_id":"a","service_id":"b"}`,
		`{"service_id":"a","metadata":` + deep(1000) + `}`,
		`{"service_id":"b"}`,
	}
	want := []any{
		failure(1, "nobody", 404, "service-not-found", `beat "nobody": service not found`, ""),
		failure(2, "a", 422, "invalid-heartbeat", `status "stale" is derived from silence and cannot be reported`, "status"),
		failure(3, "a", 400, "bad-request", "message must be a string, got a number", ""),
		failure(4, "", 422, "invalid-service-id", "service_id is empty", "service_id"),
		failure(5, "", 400, "bad-request", "a heartbeat must be an object, got a list", ""),
	}
	bodies := map[string]struct{ body, media, prefix string }{
		"array":                   {"[" + strings.Join(items, " ,\n") + "]", "application/json", "[%d]."},
		"array from curl":         {"[" + strings.Join(items, ",") + "]", "application/x-www-form-urlencoded", "[%d]."},
		"NDJSON":                  {strings.Join(items, "\n"), "application/x-ndjson", ""},
		"NDJSON with last line":   {strings.Join(items, "\r\n") + "\r\n", "application/x-ndjson", ""},
		"NDJSON that nobody says": {strings.Join(items, "\n"), "", ""},
	}
	for name, c := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.register("a")
			a.register("b")
			got := a.do("POST", "/api/heartbeats", c.body, "Content-Type", c.media).want(200).object()
			require.Equal(t, []string{"accepted", "failed"}, keys(got))
			require.EqualValues(t, 2, got["accepted"])
			at := func(i int) string { return strings.ReplaceAll(c.prefix, "%d", fmt.Sprint(i)) }
			require.Equal(t, append(want[:len(want):len(want)],
				failure(6, "a", 400, "bad-request", at(6)+"metadata.x is a number too large for a float64", ""),
				failure(7, "b", 400, "bad-request", at(7)+"service_id is given twice", ""),
				failure(8, "", 400, "bad-request", at(8)+"metadata"+strings.Repeat(".d", 32)+" is nested deeper than 32 levels", ""),
			), got["failed"])

			st, err := a.m.Service(t.Context(), "a")
			require.NoError(t, err)
			require.EqualValues(t, 1, st.Beats)
			require.Equal(t, laneswap.StatusWarning, st.Status)
			require.Equal(t, "hot", st.Message)
			require.Equal(t, map[string]any{"cpu": 97.0}, st.Metadata)
			st, err = a.m.Service(t.Context(), "b")
			require.NoError(t, err)
			require.Equal(t, laneswap.StatusHealthy, st.Status)
		})
	}
}

func failure(index int, id string, status int, code, detail, field string) map[string]any {
	f := map[string]any{"index": float64(index), "service_id": id, "status": float64(status), "code": code, "detail": detail}
	if field != "" {
		f["field"] = field
	}
	return f
}

func TestBatch_arrayThatIsNotJSONAppliesNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	before := a.state()
	for body, detail := range map[string]string{
		``:                                   "the body is empty",
		`null`:                               "the body must be",
		`"a"`:                                "the body must be",
		`[{"service_id":"a"}`:                "[0] is not JSON",
		`[{"service_id":"a"},]`:              "[1] is not JSON",
		`[{"service_id":"a"},{"status":NaN}`: "[1].status is not JSON",
		`[{"service_id":"a"}] x`:             "the body is not JSON",
		`[{"service_id":"a"}` + strings.Repeat(" ", 10) + `{}]`:      "[0] is not JSON",
		`[{"service_id":"a"},{"metadata":` + strings.Repeat("[", 99): "[1].metadata[0]",
	} {
		p := a.do("POST", "/api/heartbeats", body).problem(400, "bad-request")
		require.Contains(t, p["detail"], detail, body)
	}
	require.Equal(t, before, a.state())
}

func TestBatch_lineThatIsNotJSONSpoilsNoOther(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	got := a.do("POST", "/api/heartbeats", "\n{\"service_id\":\"a\"}\n\n{\"service_id\":\n{\"service_id\":\"a\"}\n").want(200).object()
	require.EqualValues(t, 2, got["accepted"])
	failed := got["failed"].([]any)
	require.Len(t, failed, 1)
	require.EqualValues(t, 3, failed[0].(map[string]any)["index"], "the number of the line, from 0")
	require.Equal(t, "service_id is not JSON: unexpected end of JSON input, at byte 14", failed[0].(map[string]any)["detail"])
}

func TestBatch_createRegistersTheUnknown(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", "/api/heartbeats?create=1&interval=60", `[{"service_id":"a"},{"service_id":"b","status":"error"},{"service_id":"c","status":"?"}]`).want(200).object()
	require.EqualValues(t, 2, got["accepted"])
	require.Len(t, got["failed"], 1)
	sum, err := a.m.Summary(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[laneswap.Status]int{laneswap.StatusHealthy: 1, laneswap.StatusError: 1}, sum.Counts)
	a.do("POST", "/api/heartbeats?create=1&interval=-1", `[{"service_id":"a"}]`).problem(422, "invalid-registration")
}

func TestBatch_emptyArrayIsFine(t *testing.T) {
	t.Parallel()
	require.JSONEq(t, `{"accepted":0,"failed":[]}`, newAPI(t).do("POST", "/api/heartbeats", ` [ ] `).want(200).Body.String())
}

func TestBatch_ofManyIsAppliedWhole(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var b strings.Builder
	const n = 20_000 // above what is read without a slot
	for i := range n {
		fmt.Fprintf(&b, "{\"service_id\":\"s%d\"}\n", i%100)
	}
	got := a.do("POST", "/api/heartbeats?create=1", b.String()).want(200).object()
	require.EqualValues(t, n, got["accepted"])
	require.Empty(t, got["failed"])
	st, err := a.m.Service(t.Context(), "s42")
	require.NoError(t, err)
	require.EqualValues(t, n/100, st.Beats)
}

func TestBatch_isAppliedAlsoWhenTheClientDoesNotWait(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	ctx, leave := context.WithCancel(t.Context())
	body := io.MultiReader(strings.NewReader(`[{"service_id":"a"},{"service_id":"a"}]`), readerFunc(func([]byte) (int, error) {
		leave()
		return 0, io.EOF
	}))
	a.h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/api/heartbeats", body))
	st, err := a.m.Service(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 2, st.Beats)
}

// readerFunc makes a function an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// blockedBody delivers its beginning, says so, and the rest when told to.
type blockedBody struct {
	head    *strings.Reader
	reached chan<- struct{}
	resume  <-chan struct{}
	said    bool
}

func (b *blockedBody) Read(p []byte) (int, error) {
	if b.head.Len() > 0 {
		return b.head.Read(p)
	}
	if !b.said {
		b.said = true
		b.reached <- struct{}{}
	}
	<-b.resume
	return 0, errCut
}

func TestBatch_largeOnesAreHeldInBoundedNumber(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	reached, resume, codes := make(chan struct{}), make(chan struct{}), make(chan int)
	const slots = 16
	for range slots {
		go func() {
			codes <- a.post("/api/heartbeats", &blockedBody{strings.NewReader("[" + strings.Repeat(" ", 65<<10)), reached, resume, false}).Code
		}()
	}
	for range slots {
		<-reached
	}
	large := `[{"service_id":"a"}` + strings.Repeat(" ", 65<<10) + `]`
	r := a.do("POST", "/api/heartbeats", large)
	r.problem(503, "busy")
	require.Equal(t, "1", r.Header().Get("Retry-After"))
	a.do("POST", "/api/heartbeats", `[{"service_id":"a"}]`).want(200) // small ones need no slot
	close(resume)
	for range slots {
		require.Equal(t, 400, <-codes)
	}
	a.do("POST", "/api/heartbeats", large).want(200)
}
