package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// selfCheckTimeout limits how long the answer may take.
const selfCheckTimeout = 3 * time.Second

// selfCheck reports whether this server can be reached from its own machine. When many
// services fall silent at once, the cause may be this server.
func (s *Server) selfCheck(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, selfCheckTimeout)
	defer cancel()
	// A new connection without a proxy: an open one proves nothing about new ones.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/healthz", nil)
	if err != nil {
		return "LaneSwap's own address cannot be checked"
	}
	res, err := transport.RoundTrip(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("LaneSwap's own address does not answer within %v", selfCheckTimeout)
	case err != nil:
		return "LaneSwap's own address does not answer: " + reason(err).Error()
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Sprintf("LaneSwap's own address answers with status %d", res.StatusCode)
	}
	return "LaneSwap's own address answers"
}
