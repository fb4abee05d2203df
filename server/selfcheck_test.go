package server_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

func TestSelfCheck_saysThatOurAddressAnswers(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // not for us
	for _, host := range []config.Host{"127.0.0.1", "0.0.0.0"} {
		s := run(t, settings(func(c *config.Config) { c.Host = host }))
		get(t, s.URL()+"/healthz")
		require.Equal(t, "LaneSwap's own address answers", s.SelfCheck(t.Context()))
	}
}

func TestSelfCheck_saysWhyItDoesNot(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		s, err := server.Open(settings(nil))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Equal(t, "LaneSwap's own address does not answer: connect: connection refused", s.SelfCheck(t.Context()))
	})
	t.Run("every connection is used", func(t *testing.T) {
		t.Parallel()
		s := run(t, settings(func(c *config.Config) { c.MaxConnections = 1 }))
		conn, err := net.Dial("tcp", s.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n"))
		require.NoError(t, err)
		require.Less(t, server.SelfCheckTimeout, 5*time.Second, "the Manager gives it no longer")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		require.Equal(t, "LaneSwap's own address does not answer within 3s", s.SelfCheck(ctx))
	})
}

// TestServer_tellsOfManySilencesWhatItFoundOutAboutItself is one message for ten
// services that fall silent at once.
func TestServer_tellsOfManySilencesWhatItFoundOutAboutItself(t *testing.T) {
	t.Parallel()
	notes := make(chan laneswap.Notification, 100)
	s := run(t, settings(func(c *config.Config) { c.GroupWait = 500 * time.Millisecond }), server.WithManagerOptions(
		laneswap.WithNotifier(laneswap.NotifierFunc(func(_ context.Context, n laneswap.Notification) error {
			notes <- n
			return nil
		}))))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	for _, id := range []laneswap.ServiceID{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: id, StaleAfter: 300 * time.Millisecond})
		require.NoError(t, err)
		require.NoError(t, s.Manager().Beat(t.Context(), id, laneswap.Heartbeat{}))
	}
	select {
	case n := <-notes:
		require.Equal(t, laneswap.NoticeMassSilence, n.Kind, n.Text)
		require.Len(t, n.Items, 10)
		require.Contains(t, n.Finding, "LaneSwap's own address answers")
	case <-time.After(20 * time.Second):
		require.Fail(t, "nobody was told")
	}
}
