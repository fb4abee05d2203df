package laneswap_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// timeline hands instants to a judge: both clocks, and what happens to them.
type timeline struct {
	*laneswap.Court
	mono, wall time.Duration
}

const dawn = 1_800_000_000 * time.Second

func newTimeline(regs ...laneswap.Registration) *timeline {
	l := &timeline{wall: dawn}
	l.Court = laneswap.NewCourt(laneswap.DefaultStaleThreshold, 0, int64(l.wall))
	l.Start(0, int64(l.wall), false)
	for _, reg := range regs {
		l.Register(reg, 0, int64(l.wall))
	}
	return l
}

// beat is an empty heartbeat now.
func (l *timeline) beat(id laneswap.ServiceID) {
	l.Beat(id, laneswap.Heartbeat{}, int64(l.mono), int64(l.wall))
}

// pass lets time pass, with the looks that the loop takes.
func (l *timeline) pass(d time.Duration) {
	for end := l.mono + d; l.mono < end; {
		step := min(end, l.mono+250*time.Millisecond)
		if next := time.Duration(l.Next()); next > l.mono && next < step {
			step = next
		}
		l.skip(step - l.mono)
		l.Tick(int64(l.mono), int64(l.wall))
	}
}

// skip lets time pass unheard: the process is stopped.
func (l *timeline) skip(d time.Duration) { l.mono += d; l.wall += d }

// suspend lets time pass that the monotonic clock does not see.
func (l *timeline) suspend(d time.Duration) { l.wall += d }

// beating passes time in which a service beats each interval.
func (l *timeline) beating(id laneswap.ServiceID, every, d time.Duration) {
	for end := l.mono + d; l.mono < end; {
		l.beat(id)
		l.pass(every)
	}
}

// kinds are the kinds of events so far.
func (l *timeline) kinds() (kinds []laneswap.EventKind) {
	for _, ev := range l.Events {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

func up(more ...laneswap.EventKind) []laneswap.EventKind {
	return append([]laneswap.EventKind{laneswap.EventUp}, more...)
}

func TestJudge_windowIsStaleAfterOrIntervalOrThreshold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reg  laneswap.Registration
		want time.Duration
	}{
		{laneswap.Registration{}, time.Minute},
		{laneswap.Registration{Interval: time.Second}, time.Minute},
		{laneswap.Registration{Interval: 30 * time.Second}, time.Minute},
		{laneswap.Registration{Interval: 31 * time.Second}, 77500 * time.Millisecond},
		{laneswap.Registration{Interval: 10 * time.Minute}, 25 * time.Minute},
		{laneswap.Registration{Interval: 24 * time.Hour}, 25 * time.Hour},
		{laneswap.Registration{Interval: 24 * time.Hour, StaleAfter: 30 * time.Hour}, 30 * time.Hour},
		{laneswap.Registration{Interval: time.Second, StaleAfter: 2 * time.Second}, 2 * time.Second},
	} {
		c.reg.ID = "svc"
		l := newTimeline(c.reg)
		l.beat("svc")
		l.pass(c.want)
		require.Equal(t, laneswap.StatusHealthy, l.Status("svc"), "at the deadline of %+v", c.reg)
		l.pass(time.Nanosecond)
		require.Equal(t, laneswap.StatusStale, l.Status("svc"), "past the deadline of %+v", c.reg)
		stale := l.Events[len(l.Events)-1]
		require.Equal(t, time.Unix(0, int64(dawn+c.want)).UTC(), stale.At, "stale is dated at the deadline")
	}
}

func TestJudge_serviceWithoutDeadlineIsNeverStale(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc", NoDeadline: true})
	l.beat("svc")
	l.pass(30 * time.Hour)
	require.Equal(t, up(), l.kinds())
}

func TestJudge_suspendOf8HoursAlarmsAndHidesNobody(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "lives", Interval: 10 * time.Second}, laneswap.Registration{ID: "dies", Interval: 10 * time.Second})
	l.beat("dies")
	l.beating("lives", 10*time.Second, 30*time.Second)
	l.suspend(8 * time.Hour)
	l.pass(9 * time.Second)
	l.beating("lives", 10*time.Second, 10*time.Minute)
	require.Equal(t, laneswap.StatusHealthy, l.Status("lives"))
	require.Equal(t, laneswap.StatusStale, l.Status("dies"))
	require.Equal(t, up(laneswap.EventUp, laneswap.EventDown), l.kinds())
	require.WithinDuration(t, time.Unix(0, int64(dawn+8*time.Hour+90*time.Second)), l.Events[2].At, time.Second, "a full window after we were back")
}

