package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// storing is a Manager whose storage is whatever a test needs.
type storing struct {
	*laneswap.Manager
	syncErr  error
	verbErr  error // of every verb that is asked for a service, when set
	ready    error
	health   laneswap.Health
	journal  string
	volatile bool // nothing is durable
	synced   int

	past     laneswap.History
	asked    laneswap.HistoryQuery
	reported laneswap.ErrorReport
	errors   []laneswap.ErrorRecord
	listed   laneswap.ErrorQuery
}

func newStoring() *storing { return &storing{Manager: laneswap.NewManager()} }

func (s *storing) api(t testing.TB, opts ...httpapi.Option) *api {
	t.Helper()
	a := &api{t: t, m: s.Manager, h: httpapi.NewFake(s, opts...)}
	t.Cleanup(a.h.Close)
	return a
}

func (s *storing) Sync(ctx context.Context) error {
	s.synced++
	return errors.Join(s.syncErr, ctx.Err())
}

func (s *storing) Ready(ctx context.Context) error {
	if s.ready != nil {
		return s.ready
	}
	return s.Manager.Ready(ctx)
}

func (s *storing) Health() laneswap.Health { return s.health }

func (s *storing) Register(ctx context.Context, reg laneswap.Registration) (laneswap.ServiceStatus, error) {
	if s.verbErr != nil {
		return laneswap.ServiceStatus{}, s.verbErr
	}
	st, err := s.Manager.Register(ctx, reg)
	st.NotDurable = s.volatile
	return st, err
}

func (s *storing) Announce(ctx context.Context, reg laneswap.Registration, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error) {
	st, err := s.Manager.Announce(ctx, reg, hb)
	st.NotDurable = s.volatile
	return st, err
}

func (s *storing) Report(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error) {
	if s.verbErr != nil {
		return laneswap.ServiceStatus{}, s.verbErr
	}
	st, err := s.Manager.Report(ctx, id, hb)
	st.NotDurable = s.volatile
	return st, err
}

func (s *storing) Beat(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) error {
	if s.verbErr != nil {
		return s.verbErr
	}
	return s.Manager.Beat(ctx, id, hb)
}

func (s *storing) BeatAndWait(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (bool, error) {
	err := s.Beat(ctx, id, hb)
	return err == nil && !s.volatile, err
}

func (s *storing) Service(ctx context.Context, id laneswap.ServiceID) (laneswap.ServiceStatus, error) {
	if s.verbErr != nil {
		return laneswap.ServiceStatus{}, s.verbErr
	}
	return s.Manager.Service(ctx, id)
}

func (s *storing) Remove(ctx context.Context, id laneswap.ServiceID) error {
	err := s.Manager.Remove(ctx, id)
	if err == nil && s.volatile {
		return fmt.Errorf("laneswap: remove %q: %w", id, laneswap.ErrDegraded)
	}
	return err
}

func (s *storing) Summary(ctx context.Context) (laneswap.Summary, error) {
	sum, err := s.Manager.Summary(ctx)
	sum.Journal = s.journal
	return sum, err
}

func (s *storing) History(_ context.Context, id laneswap.ServiceID, q laneswap.HistoryQuery) (laneswap.History, error) {
	s.asked = q
	past := s.past
	past.Service = id
	return past, s.verbErr
}

func (s *storing) ReportError(_ context.Context, id laneswap.ServiceID, rep laneswap.ErrorReport) (laneswap.ErrorRecord, error) {
	s.reported = rep
	if s.verbErr != nil {
		return laneswap.ErrorRecord{}, s.verbErr
	}
	return laneswap.ErrorRecord{
		ID: string(id) + "/1", Service: id, At: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC),
		Type: rep.Type, Message: rep.Message, Stack: rep.Stack, Metadata: rep.Metadata, NotDurable: s.volatile,
	}, nil
}

