package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func TestHistory_asksForItsPeriodAndReadsAllOfIt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 20, 0, 0, 1_000_000, time.UTC)
	want := laneswap.History{
		Service: "a@b", From: at, To: at.Add(time.Hour), KnownFrom: at.Add(time.Minute),
		Up: 40 * time.Minute, Down: 10 * time.Minute, Unknown: time.Minute, Absent: 9 * time.Minute,
		IncidentCount: 2, Recovered: 1, MeanTimeToRecovery: 7 * time.Minute,
		Spans: []laneswap.Span{{
			State: laneswap.SpanDown, Status: laneswap.StatusError, From: at, To: at.Add(time.Minute), Beats: 7, LongestGap: 1500 * time.Millisecond,
			Message: "no <disk>", Incident: "a@b/x-1",
		}},
		Incidents: []laneswap.PastIncident{{ID: "a@b/x-1", StartedAt: at, Duration: time.Minute, Worst: laneswap.StatusError, Cause: "reported error"}},
		Absences:  []laneswap.Absence{{From: at, To: at.Add(9 * time.Minute)}},
		Events:    []laneswap.Event{{ID: "a@b/x-1/1", Sequence: 3, Kind: laneswap.EventDown, Service: "a@b", From: "healthy", To: "error", At: at}},
		Truncated: true,
	}
	var asked *http.Request
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		_ = json.NewEncoder(w).Encode(want)
	})
	got, err := c.History(t.Context(), "a@b", laneswap.HistoryQuery{From: at.In(time.FixedZone("x", 3600)), To: at.Add(time.Hour), Limit: 7})
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, "/api/services/a@b/history", asked.URL.Path)
	require.Equal(t, "from=2026-11-21T20%3A00%3A00.001Z&limit=7&to=2026-11-21T21%3A00%3A00.001Z", asked.URL.RawQuery)
	_, err = c.History(t.Context(), "a", laneswap.HistoryQuery{})
	require.NoError(t, err)
	require.Empty(t, asked.URL.RawQuery)
	_, err = against(t, says(200, "[]")).History(t.Context(), "a", laneswap.HistoryQuery{})
	require.ErrorIs(t, err, laneswap.ErrLaneSwap)
}

// errorLogOf serves n errors, newest first, in pages.
func errorLogOf(n int, pages *int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*pages++
		newest := n
		if before := r.URL.Query().Get("before"); before != "" {
			newest, _ = strconv.Atoi(strings.TrimPrefix(before, "a/"))
			newest--
		}
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		var list struct {
			Errors []laneswap.ErrorRecord `json:"errors"`
			Next   string                 `json:"next,omitempty"`
		}
		for ; newest > 0 && len(list.Errors) < limit; newest-- {
			list.Errors = append(list.Errors, laneswap.ErrorRecord{ID: fmt.Sprint("a/", newest), Service: "a"})
		}
		if newest > 0 {
			list.Next = list.Errors[len(list.Errors)-1].ID
		}
		_ = json.NewEncoder(w).Encode(list)
	}
}

func TestErrors_arePagedBehindTheScenes(t *testing.T) {
	t.Parallel()
	pages := 0
	c := against(t, errorLogOf(1000, &pages))
	for limit, wantPages := range map[int]int{0: 10, 1: 1, 100: 1, 101: 2, 999: 10, 1000: 10, 5000: 10} {
		pages = 0
		next := 1000
		for rec, err := range c.Errors(t.Context(), "a", laneswap.ErrorQuery{Limit: limit}) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("a/", next), rec.ID)
			next--
		}
		want := 1000
		if limit > 0 {
			want = min(want, limit)
		}
		require.Equal(t, want, 1000-next, limit)
		require.Equal(t, wantPages, pages, limit)
	}
	pages = 0
	for rec, err := range c.Errors(t.Context(), "a", laneswap.ErrorQuery{Before: "a/3"}) {
		require.NoError(t, err)
		require.Equal(t, "a/2", rec.ID)
		break
	}
	require.Equal(t, 1, pages)
}

func TestErrors_endWhenTheListingDoesNot(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"errors":[{"id":"a/1"}],"next":"a/1"}`, `{"errors":[],"next":"a/2"}`} {
		var last error
		n := 0
		for _, err := range against(t, says(200, body)).Errors(t.Context(), "a", laneswap.ErrorQuery{}) {
			last = err
			n++
		}
		require.ErrorIs(t, last, laneswap.ErrLaneSwap, body)
		require.LessOrEqual(t, n, 3)
	}
}

func TestReportError_sendsWhatJSONCanHold(t *testing.T) {
	t.Parallel()
	var body map[string]any
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		body = nil
		_ = json.NewDecoder(r.Body).Decode(&body)
		says(201, `{"id":"a/1"}`)(w, r)
	})
	_, err := c.ReportError(t.Context(), "a", laneswap.ErrorReport{Type: "T\xff", Message: "m <b>", Stack: "main.go:1\n\tx", Metadata: map[string]any{"n": 1}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"type": "T", "message": "m <b>", "stack": "main.go:1\n\tx", "metadata": map[string]any{"n": 1.0}}, body)

	for field, rep := range map[string]laneswap.ErrorReport{
		"stack":      {Type: "T", Stack: strings.Repeat("s", 300<<10)},
		"message":    {Message: strings.Repeat("m", 300<<10)},
		"type":       {Type: strings.Repeat("t", 300<<10)},
		"metadata":   {Type: "T", Metadata: map[string]any{"x": strings.Repeat("x", 300<<10)}},
		"metadata.f": {Type: "T", Metadata: map[string]any{"f": func() {}}},
	} {
		_, err := c.ReportError(t.Context(), "a", rep)
		var invalid *laneswap.ValidationError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
		require.ErrorIs(t, err, laneswap.ErrInvalidErrorReport)
	}
	_, err = against(t, says(413, `{"status":413,"code":"too-large","detail":"x"}`)).ReportError(t.Context(), "a", laneswap.ErrorReport{Stack: "s"})
	require.ErrorIs(t, err, laneswap.ErrInvalidErrorReport, "what a proxy finds too large, too")
	_, err = against(t, says(422, `{"status":422,"code":"invalid-error-report","field":"type","detail":"type is long"}`)).ReportError(t.Context(), "a", laneswap.ErrorReport{Type: "T"})
	var refused *client.ResponseError
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, err, laneswap.ErrInvalidErrorReport)
}
