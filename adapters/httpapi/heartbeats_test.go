package httpapi_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestHeartbeat_finalEndsTheDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ target, body string }{
		"alone":   {"/api/services/job/heartbeat", `{"status":"error","final":true}`},
		"created": {"/api/services/new/heartbeat?create=1&interval=30", `{"status":"error","final":true}`},
		"array":   {"/api/heartbeats", `[{"service_id":"job","status":"error","final":true}]`},
		"NDJSON":  {"/api/heartbeats", `{"service_id":"job","status":"error","final":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAPI(t)
				require.NoError(t, a.m.Start(t.Context()))
				defer func() { require.NoError(t, a.m.Stop(t.Context())) }()
				id := laneswap.ServiceID("job")
				if name == "created" {
					id = "new"
				} else {
					a.register(id)
				}
				a.do("POST", c.target, c.body).want(200)
				time.Sleep(time.Hour) // virtual, 40 windows
				st, err := a.m.Service(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, laneswap.StatusError, st.Status, "not stale: nothing more was expected")
			})
		})
	}
}

func TestBatch_finalOfTheWrongTypeIsNamed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("job")
	got := a.do("POST", "/api/heartbeats", `[{"service_id":"job","final":"yes"},{"service_id":"job","final":null}]`).want(200).object()
	require.EqualValues(t, 1, got["accepted"])
	require.Equal(t, []any{failure(0, "job", 400, "bad-request", "final must be true or false, got a string", "")}, got["failed"])
}
