package apitest_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/apitest"
)

func manager(t *testing.T, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(opts...)
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { stop(t, m) })
	return m
}

// stop stops a Manager, which may say that notices are still owed.
func stop(t *testing.T, m *laneswap.Manager) {
	t.Helper()
	if err := m.Stop(context.WithoutCancel(t.Context())); err != nil {
		require.ErrorIs(t, err, laneswap.ErrNotifier)
	}
}

func serve(t *testing.T, m *laneswap.Manager) *client.Client {
	t.Helper()
	handler := httpapi.New(m)
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		handler.Close()
		server.Close()
	})
	c, err := client.New(server.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestManager(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T, opts ...laneswap.Option) apitest.API { return manager(t, opts...) })
}

func TestClient_overARealServer(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T, opts ...laneswap.Option) apitest.API { return serve(t, manager(t, opts...)) })
}

func TestClient_saysWhatTheManagerSays(t *testing.T) {
	t.Parallel()
	apitest.Same(t, func(t *testing.T, opts ...laneswap.Option) (near, far apitest.API) {
		m := manager(t, opts...)
		return m, serve(t, m)
	})
}
