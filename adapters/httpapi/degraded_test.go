package httpapi_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// hanging is a storage that does not answer while it is away.
type hanging struct {
	laneswap.Storage
	away atomic.Pointer[chan struct{}] // closed when it is back; nil while it is there
}

func (h *hanging) leave() {
	back := make(chan struct{})
	h.away.Store(&back)
}

func (h *hanging) comeBack() { close(*h.away.Swap(nil)) }

func (h *hanging) wait(ctx context.Context) error {
	back := h.away.Load()
	if back == nil {
		return nil
	}
	select {
	case <-*back:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hanging) Commit(ctx context.Context, b laneswap.Batch) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	return h.Storage.Commit(ctx, b)
}

func (h *hanging) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return h.slowly(ctx, h.Storage.Load(ctx))
}

func (h *hanging) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	return h.slowly(ctx, h.Storage.Rows(ctx, q))
}

func (h *hanging) slowly(ctx context.Context, rows iter.Seq2[laneswap.Row, error]) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		if err := h.wait(ctx); err != nil {
			yield(laneswap.Row{}, err)
			return
		}
		rows(yield)
	}
}

// started is a Manager with that storage behind its handler, stopped at the end.
func started(t *testing.T, store laneswap.Storage) *api {
	t.Helper()
	m := laneswap.NewManager(laneswap.WithStorage(store))
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { _ = m.Stop(context.WithoutCancel(t.Context())) })
	return withManager(t, m)
}

func TestHandler_hangingStorageCostsFiveSecondsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{Storage: memorystore.New()}
		a := started(t, store)
		for _, id := range []laneswap.ServiceID{"a", "b", "c"} {
			a.register(id)
		}
		brief := []string{"Prefer", "return=minimal"}
		a.do("POST", "/api/services/a/heartbeat", "", brief...).want(204)
		a.do("POST", "/api/services/b/heartbeat", "", brief...).want(204)
		require.Equal(t, "ok", a.do("GET", "/readyz", "").want(200).object()["status"])
		volatile := map[string]any{"durable": false}

		store.leave()
		begun := time.Now()
		require.Equal(t, volatile, a.do("POST", "/api/services/a/heartbeat", `{"status":"error"}`, brief...).want(200).object())
		require.Equal(t, 5*time.Second, time.Since(begun).Round(100*time.Millisecond))
		begun = time.Now()
		a.do("POST", "/api/services/b/heartbeat", "", brief...).want(204) // changes nothing that is stored
		require.Equal(t, false, a.do("POST", "/api/services/b/heartbeat", `{"status":"error"}`).want(200).object()["durable"])
		require.Equal(t, map[string]any{"service_id": "d", "durable": false}, a.do("POST", "/api/services", `{"service_id":"d"}`).want(200).object())
		require.Equal(t, false, a.do("POST", "/api/services/a/errors", `{"type":"T"}`).want(201).object()["durable"])
		require.Equal(t, volatile, a.do("DELETE", "/api/services/c", "").want(200).object())
		got := a.do("POST", "/api/heartbeats?create=1", `[{"service_id":"a"},{"service_id":"e"}]`).want(200).object()
		require.Equal(t, map[string]any{"failed": []any{}, "accepted": 2.0, "durable": false}, got)
		require.Less(t, time.Since(begun), 100*time.Millisecond, "it is known to be away")
		ready := a.do("GET", "/readyz", "").want(200).object()
		require.Equal(t, "degraded", ready["status"])
		require.Equal(t, "degraded", ready["storage"].(map[string]any)["state"])
		a.do("GET", "/readyz?strict=1", "").want(503)
		a.do("GET", "/api/services/c", "").problem(404, "service-not-found")
		a.do("GET", "/healthz", "").want(200)

		store.comeBack()
		time.Sleep(time.Minute) // virtual
		a.do("POST", "/api/services/a/heartbeat", "", brief...).want(204)
		require.Equal(t, "ok", a.do("GET", "/readyz?strict=1", "").want(200).object()["status"])
		require.Len(t, a.do("GET", "/api/services/a/errors", "").want(200).object()["errors"], 1)
		var kinds []any
		for _, ev := range a.do("GET", "/api/events", "").want(200).object()["events"].([]any) {
			kinds = append(kinds, ev.(map[string]any)["kind"])
		}
		require.Subset(t, kinds, []any{"storage_away", "storage_back"})
	})
}

func TestBeat_withoutAChangeWaitsForNoStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{Storage: memorystore.New()}
		a := started(t, store)
		for _, id := range []laneswap.ServiceID{"a", "b"} {
			a.register(id)
			a.do("POST", "/api/services/"+string(id)+"/heartbeat", "").want(200)
		}
		store.leave()
		changed := make(chan *reply, 1)
		go func() { // ends after five seconds
			changed <- a.do("POST", "/api/services/a/heartbeat", `{"status":"error"}`, "Prefer", "return=minimal")
		}()
		synctest.Wait() // it waits
		begun := time.Now()
		a.do("POST", "/api/services/b/heartbeat", "", "Prefer", "return=minimal").want(204)
		a.do("POST", "/api/services/b/heartbeat", `{"message":"fine"}`, "Prefer", "return=minimal").want(204)
		require.Zero(t, time.Since(begun))
		require.Equal(t, map[string]any{"durable": false}, (<-changed).want(200).object())
		store.comeBack()
	})
}

func TestHandler_unknownServicesAre503WhileLoading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{Storage: memorystore.New()}
		first := started(t, store)
		first.register("old")
		require.NoError(t, first.m.Stop(t.Context()))

		store.leave()
		a := started(t, store)
		for _, r := range []*reply{
			a.do("GET", "/api/services/old", ""), a.do("GET", "/api/services/nobody", ""), a.do("GET", "/api/services", ""),
			a.do("GET", "/api/summary", ""), a.do("GET", "/api/events", ""), a.do("HEAD", "/api/events/stream", ""),
			a.do("GET", "/api/services/old/history", ""), a.do("GET", "/api/services/old/errors", ""), a.do("GET", "/api/services/old/heartbeats", ""),
			a.do("GET", "/api/events/old/x-1/1/explain", ""),
			a.do("DELETE", "/api/services/old", ""), a.do("POST", "/api/services/nobody/heartbeat", ""),
			a.do("POST", "/api/services/nobody/heartbeat", "", "Prefer", "return=minimal"), a.do("POST", "/api/services/old/errors", `{"type":"T"}`),
		} {
			r.problem(503, "loading")
			require.Equal(t, "1", r.Header().Get("Retry-After"))
		}
		require.Equal(t, "loading", a.do("GET", "/readyz", "").want(503).object()["status"])
		a.do("GET", "/api/health", "").want(200)

		store.comeBack()
		time.Sleep(time.Minute) // virtual
		a.do("GET", "/api/services/old", "").want(200)
		a.do("GET", "/api/services/nobody", "").problem(404, "service-not-found")
		require.Equal(t, "ok", a.do("GET", "/readyz", "").want(200).object()["status"])
	})
}
