package server

import (
	"context"
	"time"
)

// SelfCheck reports whether the server can be reached.
func (s *Server) SelfCheck(ctx context.Context) string { return s.selfCheck(ctx) }

// SelfCheckTimeout is the longest that the answer may take.
const SelfCheckTimeout = selfCheckTimeout

// StopLimit is the longest that a stop may take.
var StopLimit = defaultStopLimits.requests + defaultStopLimits.manager + closeTimeout

// WithQuickStop bounds the parts of a stop by half a second each.
func WithQuickStop() Option {
	return func(o *options) { o.limits = stopLimits{requests: time.Second / 2, manager: time.Second / 2} }
}