func TestJudge_stoppedFor10WindowsAlarmsNobody(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc", Interval: 10 * time.Second})
	l.beating("svc", 10*time.Second, time.Minute)
	l.skip(10 * time.Minute)
	l.pass(59 * time.Second)
	l.beating("svc", 10*time.Second, time.Hour)
	require.Equal(t, up(), l.kinds())
	l.pass(2 * time.Minute)
	require.Equal(t, up(laneswap.EventDown), l.kinds(), "silence after it is found")
}

// The first to notice a pause may be a beat or a read rather than the tick.
func TestJudge_beatRightAfterAPauseIsNoRecovery(t *testing.T) {
	t.Parallel()
	for _, hb := range []laneswap.Heartbeat{{}, {Message: "hello"}} {
		l := newTimeline(laneswap.Registration{ID: "svc", Interval: 10 * time.Second})
		l.beating("svc", 10*time.Second, time.Minute)
		l.skip(time.Hour)
		l.Beat("svc", hb, int64(l.mono), int64(l.wall))
		require.Equal(t, up(), l.kinds())
	}
}

func TestJudge_clockSetByAnHourEitherWayAlarmsNobody(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			l := newTimeline(laneswap.Registration{ID: "svc", Interval: 10 * time.Second})
			l.beating("svc", 10*time.Second, time.Minute)
			l.wall += step
			l.beating("svc", 10*time.Second, 3*time.Hour)
			require.Equal(t, up(), l.kinds())
			l.pass(2 * time.Minute)
			require.Equal(t, up(laneswap.EventDown), l.kinds(), "silence after it is found")
			l.beat("svc")
			ev := l.Events[2]
			require.Equal(t, laneswap.EventRecovered, ev.Kind)
			require.Equal(t, 70*time.Second, ev.Duration.Round(time.Second))
			require.False(t, ev.At.Before(l.Events[1].At))
		})
	}
}

func TestJudge_recordedTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc"})
	l.beat("svc")
	l.pass(30 * time.Second)
	l.Beat("svc", laneswap.Heartbeat{Status: laneswap.StatusError}, int64(l.mono), int64(l.wall))
	l.wall -= time.Hour
	l.pass(time.Second)
	l.beat("svc")
	require.Equal(t, up(laneswap.EventDown, laneswap.EventRecovered), l.kinds())
	require.False(t, l.Events[2].At.Before(l.Events[1].At))
	require.GreaterOrEqual(t, l.Events[2].Duration, time.Duration(0))
}

// A goroutine that loses the processor between reading one clock and the other
// must not move what people see.
func TestJudge_unevenReadingOfTheClocksMovesNoDeadline(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc"})
	l.beat("svc")
	for _, off := range []time.Duration{5 * time.Millisecond, -3 * time.Millisecond, 40 * time.Millisecond, 0} {
		l.pass(time.Second)
		l.Tick(int64(l.mono), int64(l.wall+off))
	}
	l.pass(time.Minute)
	require.Equal(t, time.Unix(0, int64(dawn+time.Minute)).UTC(), l.Events[1].At)
}

func TestJudge_threeRestartsCannotHideADeadService(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "lives", Interval: 20 * time.Second}, laneswap.Registration{ID: "dies", Interval: 20 * time.Second})
	l.beat("dies")
	restart := func(down time.Duration) {
		l.skip(down)
		l.Start(int64(l.mono), int64(l.wall), true)
	}
	for range 6 {
		l.beating("lives", 20*time.Second, 40*time.Second)
		restart(5 * time.Second)
	}
	l.beating("lives", 20*time.Second, time.Minute)
	require.Equal(t, laneswap.StatusHealthy, l.Status("lives"))
	require.Equal(t, laneswap.StatusStale, l.Status("dies"))
	require.Equal(t, up(laneswap.EventUp, laneswap.EventDown), l.kinds())
	// Back for the third time at 135 s; a window later it was certain.
	require.Equal(t, time.Unix(0, int64(dawn+195*time.Second)).UTC(), l.Events[2].At)
}

func TestJudge_staleServiceStaysStaleThroughAnAbsence(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc"})
	l.beat("svc")
	l.pass(2 * time.Minute)
	l.skip(time.Hour)
	l.Start(int64(l.mono), int64(l.wall), true)
	l.pass(time.Hour)
	require.Equal(t, up(laneswap.EventDown), l.kinds())
}

