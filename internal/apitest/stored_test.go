package apitest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
	"github.com/laneswap/laneswap/internal/apitest"
)

func stored(t *testing.T) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(laneswap.WithStorage(memorystore.New()))
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, m.Stop(context.WithoutCancel(t.Context()))) })
	return m
}

func TestManager_withAStorage(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T) apitest.API { return stored(t) })
}

func TestClient_ofAServerWithAStorage(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T) apitest.API { return serve(t, stored(t)) })
}

func TestClient_saysWhatTheManagerWithAStorageSays(t *testing.T) {
	t.Parallel()
	apitest.Same(t, func(t *testing.T) (near, far apitest.API) {
		m := stored(t)
		return m, serve(t, m)
	})
}
