package laneswap_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestServiceStatus_travelsAsJSONAndBack(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := register(t, m, laneswap.Registration{
		ID: "a:b@c", Name: "Größe", Interval: 1500 * time.Millisecond, Tags: []string{"x"}, Metadata: map[string]any{"k": []any{1, nil, true}},
		AlertAfter: laneswap.Threshold{For: 1500 * time.Millisecond}, RecoverAfter: laneswap.Threshold{Beats: 2},
	})
	fresh := statusOf(t, m, "a:b@c")
	require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "no"}))
	for _, st := range []laneswap.ServiceStatus{fresh, statusOf(t, m, "a:b@c")} {
		data, err := json.Marshal(st)
		require.NoError(t, err)
		var back laneswap.ServiceStatus
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, st, back)
	}
}

// The keys that existing clients read, and null where they expect it.
func TestServiceStatus_jsonHasTheDocumentedShape(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	data, err := json.Marshal(laneswap.ServiceStatus{ID: "svc", Name: "svc", Status: "unknown", ReportedStatus: "unknown", CreatedAt: at, Since: at})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"svc","name":"svc","status":"unknown","message":null,"metadata":{},"created_at":"2026-01-02T03:04:05.6Z",
		"last_heartbeat":null,"events":[],"reported_status":"unknown","late":false,"since":"2026-01-02T03:04:05.6Z","deadline":null,
		"interval":null,"window":null,"incident":null,"tags":[],"beats":0,"alert_after":null,"recover_after":null}`, string(data))
}

func TestEvent_travelsAsJSONAndBack(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := register(t, m, laneswap.Registration{ID: "svc"})
	alternate(t, h, 3)
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
		data, err := json.Marshal(ev)
		require.NoError(t, err)
		var back laneswap.Event
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, ev, back)
	}
}

func TestRegistration_travelsAsJSONAndBack(t *testing.T) {
	t.Parallel()
	for _, reg := range []laneswap.Registration{
		{ID: "x", Name: "n", Interval: 30 * time.Second, StaleAfter: 1500 * time.Millisecond, Tags: []string{"a"}, Metadata: map[string]any{"k": 1.0}, MustRun: true},
		{Name: "n", NoDeadline: true, ForgetAfter: laneswap.Never},
		{ID: "x", ForgetAfter: time.Hour},
		{ID: "x", AlertAfter: laneswap.Threshold{Beats: 3}, RecoverAfter: laneswap.Threshold{For: 90 * time.Second}},
	} {
		data, err := json.Marshal(reg)
		require.NoError(t, err)
		var back laneswap.Registration
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, reg, back)
	}
	require.Error(t, json.Unmarshal([]byte(`{"forget_after":"soon"}`), new(laneswap.Registration)))
	require.Error(t, json.Unmarshal([]byte(`{"forget_after":[]}`), new(laneswap.Registration)))
}

func TestRegistration_jsonIsWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(laneswap.Registration{
		ID: "svc", Name: "n", Interval: 1500 * time.Millisecond, StaleAfter: time.Minute, ForgetAfter: laneswap.Never, MustRun: true,
		AlertAfter: laneswap.Threshold{Beats: 3}, RecoverAfter: laneswap.Threshold{For: 90 * time.Second},
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"service_id":"svc","service_name":"n","interval":1.5,"stale_after":60,"forget_after":"never","must_run":true,
		"alert_after":3,"recover_after":"1m30s"}`, string(data))
}

func TestSeconds_refusesWhatIsNoDuration(t *testing.T) {
	t.Parallel()
	for _, s := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 366*86400 + 1} {
		_, err := laneswap.Seconds(s)
		require.Error(t, err, "%v", s)
	}
	d, err := laneswap.Seconds(0.1)
	require.NoError(t, err)
	require.Equal(t, 100*time.Millisecond, d)
}

func TestErrors_haveCodesThatSurviveTheTrip(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		laneswap.ErrServiceNotFound, laneswap.ErrInvalidServiceID, laneswap.ErrInvalidRegistration, laneswap.ErrInvalidHeartbeat,
		laneswap.ErrInvalidQuery, laneswap.ErrInvalidOption, laneswap.ErrTooManyServices, laneswap.ErrUnhealthy, laneswap.ErrStorage, laneswap.ErrNotifier,
		laneswap.ErrNotifierNotFound, laneswap.ErrEventNotFound,
		laneswap.ErrNotStarted, laneswap.ErrAlreadyStarted, laneswap.ErrStopped, laneswap.ErrSlowConsumer, laneswap.ErrGone,
	} {
		require.ErrorIs(t, err, laneswap.ErrLaneSwap)
		code := laneswap.ErrorCode(fmt.Errorf("wrapped: %w", err))
		require.NotEmpty(t, code)
		require.Equal(t, err, laneswap.ErrorFromCode(code))
	}
	require.Empty(t, laneswap.ErrorCode(errors.New("other")))
	require.NoError(t, laneswap.ErrorFromCode("other"))
	err := &laneswap.ValidationError{Field: "interval", Problem: "is off", Err: laneswap.ErrInvalidRegistration}
	require.Equal(t, "invalid-registration", laneswap.ErrorCode(err))
	require.Equal(t, "interval is off", err.Error())
}