func (s *storing) Errors(_ context.Context, _ laneswap.ServiceID, q laneswap.ErrorQuery) iter.Seq2[laneswap.ErrorRecord, error] {
	return func(yield func(laneswap.ErrorRecord, error) bool) {
		s.listed = q
		n := 0
		for _, rec := range s.errors {
			if q.Before != "" && rec.ID >= q.Before {
				continue
			}
			if !yield(rec, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
		if s.verbErr != nil {
			yield(laneswap.ErrorRecord{}, s.verbErr)
		}
	}
}

func TestBeat_saysWhenItsCommitHasToWait(t *testing.T) {
	t.Parallel()
	s := newStoring()
	a := s.api(t)
	a.register("a")
	brief := []string{"Prefer", "return=minimal"}
	a.do("POST", "/api/services/a/heartbeat", "", brief...).want(204)
	require.NotContains(t, a.do("POST", "/api/services/a/heartbeat", "").want(200).object(), "durable")

	s.volatile = true
	r := a.do("POST", "/api/services/a/heartbeat", `{"status":"error"}`, brief...).want(200)
	require.Equal(t, map[string]any{"durable": false}, r.object())
	require.Equal(t, "return=minimal", r.Header().Get("Preference-Applied"))
	require.Equal(t, map[string]any{"durable": false}, a.do("POST", "/api/services/b/heartbeat?create=1", "", brief...).want(200).object())
	require.Equal(t, false, a.do("POST", "/api/services/a/heartbeat", "").want(200).object()["durable"])
	require.Equal(t, false, a.do("POST", "/api/services/c/heartbeat?create=1", "").want(200).object()["durable"])
	st, err := s.Manager.Service(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 4, st.Beats, "all were heard")
	require.Zero(t, s.synced, "a beat waits for its own commit only")
	a.do("POST", "/api/services/nobody/heartbeat", "", brief...).problem(404, "service-not-found")
}

func TestBeatMany_waitsForOneSync(t *testing.T) {
	t.Parallel()
	s := newStoring()
	a := s.api(t)
	a.register("a")
	items := `[{"service_id":"a"},{"service_id":"a","status":"error"},{"service_id":"b"}]`
	require.NotContains(t, a.do("POST", "/api/heartbeats", items).want(200).object(), "durable")
	require.Equal(t, 1, s.synced)
	s.syncErr = laneswap.ErrDegraded
	got := a.do("POST", "/api/heartbeats", items).want(200).object()
	require.Equal(t, false, got["durable"])
	require.EqualValues(t, 2, got["accepted"])
	require.Equal(t, false, a.do("POST", "/api/heartbeats?create=1", items).want(200).object()["durable"])
	require.Equal(t, 3, s.synced, "one for all, registrations included")
}

func TestRegister_saysWhenItsCommitHasToWait(t *testing.T) {
	t.Parallel()
	s := newStoring()
	a := s.api(t)
	require.Equal(t, map[string]any{"service_id": "a"}, a.do("POST", "/api/services", `{"service_id":"a"}`).want(200).object())
	s.volatile = true
	require.Equal(t, map[string]any{"service_id": "a", "durable": false}, a.do("POST", "/api/services", `{"service_id":"a"}`).want(200).object())
	whole := a.do("POST", "/api/services", `{"service_id":"a"}`, "Prefer", "return=representation").want(200).object()
	require.Equal(t, false, whole["durable"])
	require.Equal(t, "a", whole["id"])
	require.Equal(t, "a", whole["service_id"])
}

func TestRemove_saysWhenItsCommitHasToWait(t *testing.T) {
	t.Parallel()
	s := newStoring()
	a := s.api(t)
	a.register("a")
	a.register("b")
	require.Empty(t, a.do("DELETE", "/api/services/a", "").want(204).Body.String())
	s.volatile = true
	require.Equal(t, map[string]any{"durable": false}, a.do("DELETE", "/api/services/b", "").want(200).object())
	a.do("DELETE", "/api/services/b", "").problem(404, "service-not-found")
}

func TestHandler_storageErrorsAre503WithoutTheirText(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		err    error
		logged bool
	}{
		"loading":  {fmt.Errorf("laneswap: service %q: %w: mongodb://user:secret@host", "a", laneswap.ErrLoading), false},
		"degraded": {fmt.Errorf("laneswap: service %q: %w: mongodb://user:secret@host", "a", laneswap.ErrDegraded), false},
		"storage":  {errors.Join(laneswap.ErrStorage, errors.New("mongodb://user:secret@host")), true},
	} {
		var log bytes.Buffer
		s := newStoring()
		s.verbErr = c.err
		a := s.api(t, httpapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for _, r := range []*reply{
			a.do("GET", "/api/services/a", ""), a.do("POST", "/api/services/a/heartbeat", ""),
			a.do("POST", "/api/services/a/heartbeat", "", "Prefer", "return=minimal"), a.do("POST", "/api/services", `{"name":"a"}`),
			a.do("GET", "/api/services/a/history", ""), a.do("GET", "/api/services/a/errors", ""),
			a.do("POST", "/api/services/a/errors", `{"message":"x"}`),
		} {
			r.problem(503, code)
			require.Equal(t, "1", r.Header().Get("Retry-After"), code)
			require.NotContains(t, r.Body.String(), "secret")
		}
		failed := a.do("POST", "/api/heartbeats", `[{"service_id":"a"}]`).want(200).object()["failed"].([]any)
		require.Equal(t, code, failed[0].(map[string]any)["code"])
		require.Equal(t, c.logged, strings.Contains(log.String(), "secret"), "%s: %s", code, &log)
	}
}

func TestReady_tellsOfItsStorage(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		ready          error
		health         laneswap.Health
		status, strict int
		says           string
	}{
		"no storage":       {nil, laneswap.Health{Stage: "running"}, 200, 200, "ok"},
		"a good one":       {nil, laneswap.Health{Stage: "running", Storage: &laneswap.StorageHealth{State: "ok"}}, 200, 200, "ok"},
		"one that is away": {nil, laneswap.Health{Stage: "running", Storage: &laneswap.StorageHealth{State: "degraded", Since: since, Backlog: 7, Lost: 2}}, 200, 503, "degraded"},
		"a fenced one":     {nil, laneswap.Health{Stage: "running", Storage: &laneswap.StorageHealth{State: "fenced", Since: since}}, 200, 503, "degraded"},
		"not yet loaded":   {nil, laneswap.Health{Stage: "loading", Storage: &laneswap.StorageHealth{State: "loading", Since: since}}, 503, 503, "loading"},
		"says so itself":   {fmt.Errorf("laneswap: ready: %w", laneswap.ErrLoading), laneswap.Health{}, 503, 503, "loading"},
		"not started":      {fmt.Errorf("laneswap: ready: %w", laneswap.ErrNotStarted), laneswap.Health{Stage: "new"}, 503, 503, "starting"},
		"stopped":          {fmt.Errorf("laneswap: ready: %w", laneswap.ErrStopped), laneswap.Health{Stage: "stopped", Storage: &laneswap.StorageHealth{State: "degraded"}}, 503, 503, "stopping"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStoring()
			s.ready, s.health = c.ready, c.health
			a := s.api(t)
			got := a.do("GET", "/readyz", "").want(c.status).object()
			require.Equal(t, c.says, got["status"])
			require.Equal(t, c.health.Storage != nil, got["storage"] != nil)
			if h := c.health.Storage; h != nil {
				want := map[string]any{"state": h.State, "backlog": float64(h.Backlog), "lost": float64(h.Lost)}
				if !h.Since.IsZero() {
					want["since"] = "2026-11-21T20:00:00Z"
				}
				require.Equal(t, want, got["storage"])
			}
			require.Equal(t, c.says, a.do("GET", "/readyz?strict=1", "").want(c.strict).object()["status"])
		})
	}
	newAPI(t).do("GET", "/readyz?strict=perhaps", "").problem(422, "invalid-query")
}

