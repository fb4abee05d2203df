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

func manager(t *testing.T) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager()
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, m.Stop(context.WithoutCancel(t.Context()))) })
	return m
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
	apitest.Run(t, func(t *testing.T) apitest.API { return manager(t) })
}

func TestClient_overARealServer(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T) apitest.API { return serve(t, manager(t)) })
}

func TestClient_saysWhatTheManagerSays(t *testing.T) {
	t.Parallel()
	apitest.Same(t, func(t *testing.T) (near, far apitest.API) {
		m := manager(t)
		return m, serve(t, m)
	})
}
