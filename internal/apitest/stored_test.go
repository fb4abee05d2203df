package apitest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
	"github.com/laneswap/laneswap/internal/apitest"
)

func stored(t *testing.T, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(append(opts, laneswap.WithStorage(memorystore.New()))...)
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { stop(t, m) })
	return m
}

func TestManager_withAStorage(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T, opts ...laneswap.Option) apitest.API { return stored(t, opts...) })
}

func TestClient_ofAServerWithAStorage(t *testing.T) {
	t.Parallel()
	apitest.Run(t, func(t *testing.T, opts ...laneswap.Option) apitest.API { return serve(t, stored(t, opts...)) })
}

func TestClient_saysWhatTheManagerWithAStorageSays(t *testing.T) {
	t.Parallel()
	apitest.Same(t, func(t *testing.T, opts ...laneswap.Option) (near, far apitest.API) {
		m := stored(t, opts...)
		return m, serve(t, m)
	})
}