func TestJournal_namesTheNumberingOfEvents(t *testing.T) {
	t.Parallel()
	s := newStoring()
	s.journal = "j1"
	a := s.api(t)
	a.register("a")
	flip(t, s.Manager, "a")
	require.Equal(t, "j1", a.do("GET", "/api/summary", "").want(200).object()["journal"])
	require.Equal(t, "j1", a.do("GET", "/api/events", "").want(200).object()["journal"])
	require.Equal(t, "j1", a.do("HEAD", "/api/events/stream", "").want(200).Header().Get(httpapi.JournalHeader))

	// A restart with a storage: another boot id, the same journal.
	again := s.api(t)
	require.Equal(t, "j1", again.do("HEAD", "/api/events/stream?after=1&journal=j1", "").want(200).Header().Get(httpapi.JournalHeader))
	again.do("HEAD", "/api/events/stream?journal=j1", "", "Last-Event-ID", "2").want(200)
	s.journal = "j2"
	again.do("HEAD", "/api/events/stream?after=1&journal=j1", "").problem(http.StatusGone, "gone")
	again.do("HEAD", "/api/events/stream?journal=j1", "").problem(http.StatusGone, "gone")
	again.do("HEAD", "/api/events/stream?journal=", "").want(200)
}

func TestBeatMany_isHeardWhileTheStorageIsLoading(t *testing.T) {
	t.Parallel()
	s := newStoring()
	s.ready, s.syncErr = fmt.Errorf("laneswap: ready: %w", laneswap.ErrLoading), laneswap.ErrDegraded
	a := s.api(t)
	a.register("a")
	got := a.do("POST", "/api/heartbeats", `[{"service_id":"a"}]`).want(200).object()
	require.EqualValues(t, 1, got["accepted"])
	require.Equal(t, false, got["durable"])
	s.ready = fmt.Errorf("laneswap: ready: %w", laneswap.ErrStopped)
	a.do("POST", "/api/heartbeats", `[{"service_id":"a"}]`).problem(503, "stopped")
}
