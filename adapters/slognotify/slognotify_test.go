package slognotify_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/slognotify"
)

func TestNotifier_writesTransitionsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "event" || a.Key == "incident" {
				return slog.Attr{}
			}
			return a
		}}))
		m := laneswap.NewManager(laneswap.WithNotifier(slognotify.New(log)))
		require.NoError(t, m.Start(t.Context()))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		time.Sleep(90 * time.Second)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		require.NoError(t, m.Stop(context.Background()))
		require.Equal(t, `level=ERROR msg="svc is stale, was healthy, silent since 2000-01-01T00:00:00Z" kind=down service=svc from=healthy to=stale at=2000-01-01T00:01:00.000Z
level=INFO msg="svc recovered and is healthy after 30s, since 2000-01-01T00:01:00Z (it was: silent for longer than 1m0s)" kind=recovered service=svc from=stale to=healthy at=2000-01-01T00:01:30.000Z duration=30s
`, out.String())
	})
}