// A daily job that was expected while we were away: neither an alarm nor a
// claim that all is well.
func TestJudge_dailyJobMissedInARestartIsUnknownOnce(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "nightly", Interval: 24 * time.Hour})
	l.beat("nightly")
	l.pass(23 * time.Hour)
	l.skip(4 * time.Hour) // it beat at 24 h, and nobody heard
	l.Start(int64(l.mono), int64(l.wall), true)
	l.pass(119 * time.Second)
	require.Equal(t, laneswap.StatusHealthy, l.Status("nightly"))
	l.pass(2 * time.Second)
	require.Equal(t, up(laneswap.EventUnheard), l.kinds())
	require.Equal(t, time.Unix(0, int64(dawn)).UTC(), l.Events[1].SilentSince)
	require.Contains(t, l.Events[1].Cause, "could not hear")
	l.pass(20 * time.Hour)
	require.Equal(t, up(laneswap.EventUnheard), l.kinds(), "said once")

	l.beat("nightly")
	require.Equal(t, up(laneswap.EventUnheard, laneswap.EventUp), l.kinds(), "a beat settles it without an alarm")
}

func TestJudge_unknownDailyJobThatStaysSilentGoesStale(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "nightly", Interval: 24 * time.Hour})
	l.beat("nightly")
	l.pass(23 * time.Hour)
	l.skip(4 * time.Hour)
	l.Start(int64(l.mono), int64(l.wall), true)
	l.pass(25*time.Hour + time.Second)
	require.Equal(t, up(laneswap.EventUnheard, laneswap.EventDown), l.kinds())
	require.Equal(t, time.Unix(0, int64(dawn+52*time.Hour)).UTC(), l.Events[2].At)
	require.Equal(t, time.Unix(0, int64(dawn)).UTC(), l.Events[2].SilentSince)
}

func TestJudge_restartFarFromTheBeatDelaysNoVerdict(t *testing.T) {
	t.Parallel()
	for _, reg := range []laneswap.Registration{
		{ID: "svc", Interval: 24 * time.Hour},
		{ID: "svc", StaleAfter: 25 * time.Hour},
	} {
		l := newTimeline(reg)
		l.beat("svc")
		l.pass(10 * time.Hour)
		l.skip(10 * time.Second)
		l.Start(int64(l.mono), int64(l.wall), true)
		l.pass(15*time.Hour - 10*time.Second)
		require.Equal(t, up(), l.kinds())
		l.pass(time.Second)
		require.Equal(t, up(laneswap.EventDown), l.kinds())
	}
}

// A loop that comes late, but not so late that it counts as an absence, must
// not overlook a silence because a beat ended it first.
func TestJudge_beatAfterUnjudgedSilenceMakesTheIncident(t *testing.T) {
	t.Parallel()
	for _, hb := range []laneswap.Heartbeat{{}, {Message: "hello"}} {
		l := newTimeline(laneswap.Registration{ID: "svc", Interval: time.Second, StaleAfter: 2 * time.Second})
		l.beat("svc")
		l.pass(1900 * time.Millisecond)
		l.skip(600 * time.Millisecond)
		l.Beat("svc", hb, int64(l.mono), int64(l.wall))
		require.Equal(t, up(laneswap.EventDown, laneswap.EventRecovered), l.kinds(), fmt.Sprint(hb))
		require.Equal(t, 500*time.Millisecond, l.Events[2].Duration)
		l.pass(2 * time.Second)
		require.Equal(t, laneswap.StatusHealthy, l.Status("svc"))
	}
}

func TestJudge_incidentHasStartEndDurationAndCause(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc"})
	say := func(st laneswap.Status, msg string) {
		l.pass(10 * time.Second)
		l.Beat("svc", laneswap.Heartbeat{Status: st, Message: msg}, int64(l.mono), int64(l.wall))
	}
	say(laneswap.StatusHealthy, "")
	say(laneswap.StatusBusy, "")
	say(laneswap.StatusWarning, "queue at 80 %")
	say(laneswap.StatusCritical, "queue full")
	l.pass(61 * time.Second)
	say(laneswap.StatusDegraded, "")
	say(laneswap.StatusUnknown, "who am I")
	say(laneswap.StatusDegraded, "")
	say(laneswap.StatusIdle, "")
	say(laneswap.StatusShutdown, "bye")
	l.pass(time.Hour)
	require.Equal(t, up(
		laneswap.EventDown,      // warning
		laneswap.EventWorse,     // critical
		laneswap.EventWorse,     // silent on top of it
		laneswap.EventBetter,    // degraded
		laneswap.EventUnknown,   // neither good nor bad: the incident goes on
		laneswap.EventWorse,     // degraded again
		laneswap.EventRecovered, // idle
	), l.kinds(), "good to good makes no event, nor does a goodbye")
	first, last := l.Events[1], l.Events[7]
	require.Equal(t, "reported warning: queue at 80 %", last.Cause)
	require.Equal(t, first.Incident, last.Incident)
	require.Equal(t, last.At.Sub(first.At), last.Duration)
	ids := map[string]bool{}
	for _, ev := range l.Events {
		require.False(t, ids[ev.ID], "event ids are unique: %s", ev.ID)
		ids[ev.ID] = true
	}
}

