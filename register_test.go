package laneswap_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestRegister_sameIDUpdatesAndMergesMetadata(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	first, err := m.Register(t.Context(), laneswap.Registration{
		ID: "svc", Name: "Billing", Interval: time.Minute, Tags: []string{"a", "b", "a"},
		Metadata: map[string]any{"host": "one", "port": 1},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, first.Tags)
	second, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Metadata: map[string]any{"host": nil, "zone": "x"}})
	require.NoError(t, err)
	require.Equal(t, "Billing", second.Name, "an empty name keeps the old one")
	require.Zero(t, second.Interval)
	require.Equal(t, map[string]any{"port": 1.0, "zone": "x"}, second.Metadata)
	require.Equal(t, first.CreatedAt, second.CreatedAt)
	sum, err := m.Summary(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, sum.Total)
}

func TestRegister_withoutIDMakesOneUp(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	a, err := m.Register(t.Context(), laneswap.Registration{Name: "billing"})
	require.NoError(t, err)
	require.Regexp(t, regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`), string(a.ID))
	b, err := m.Register(t.Context(), laneswap.Registration{Name: "billing"})
	require.NoError(t, err)
	require.NotEqual(t, a.ID, b.ID, "the first is not dead: both live")
}

func TestRegister_takesOverTheDeadServiceOfItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		reg := laneswap.Registration{Name: "worker", Interval: 10 * time.Second}
		first, err := m.Register(t.Context(), reg)
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), first.ID, laneswap.Heartbeat{}))
		time.Sleep(window + moment)
		again, err := m.Register(t.Context(), reg)
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, laneswap.StatusStale, again.Status, "until it beats")

		other, err := m.Register(t.Context(), reg)
		require.NoError(t, err)
		require.NotEqual(t, first.ID, other.ID, "it is being taken over already: a second one is not it")

		require.NoError(t, m.Beat(t.Context(), again.ID, laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		require.NoError(t, m.Beat(t.Context(), other.ID, laneswap.Heartbeat{}))
		third, err := m.Register(t.Context(), reg)
		require.NoError(t, err)
		require.Equal(t, first.ID, third.ID, "a shut down one is free again")
	})
}

func TestRegister_failedTakeoverFreesTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		reg := laneswap.Registration{Name: "worker"}
		first, err := m.Register(t.Context(), reg)
		require.NoError(t, err)
		for range 5 { // it crashes before its first beat, again and again
			time.Sleep(window + moment)
			again, err := m.Register(t.Context(), reg)
			require.NoError(t, err)
			require.Equal(t, first.ID, again.ID)
		}
	})
}

func TestRegister_takesOverNeitherTwoNorChosenIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		register(t, m, laneswap.Registration{ID: "chosen", Name: "one"})
		for range 2 {
			_, err := m.Register(t.Context(), laneswap.Registration{Name: "two"})
			require.NoError(t, err)
		}
		time.Sleep(window + moment)
		for _, name := range []string{"one", "two"} {
			st, err := m.Register(t.Context(), laneswap.Registration{Name: name})
			require.NoError(t, err)
			require.Equal(t, laneswap.StatusUnknown, st.Status, "a new one")
		}
	})
}

func TestRegister_afterAGoodbyeExpectsABeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc"})
		h.Beat()
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		time.Sleep(24 * time.Hour)
		require.Equal(t, laneswap.StatusShutdown, statusOf(t, m, "svc").Status)
		register(t, m, laneswap.Registration{ID: "svc"})
		time.Sleep(window)
		require.Equal(t, laneswap.StatusShutdown, statusOf(t, m, "svc").Status)
		time.Sleep(moment)
		st := statusOf(t, m, "svc")
		require.Equal(t, laneswap.StatusStale, st.Status)
		require.Equal(t, st.LastHeartbeat, st.Incident.SilentSince)
		h.Beat()
		require.Equal(t, []laneswap.EventKind{"up", "down", "recovered"}, kindsOf(t, m))
	})
}

func TestRegister_changedWindowMovesTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc", StaleAfter: time.Hour})
		h.Beat()
		register(t, m, laneswap.Registration{ID: "svc", StaleAfter: time.Second})
		time.Sleep(time.Second + moment)
		require.Equal(t, []laneswap.EventKind{"up", "down"}, kindsOf(t, m), "earlier than the loop had in mind")
		h.Beat()
		register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true})
		time.Sleep(time.Hour)
		require.Len(t, kindsOf(t, m), 3)
	})
}

func TestRegister_forgetsOnlyGeneratedIDsAfterADay(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		made, err := m.Register(t.Context(), laneswap.Registration{Name: "made"})
		require.NoError(t, err)
		gone, err := m.Register(t.Context(), laneswap.Registration{Name: "gone"})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), gone.ID, laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		register(t, m, laneswap.Registration{ID: "chosen"})
		register(t, m, laneswap.Registration{ID: "brief", ForgetAfter: time.Hour})
		exists := func(id laneswap.ServiceID) bool {
			_, err := m.Service(t.Context(), id)
			return err == nil
		}
		time.Sleep(time.Hour + 2*time.Minute)
		require.False(t, exists("brief"))
		time.Sleep(22 * time.Hour)
		require.True(t, exists(made.ID))
		require.True(t, exists(gone.ID))
		time.Sleep(time.Hour)
		require.False(t, exists(made.ID))
		require.False(t, exists(gone.ID))
		time.Sleep(48 * time.Hour)
		require.True(t, exists("chosen"))
		var removed []laneswap.Event
		for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
			if ev.Kind == laneswap.EventRemoved {
				removed = append(removed, ev)
			}
		}
		require.Len(t, removed, 2, "those that were stale")
		require.Contains(t, removed[0].Message, "forgotten")
	})
}

func TestRegister_moreThanTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{Services: 3}))
	for i := range 3 {
		register(t, m, laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint("svc", i))})
	}
	_, err := m.Register(t.Context(), laneswap.Registration{ID: "more"})
	require.ErrorIs(t, err, laneswap.ErrTooManyServices)
	require.ErrorContains(t, err, "limit is 3")
	register(t, m, laneswap.Registration{ID: "svc0"})
	require.NoError(t, m.Remove(t.Context(), "svc0"))
	register(t, m, laneswap.Registration{ID: "more"})
}

func TestRegister_badInputIsNamedAndChangesNothing(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "svc", Name: "kept", Metadata: map[string]any{"k": "v"}})
	before := statusOf(t, m, "svc")
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	keys := map[string]any{}
	for i := range 65 {
		keys[fmt.Sprint("key", i)] = i
	}
	for _, c := range []struct {
		field string
		reg   laneswap.Registration
	}{
		{"name", laneswap.Registration{}},
		{"name", laneswap.Registration{Name: "\x00\n "}},
		{"name", laneswap.Registration{Name: "\u200b\ufeff\u200d"}},
		{"name", laneswap.Registration{ID: "svc", Name: strings.Repeat("ä", 129)}},
		{"interval", laneswap.Registration{ID: "svc", Interval: -1}},
		{"interval", laneswap.Registration{ID: "svc", Interval: time.Millisecond}},
		{"interval", laneswap.Registration{ID: "svc", Interval: 367 * 24 * time.Hour}},
		{"stale_after", laneswap.Registration{ID: "svc", StaleAfter: -time.Second}},
		{"stale_after", laneswap.Registration{ID: "svc", Interval: time.Second, StaleAfter: time.Second}},
		{"stale_after", laneswap.Registration{ID: "svc", StaleAfter: time.Second, NoDeadline: true}},
		{"forget_after", laneswap.Registration{ID: "svc", ForgetAfter: -1}},
		{"tags", laneswap.Registration{ID: "svc", Tags: make([]string, 33)}},
		{"tags[0]", laneswap.Registration{ID: "svc", Tags: []string{""}}},
		{"tags[1]", laneswap.Registration{ID: "svc", Tags: []string{"ok", strings.Repeat("x", 65)}}},
		{"metadata", laneswap.Registration{ID: "svc", Metadata: keys}},
		{"metadata.f", laneswap.Registration{ID: "svc", Metadata: map[string]any{"f": func() {}}}},
		{"metadata", laneswap.Registration{ID: "svc", Metadata: map[string]any{"big": strings.Repeat("x", 8200)}}},
		{"metadata", laneswap.Registration{ID: "svc", Metadata: cyclic}},
		{"metadata", laneswap.Registration{ID: "svc", Metadata: map[string]any{"": 1}}},
	} {
		_, err := m.Register(t.Context(), c.reg)
		var bad *laneswap.ValidationError
		require.ErrorAs(t, err, &bad, "%+v", c.reg)
		require.ErrorIs(t, err, laneswap.ErrInvalidRegistration)
		require.ErrorIs(t, err, laneswap.ErrLaneSwap)
		if c.field == "metadata" {
			require.True(t, strings.HasPrefix(bad.Field, "metadata"), bad.Field)
		} else {
			require.Equal(t, c.field, bad.Field)
		}
		require.Less(t, len(err.Error()), 400)
		require.Equal(t, before, statusOf(t, m, "svc"))
	}
}

func TestValidateServiceID_table(t *testing.T) {
	t.Parallel()
	for _, id := range []laneswap.ServiceID{"a", "0", "billing@web-1", "a.b_c:d", laneswap.ServiceID(strings.Repeat("x", 128))} {
		require.NoError(t, laneswap.ValidateServiceID(id), "%q", id)
	}
	for _, id := range []laneswap.ServiceID{
		"", ".a", "-a", "@", "a b", "a/b", "a..b", "..", "a\x00", "a\n", "ä", "a\u202eb", "a%2f",
		laneswap.ServiceID(strings.Repeat("x", 129)), laneswap.ServiceID(strings.Repeat("x", 4096)),
	} {
		err := laneswap.ValidateServiceID(id)
		require.ErrorIs(t, err, laneswap.ErrInvalidServiceID, "%q", id)
		require.ErrorContains(t, err, "service_id")
		require.Less(t, len(err.Error()), 200)
	}
}

func TestRemove_endsTheIncidentAndTheHandle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		m := started(t, laneswap.WithNotifier(rec))
		h := register(t, m, laneswap.Registration{ID: "svc"})
		h.Beat()
		time.Sleep(window + 10*time.Second)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		require.ErrorIs(t, m.Remove(t.Context(), "svc"), laneswap.ErrServiceNotFound)
		_, err := m.Service(t.Context(), "svc")
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
		h.Beat()
		require.ErrorIs(t, h.Err(), laneswap.ErrServiceNotFound)
		require.ErrorIs(t, h.Report(laneswap.Heartbeat{}), laneswap.ErrServiceNotFound)

		fresh := register(t, m, laneswap.Registration{ID: "svc"})
		h.Beat()
		require.ErrorIs(t, h.Err(), laneswap.ErrServiceNotFound, "a removed handle stays dead")
		require.NoError(t, fresh.Err())
		fresh.Beat()
		synctest.Wait()
		require.Equal(t, []laneswap.EventKind{"down", "removed"}, rec.kinds())
		evs := eventsOf(t, m, laneswap.EventQuery{})
		require.Equal(t, []laneswap.EventKind{"up", "down", "removed", "up"}, kindsOf(t, m))
		require.Equal(t, 10*time.Second, evs[2].Duration)
		require.NotEqual(t, evs[0].ID, evs[3].ID, "ids of the new service differ")
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, sum.Total)
	})
}

func TestHandle_ofAForgottenServiceRegistersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc", Name: "Service", Tags: []string{"x"}, ForgetAfter: time.Minute})
		h.Beat()
		time.Sleep(time.Hour)
		_, err := m.Service(t.Context(), "svc")
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
		require.NoError(t, h.Err())
		h.Beat()
		st := statusOf(t, m, "svc")
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		require.Equal(t, "Service", st.Name)
		require.Equal(t, []string{"x"}, st.Tags)
		h.Beat()
		require.EqualValues(t, 2, statusOf(t, m, "svc").Beats)
	})
}

func TestRegister_newDeadlineForgivesAllowedSilence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after laneswap.Registration }{
		"first deadline": {laneswap.Registration{NoDeadline: true}, laneswap.Registration{Interval: 30 * time.Second}},
		"shorter window": {laneswap.Registration{Interval: time.Hour}, laneswap.Registration{Interval: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := started(t)
				c.before.ID, c.after.ID = "web", "web"
				h := register(t, m, c.before)
				h.Beat()
				time.Sleep(50 * time.Minute)
				register(t, m, c.after)
				st := statusOf(t, m, "web")
				require.Equal(t, laneswap.StatusHealthy, st.Status)
				time.Sleep(st.Window + moment)
				st = statusOf(t, m, "web")
				require.Equal(t, laneswap.StatusStale, st.Status, "a window later it is")
				require.Equal(t, st.LastHeartbeat, st.Incident.SilentSince)
				h.Beat()
			})
		})
	}
}

func TestRegister_shorterWindowGainsNobodyTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		register(t, m, laneswap.Registration{ID: "svc", StaleAfter: time.Hour}).Beat()
		time.Sleep(time.Hour - 10*time.Second)
		register(t, m, laneswap.Registration{ID: "svc", StaleAfter: time.Minute})
		time.Sleep(10*time.Second + moment)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "svc").Status)
	})
}

func TestRegister_recoveredServiceIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		reg := laneswap.Registration{ID: "job", Interval: 10 * time.Minute, ForgetAfter: time.Hour}
		register(t, m, reg).Beat()
		time.Sleep(25*time.Minute + 59*time.Minute)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "job").Status)
		register(t, m, reg)
		time.Sleep(5 * time.Minute)
		require.NoError(t, m.Beat(t.Context(), "job", laneswap.Heartbeat{}))
	})
}

func TestRegister_uuidOfAnEarlierRunStillCountsAsMadeUp(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := started(t), started(t) // the server restarts with an empty memory
		st, err := first.Register(t.Context(), laneswap.Registration{Name: "job"})
		require.NoError(t, err)
		register(t, second, laneswap.Registration{ID: st.ID, Name: "job"})
		time.Sleep(window + moment)
		again, err := second.Register(t.Context(), laneswap.Registration{Name: "job"})
		require.NoError(t, err)
		require.Equal(t, st.ID, again.ID, "restarts breed no dead services")
		time.Sleep(26 * time.Hour)
		_, err = second.Service(t.Context(), st.ID)
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	})
}

func TestRegister_idOfARecoveredProcessIsNotTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		a, err := m.Register(t.Context(), laneswap.Registration{Name: "job"})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), a.ID, laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		time.Sleep(time.Minute)
		register(t, m, laneswap.Registration{ID: a.ID, Name: "job"})
		b, err := m.Register(t.Context(), laneswap.Registration{Name: "job"})
		require.NoError(t, err)
		require.NotEqual(t, a.ID, b.ID)
	})
}

func TestRegister_stoppedServiceIsTakenOverOrForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		failing := laneswap.Heartbeat{Status: laneswap.StatusError, Final: true}
		first, err := m.Register(t.Context(), laneswap.Registration{Name: "job"})
		require.NoError(t, err)
		for range 3 { // it fails each time that it runs
			require.NoError(t, m.Beat(t.Context(), first.ID, failing))
			time.Sleep(time.Hour)
			again, err := m.Register(t.Context(), laneswap.Registration{Name: "job"})
			require.NoError(t, err)
			require.Equal(t, first.ID, again.ID, "runs breed no dead services")
		}
		require.NoError(t, m.Beat(t.Context(), first.ID, failing))
		time.Sleep(23 * time.Hour)
		require.Equal(t, laneswap.StatusError, statusOf(t, m, first.ID).Status)
		time.Sleep(2 * time.Hour)
		_, err = m.Service(t.Context(), first.ID)
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	})
}

func TestRemove_keepsNoRecordWithoutAStorage(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	for n := range 5000 {
		id := laneswap.ServiceID(fmt.Sprint("svc", n))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: id})
		require.NoError(t, err)
		require.NoError(t, m.Remove(t.Context(), id))
	}
	require.LessOrEqual(t, m.Listed(), 65)
}
