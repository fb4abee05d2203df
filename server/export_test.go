package server

import "context"

// SelfCheck says whether the server can be reached.
func (s *Server) SelfCheck(ctx context.Context) string { return s.selfCheck(ctx) }
