package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

func TestAnnounce_doesAsTheManagerBothOrNothing(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	c := against(t, httpapi.New(m).ServeHTTP)
	reg := laneswap.Registration{ID: "backup@web:1", Name: "Ba&up=ä", Interval: 1500 * time.Millisecond, StaleAfter: 24 * time.Hour,
		AlertAfter: laneswap.Threshold{Beats: 3}, RecoverAfter: laneswap.Threshold{For: 1500 * time.Millisecond}}

	_, err := c.Announce(t.Context(), reg, laneswap.Heartbeat{Status: "fine"})
	require.ErrorIs(t, err, laneswap.ErrInvalidHeartbeat)
	require.ErrorContains(t, err, `laneswap: announce "backup@web:1": status `)
	_, err = m.Service(t.Context(), reg.ID)
	require.ErrorIs(t, err, laneswap.ErrServiceNotFound, "a refused heartbeat leaves nothing behind")

	st, err := c.Announce(t.Context(), reg, laneswap.Heartbeat{Status: laneswap.StatusBusy, Message: "copying", Metadata: map[string]any{"n": 1}})
	require.NoError(t, err)
	want, err := m.Service(t.Context(), reg.ID)
	require.NoError(t, err)
	require.Equal(t, want.Message, st.Message)
	require.Equal(t, laneswap.StatusBusy, st.Status)
	require.Equal(t, want.Name, reg.Name)
	require.Equal(t, want.Interval, reg.Interval)
	require.Equal(t, want.Window, reg.StaleAfter)
	require.Equal(t, want.AlertAfter, reg.AlertAfter)
	require.Equal(t, want.RecoverAfter, reg.RecoverAfter)
	require.Equal(t, map[string]any{"n": 1.0}, want.Metadata)

	st, err = c.Announce(t.Context(), laneswap.Registration{ID: reg.ID, Interval: time.Hour}, laneswap.Heartbeat{})
	require.NoError(t, err)
	require.Equal(t, reg.Interval, st.Interval, "a known one keeps its registration")
	require.EqualValues(t, 2, st.Beats)
}

func TestAnnounce_refusesWhatItCannotAnnounce(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	c := against(t, httpapi.New(m).ServeHTTP)
	for field, reg := range map[string]laneswap.Registration{
		"tags":          {ID: "a", Tags: []string{"x"}},
		"metadata":      {ID: "a", Metadata: map[string]any{"x": 1}},
		"forget_after":  {ID: "a", ForgetAfter: time.Hour},
		"no_deadline":   {ID: "a", NoDeadline: true},
		"must_run":      {ID: "a", MustRun: true},
		"name":          {ID: "a", Name: strings.Repeat("x", 100_000)},
		"interval":      {ID: "a", Interval: -time.Second},
		"stale_after":   {ID: "a", Interval: time.Minute, StaleAfter: time.Second},
		"alert_after":   {ID: "a", AlertAfter: laneswap.Threshold{Beats: 3, For: time.Minute}},
		"recover_after": {ID: "a", RecoverAfter: laneswap.Threshold{Beats: -1}},
	} {
		_, err := c.Announce(t.Context(), reg, laneswap.Heartbeat{})
		require.ErrorIs(t, err, laneswap.ErrInvalidRegistration, field)
		var invalid *laneswap.ValidationError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
	for _, id := range []laneswap.ServiceID{"", "..", "\xff"} {
		_, err := c.Announce(t.Context(), laneswap.Registration{ID: id}, laneswap.Heartbeat{})
		require.ErrorIs(t, err, laneswap.ErrInvalidServiceID, id)
	}
	_, err := c.Announce(t.Context(), laneswap.Registration{ID: "a"}, laneswap.Heartbeat{Message: strings.Repeat("x", 100_000)})
	require.ErrorIs(t, err, laneswap.ErrInvalidHeartbeat)
	sum, err := m.Summary(t.Context())
	require.NoError(t, err)
	require.Zero(t, sum.Total)
}