func TestJudge_goodbyeOfAServiceThatMustRunIsAnIncident(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc", MustRun: true})
	l.beat("svc")
	l.pass(time.Second)
	l.Beat("svc", laneswap.Heartbeat{Status: laneswap.StatusShutdown}, int64(l.mono), int64(l.wall))
	l.pass(time.Hour)
	l.beat("svc")
	require.Equal(t, up(laneswap.EventDown, laneswap.EventRecovered), l.kinds())
	require.Equal(t, laneswap.StatusShutdown, l.Events[1].To)
	require.Equal(t, time.Hour, l.Events[2].Duration)
}

func TestJudge_thousandSilentServicesMakeEventsInOrder(t *testing.T) {
	t.Parallel()
	var regs []laneswap.Registration
	for i := range 1000 {
		regs = append(regs, laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprintf("svc-%03d", i))})
	}
	l := newTimeline(regs...)
	for _, reg := range regs {
		l.beat(reg.ID)
		l.pass(60 * time.Millisecond)
	}
	l.Events = nil
	l.pass(61 * time.Second)
	require.Len(t, l.Events, 1000)
	for i, ev := range l.Events {
		require.Equal(t, regs[i].ID, ev.Service)
		require.Equal(t, laneswap.EventDown, ev.Kind)
		require.Equal(t, ev.SilentSince.Add(time.Minute), ev.At)
	}
}

func TestJudge_silentSinceIsKeptAcrossASuspend(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc"})
	l.beat("svc")
	l.pass(10 * time.Second)
	l.suspend(8 * time.Hour)
	l.pass(2 * time.Minute)
	require.Equal(t, laneswap.StatusStale, l.Status("svc"))
	require.Equal(t, time.Unix(0, int64(dawn)).UTC(), l.Events[1].SilentSince)
	require.Equal(t, time.Unix(0, int64(dawn)).UTC(), l.Snapshot("svc", int64(l.mono), int64(l.wall)).LastHeartbeat)
}

func TestJudge_clockSetBackKeepsAnIncidentsDuration(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc", NoDeadline: true})
	l.Beat("svc", laneswap.Heartbeat{Status: laneswap.StatusError}, int64(l.mono), int64(l.wall))
	l.pass(time.Second)
	l.wall -= time.Hour
	l.pass(30 * time.Minute)
	l.beat("svc")
	require.Equal(t, 30*time.Minute+time.Second, l.Events[1].Duration)
}

// More absences than are remembered: those that count are long over.
func TestJudge_countlessAbsencesCannotHideADeadService(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "monthly", StaleAfter: 30 * 24 * time.Hour})
	for range 400 { // a laptop that sleeps ten times a day for a minute
		l.skip(144 * time.Minute)
		l.Doze(int64(l.mono), int64(l.wall))
		l.suspend(time.Minute)
		l.Tick(int64(l.mono), int64(l.wall))
	}
	require.Equal(t, laneswap.StatusStale, l.Status("monthly"))
}

func TestJudge_deadlineOfAnUnheardServiceIsAhead(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "svc", Interval: 10 * time.Minute})
	l.beat("svc")
	l.pass(9 * time.Minute)
	l.skip(14 * time.Minute)
	l.pass(3 * time.Minute)
	require.Equal(t, laneswap.StatusUnknown, l.Status("svc"))
	st := l.Snapshot("svc", int64(l.mono), int64(l.wall))
	require.True(t, st.Deadline.After(time.Unix(0, int64(l.wall))))
	l.beat("svc")
	require.Equal(t, up(laneswap.EventUnheard, laneswap.EventUp), l.kinds())
}

func TestJudge_finalHeartbeatSuspendsTheDeadline(t *testing.T) {
	t.Parallel()
	l := newTimeline(laneswap.Registration{ID: "job"})
	l.beat("job")
	l.pass(time.Second)
	l.Beat("job", laneswap.Heartbeat{Status: laneswap.StatusError, Final: true}, int64(l.mono), int64(l.wall))
	l.pass(24 * time.Hour)
	require.Equal(t, up(laneswap.EventDown), l.kinds(), "error, and not stale on top")
	require.True(t, l.Snapshot("job", int64(l.mono), int64(l.wall)).Deadline.IsZero())
	l.beat("job")
	l.pass(2 * time.Minute)
	require.Equal(t, up(laneswap.EventDown, laneswap.EventRecovered, laneswap.EventDown), l.kinds(), "watched again")
}
