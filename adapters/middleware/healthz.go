package middleware

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
)

// Checker is the part of a *laneswap.Manager that Healthz uses. Unhealthy returns an
// error that names the unhealthy services among ids, or among all services without
// ids, and nil when there are none. It is called concurrently.
type Checker interface {
	Unhealthy(ctx context.Context, ids ...laneswap.ServiceID) error
}

// Healthz returns a handler for the health check of a program that embeds m. It
// answers 200 with {"status":"ok"}, or 503 with {"status":"unhealthy","detail":...} when
// one of ids is error, critical, stale or not registered. Without ids it covers
// every registered service. The detail names services and their statuses, but no
// messages. Other methods than GET and HEAD are refused.
func Healthz(m Checker, ids ...laneswap.ServiceID) http.Handler {
	ids = append([]laneswap.ServiceID(nil), ids...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		answer := struct {
			Status string `json:"status"`
			Detail string `json:"detail,omitempty"`
		}{Status: "ok"}
		code := http.StatusOK
		if err := m.Unhealthy(r.Context(), ids...); err != nil {
			code, answer.Status = http.StatusServiceUnavailable, "unhealthy"
			answer.Detail = strings.TrimPrefix(err.Error(), "laneswap: unhealthy: ")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer) // an error means that the client disconnected
	})
}
