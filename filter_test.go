package laneswap_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// routed starts a Manager with one notifier behind filters.
func routed(t *testing.T, d *fakeNotifier, filters ...laneswap.Filter) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(laneswap.Only(d, filters...)))...)
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { _ = m.Stop(context.Background()) })
	return m
}

// history of one service: what it says, and which of it each filter lets pass.
var passages = []struct {
	name   string
	filter laneswap.Filter
	told   string // the statuses of the events that are told
	text   string
}{
	{"levels", laneswap.Levels(laneswap.LevelWarning), "warning error healthy", "level warning"},
	{"several levels", laneswap.Levels(laneswap.LevelWarning, laneswap.LevelError), "warning critical error healthy", "level warning, error"},
	{"no level", laneswap.Levels(), "", "level "},
	{"at least error", laneswap.MinLevel(laneswap.LevelError), "critical error healthy", "level error or louder"},
	{"at least warning", laneswap.MinLevel(laneswap.LevelWarning), "warning critical error healthy", "level warning or louder"},
	{"at least info", laneswap.MinLevel(laneswap.LevelInfo), "warning critical error healthy", "level info or louder"},
	{"status", laneswap.OnStatuses(laneswap.StatusCritical), "critical error healthy", "status critical"},
	{"another status", laneswap.OnStatuses(laneswap.StatusStale), "", "status stale"},
	{"id", laneswap.Services("billing@*"), "warning critical error healthy", "service billing@*"},
	{"name", laneswap.Services("Billing/[A-C]"), "warning critical error healthy", "service Billing/[A-C]"},
	{"star over a slash", laneswap.Services("nobody", "Bill*"), "warning critical error healthy", "service nobody, Bill*"},
	{"case", laneswap.Services("BILLING@web"), "", "service BILLING@web"},
	{"part", laneswap.Services("billing"), "", "service billing"},
	{"tag", laneswap.Tagged("night", "money"), "warning critical error healthy", "tag night, money"},
	{"no such tag", laneswap.Tagged("mon"), "", "tag mon"},
	{"not", laneswap.Not(laneswap.OnStatuses(laneswap.StatusWarning)), "critical error healthy", "not status warning"},
	{"not not", laneswap.Not(laneswap.Not(laneswap.Tagged("money"))), "warning critical error healthy", "not not tag money"},
	{"where", laneswap.Where("with a message", func(ev laneswap.Event) bool { return ev.Message == "very bad" }), "critical error healthy", "with a message"},
	{"panic", laneswap.Where("panics", func(laneswap.Event) bool { panic("oops") }), "warning critical error healthy", "panics"},
	{"not a panic", laneswap.Not(laneswap.Where("panics", func(laneswap.Event) bool { panic("oops") })), "warning critical error healthy", "not panics"},
}

func TestRoutes_eachFilterSelects(t *testing.T) {
	t.Parallel()
	for _, p := range passages {
		t.Run(p.name, func(t *testing.T) {
			require.Equal(t, p.text, p.filter.String())
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := routed(t, d, p.filter)
				h := register(t, m, laneswap.Registration{ID: "billing@web", Name: "Billing/B", Tags: []string{"money"}, NoDeadline: true})
				for _, hb := range []laneswap.Heartbeat{{}, {Status: laneswap.StatusWarning}, {Status: laneswap.StatusCritical, Message: "very bad"}, {Status: laneswap.StatusError}, {}} {
					time.Sleep(time.Second)
					require.NoError(t, h.Report(hb))
				}
				synctest.Wait()
				told := ""
				for _, ev := range eventsIn(d.took()...) {
					told += " " + string(ev.To)
				}
				require.Equal(t, p.told, trimmed(told))
				for i, id := range noticeEventIDs(t, m, "billing@web") {
					tr := d.trace(t, m, id)
					if tr.State == laneswap.NoticeSkipped {
						require.Equal(t, []string{"excluded by the filter: " + p.text, "state: skipped"}, traceLines(tr))
					} else {
						require.Equal(t, laneswap.NoticeSent, tr.State, "event %d", i)
					}
				}
			})
		})
	}
}

func trimmed(s string) string {
	if s == "" {
		return s
	}
	return s[1:]
}

func TestRoutes_severalAndNestedFiltersMustAllSelect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		inner := laneswap.Only(d, laneswap.Tagged("money"))
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(laneswap.Only(laneswap.Only(inner), laneswap.MinLevel(laneswap.LevelError), laneswap.Not(laneswap.Services("c")))))...)
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(context.Background())) }()
		for id, tags := range map[laneswap.ServiceID][]string{"a": {"money"}, "b": {"night"}, "c": {"money"}, "d": {"night", "money"}} {
			h := register(t, m, laneswap.Registration{ID: id, Tags: tags, NoDeadline: true})
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		}
		h := register(t, m, laneswap.Registration{ID: "e", Tags: []string{"money"}, NoDeadline: true})
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning}))
		synctest.Wait()
		require.Equal(t, []laneswap.ServiceID{"a", "d"}, servicesIn(d.took()...))
		require.Equal(t, "desk", d.status(t, m).Name, "its own name")
		require.Equal(t, "excluded by the filter: level error or louder", traceLines(d.trace(t, m, noticeEventIDs(t, m, "e")[0]))[0])
	})
}

func TestRoutes_whatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	d := newFakeNotifier()
	for name, n := range map[string]laneswap.Notifier{
		"pattern":      laneswap.Only(d, laneswap.Services("web-[")),
		"second":       laneswap.Only(d, laneswap.Services("web"), laneswap.Services("ok", "web-[")),
		"not pattern":  laneswap.Only(d, laneswap.Not(laneswap.Services("web-["))),
		"nested":       laneswap.Only(laneswap.Only(d, laneswap.Services("a\\"))),
		"level":        laneswap.Only(d, laneswap.Levels("loud")),
		"min level":    laneswap.Only(d, laneswap.MinLevel("")),
		"status":       laneswap.Only(d, laneswap.OnStatuses("broken")),
		"zero":         laneswap.Only(d, laneswap.Filter{}),
		"not zero":     laneswap.Only(d, laneswap.Not(laneswap.Filter{})),
		"no function":  laneswap.Only(d, laneswap.Where("nothing", nil)),
		"not nothing":  laneswap.Only(d, laneswap.Not(laneswap.Where("nothing", nil))),
		"nil":          nil,
		"nobody":       laneswap.Only(nil),
		"inner nobody": laneswap.Only(laneswap.Only(nil, laneswap.Tagged("x"))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := laneswap.NewManager(laneswap.WithNotifier(n))
			require.ErrorIs(t, m.Start(t.Context()), laneswap.ErrInvalidOption)
			m = laneswap.NewManager()
			err := m.AddNotifier(n)
			require.ErrorIs(t, err, laneswap.ErrNotifier)
			require.ErrorIs(t, err, laneswap.ErrInvalidOption)
			require.NoError(t, m.Start(t.Context()))
			require.ErrorIs(t, m.AddNotifier(n), laneswap.ErrNotifier)
			all, err := m.Notifiers(t.Context())
			require.NoError(t, err)
			require.Empty(t, all)
			require.NoError(t, m.Stop(context.Background()))
		})
	}
}

// A recovery is sent exactly where the alarm was.
func TestRoutes_recoveryFollowsWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := routed(t, d, laneswap.MinLevel(laneswap.LevelError))
		announced, quiet, removed := registerHealthy(t, m, "announced"), registerHealthy(t, m, "quiet"), registerHealthy(t, m, "removed")
		reportEach(t, announced, bad, laneswap.StatusWarning, good)
		reportEach(t, quiet, laneswap.StatusWarning, good)
		reportEach(t, removed, laneswap.StatusCritical)
		require.NoError(t, m.Remove(t.Context(), "removed"))
		synctest.Wait()
		var told []string
		for _, ev := range eventsIn(d.took()...) {
			told = append(told, string(ev.Service)+" "+string(ev.Kind))
		}
		require.Equal(t, []string{"announced down", "announced better", "announced recovered", "removed down", "removed removed"}, told)
		ids := noticeEventIDs(t, m, "announced")
		require.Equal(t, []string{"sent despite filter (level error or louder): this notifier was alerted about the incident", "sent as message m3", "state: sent"}, traceLines(d.trace(t, m, ids[2])))
		for _, id := range noticeEventIDs(t, m, "quiet") {
			require.Equal(t, []string{"excluded by the filter: level error or louder", "state: skipped"}, traceLines(d.trace(t, m, id)))
		}

		reportEach(t, announced, laneswap.StatusWarning, good)
		require.Empty(t, d.took(), "the next incident is a new one")
	})
}

// A pending notice counts as announced.
func TestRoutes_recoveryFollowsAPendingAlarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := routed(t, d, laneswap.OnStatuses(laneswap.StatusError))
		h := registerHealthy(t, m, "svc")
		reportEach(t, h, bad, good)
		d.calls()
		d.answers(nil)
		time.Sleep(time.Minute)
		n := d.one(t)
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(n)))
		require.Equal(t, laneswap.EventRecovered, n.Event.Kind)
	})
}

// Two notifiers of which each has routes of its own.
func TestRoutes_areOfEachNotifier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web, db := newFakeNotifier(), newFakeNotifier()
		web.name, db.name = "web", "db"
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(laneswap.Only(web, laneswap.Services("web-*"))), laneswap.WithNotifier(laneswap.Only(db, laneswap.Services("db-*"))))...)
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(context.Background())) }()
		for _, id := range []laneswap.ServiceID{"web-1", "db-1", "web-2", "other"} {
			reportEach(t, registerHealthy(t, m, id), bad)
		}
		require.Equal(t, []laneswap.ServiceID{"web-1", "web-2"}, servicesIn(web.took()...))
		require.Equal(t, []laneswap.ServiceID{"db-1"}, servicesIn(db.took()...))
		x, err := m.Explain(t.Context(), noticeEventIDs(t, m, "other")[0])
		require.NoError(t, err)
		require.Len(t, x.Notices, 2)
		require.Equal(t, "db", x.Notices[0].Notifier, "in the order of their names")
		for _, tr := range x.Notices {
			require.Equal(t, laneswap.NoticeSkipped, tr.State)
		}
	})
}

// An event of LaneSwap itself has no service, no tag and no status.
func TestRoutes_ofLaneSwapsOwnEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter laneswap.Filter
		told   bool
	}{
		"level":   {laneswap.MinLevel(laneswap.LevelError), true},
		"success": {laneswap.Levels(laneswap.LevelSuccess), false},
		"service": {laneswap.Services("*"), false},
		"tag":     {laneswap.Tagged(""), false},
		"not":     {laneswap.Not(laneswap.Services("*")), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := laneswap.NewManager(ungrouped(laneswap.WithStorage(exactStore()), laneswap.WithRemark("the file was set aside"), laneswap.WithNotifier(laneswap.Only(d, c.filter)))...)
				require.NoError(t, m.Start(t.Context()))
				defer func() { require.NoError(t, m.Stop(context.Background())) }()
				time.Sleep(time.Second)
				require.Equal(t, c.told, len(d.took()) == 1)
			})
		})
	}
}
