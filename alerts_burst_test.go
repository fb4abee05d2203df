package laneswap_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

const burstSize = 1000

// registerAndFallSilent registers services that beat once each, spread over a time, and returns
// their handles when all are stale and the notices are sent.
func registerAndFallSilent(t *testing.T, m *laneswap.Manager, spread time.Duration) []*laneswap.Handle {
	t.Helper()
	handles := make([]*laneswap.Handle, burstSize)
	for i := range handles {
		handles[i] = register(t, m, laneswap.Registration{ID: nthID(i)})
	}
	beatSpread(handles, spread)
	time.Sleep(window + 2*time.Minute)
	return handles
}

// beatSpread beats once for each handle, spread over a time.
func beatSpread(handles []*laneswap.Handle, spread time.Duration) {
	for _, h := range handles {
		h.Beat()
		time.Sleep(spread / burstSize)
	}
}

// counted asserts that few messages tell of each of a crowd once, and that all of
// them lead to a status.
func counted(t *testing.T, notes []laneswap.Notification, to laneswap.Status) {
	t.Helper()
	require.LessOrEqual(t, len(notes), 3, "messages")
	require.NotEmpty(t, notes)
	require.Len(t, servicesIn(notes...), burstSize, "all names are accounted for")
	items := 0
	for _, n := range notes {
		items += len(n.Items)
		for _, item := range n.Items {
			require.Equal(t, to, item.Event.To)
		}
	}
	require.Equal(t, burstSize, items, "each in one message")
}

func TestBurst_silenceAndReturnAreFewMessages(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for _, spread := range []time.Duration{time.Second, 30 * time.Second} {
		for _, away := range []time.Duration{3 * time.Minute, time.Hour} {
			for _, stored := range []bool{false, true} {
				if away > 3*time.Minute && (stored || spread > time.Second) && !*long {
					continue // each is there once
				}
				t.Run(fmt.Sprintf("%v, back after %v, stored %v", spread, away, stored), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						d := newFakeNotifier()
						var opts []laneswap.Option
						if stored {
							opts = append(opts, laneswap.WithStorage(memorystore.New()))
						}
						m := startWithNotifier(t, d, opts...)
						handles := registerAndFallSilent(t, m, spread)
						notes := d.took()
						counted(t, notes, laneswap.StatusStale)
						last := notes[len(notes)-1]
						require.Equal(t, laneswap.NoticeMassSilence, last.Kind)
						require.NotEmpty(t, last.Finding)
						time.Sleep(away - 2*time.Minute)
						beatSpread(handles, spread)
						beatAll(handles, 3*time.Minute)
						counted(t, d.took(), laneswap.StatusHealthy)
					})
				})
			}
		}
	}
}

// The receiver cannot be reached meanwhile, as when our own network fails.
func TestBurst_isFewMessagesAfterAReceiverOutage(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"error": errAway, "delay": laneswap.RetryAfter(errAway, 20*time.Second)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				d.answers(alwaysReturn(err))
				m := startWithNotifier(t, d)
				handles := registerAndFallSilent(t, m, 30*time.Second)
				time.Sleep(10 * time.Minute)
				d.calls()
				d.answers(nil)
				time.Sleep(10 * time.Minute)
				notes := d.took()
				counted(t, notes, laneswap.StatusStale)
				require.Equal(t, laneswap.NoticeMassSilence, notes[0].Kind)
				d.answers(alwaysReturn(err))
				beatSpread(handles, 30*time.Second)
				beatAll(handles, 3*time.Minute)
				d.calls()
				d.answers(nil)
				beatAll(handles, 5*time.Minute)
				counted(t, d.took(), laneswap.StatusHealthy)
			})
		})
	}
}

// A restart in the middle of it makes no thousand messages.
func TestBurst_isFewMessagesAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d), laneswap.WithGroupWait(laneswap.DefaultGroupWait))
		handles := make([]*laneswap.Handle, burstSize)
		for i := range handles {
			handles[i] = register(t, m.Manager, laneswap.Registration{ID: nthID(i)})
		}
		beatSpread(handles, time.Second)
		time.Sleep(window + 2*time.Second) // they wait for company
		require.Empty(t, d.calls())
		m.crash(s)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithGroupWait(laneswap.DefaultGroupWait))
		time.Sleep(5 * time.Minute)
		counted(t, d.took(), laneswap.StatusStale)
		m.stop(t)
	})
}

// heapOf is how much more of the heap is in use after f.
func heapOf(f func()) int {
	heap := func() int {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	before := heap()
	f()
	return heap() - before
}

func TestBurst_ofTransitionsLosesNone(t *testing.T) {
	skipShort(t)
	const perSecond, seconds = 500, 10
	for _, services := range []int{1, 10, 400} {
		for _, receiver := range []string{"fine", "slow", "away for ten minutes"} {
			t.Run(fmt.Sprint(services, " services, ", receiver), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // not parallel: it measures the heap
					d := newFakeNotifier()
					m := startWithNotifier(t, d)
					handles := registerMany(t, m, services)
					switch receiver {
					case "slow":
						d.takes(4 * time.Second)
					case "away for ten minutes":
						d.answers(alwaysReturn(errAway))
					}
					used := heapOf(func() {
						for i := range perSecond * seconds {
							h := handles[i%services]
							status := []laneswap.Status{bad, good}[i/services%2]
							require.NoError(t, h.Report(laneswap.Heartbeat{Status: status, Message: "change"}))
							time.Sleep(time.Second / perSecond)
						}
					})
					if !raceEnabled {
						require.Less(t, used, 30<<20, "bytes for 5,000 transitions")
					}
					time.Sleep(10 * time.Minute)
					d.answers(nil)
					time.Sleep(30 * time.Minute)
					notes := d.took()
					told, want := map[laneswap.ServiceID][]string{}, map[laneswap.ServiceID][]string{}
					for _, ev := range eventsIn(notes...) {
						told[ev.Service] = append(told[ev.Service], ev.ID)
					}
					for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
						if ev.Kind != laneswap.EventUp {
							want[ev.Service] = append(want[ev.Service], ev.ID)
						}
					}
					require.Equal(t, want, told, "each once, in order")
					require.Len(t, eventsIn(notes...), perSecond*seconds)
					require.LessOrEqual(t, len(notes), max(60, 2*services))
					require.Zero(t, d.status(t, m).Dead)
					require.Zero(t, d.status(t, m).Waiting)
					for _, ev := range eventsIn(notes...)[:perSecond] {
						require.Equal(t, laneswap.NoticeSent, d.trace(t, m, ev.ID).State)
					}
				})
			})
		}
	}
}

// The queue of a notifier that accepts nothing is bounded: the oldest are dropped, and
// that is seen.
func TestBurst_queueIsBounded(t *testing.T) {
	skipHeavy(t)
	for name, c := range map[string]struct {
		answer error
		hangs  bool
		reg    laneswap.Registration
	}{
		"away":     {answer: errAway},
		"disabled": {answer: laneswap.Permanent(errAway)},
		"delayed":  {answer: laneswap.RetryAfter(errAway, time.Hour)},
		"hanging":  {answer: errAway, hangs: true},
		"held":     {reg: laneswap.Registration{AlertAfter: forTime(24 * time.Hour)}},
	} {
		for _, services := range []int{1, 200} {
			if services > 1 && name != "away" && name != "held" && !*long {
				continue // the answers do not change how services share the bound
			}
			t.Run(fmt.Sprint(name, " ", services), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const most, events = 64 << 20, 18_000 // of 4 kB each: 72 MB, and 95 MB as they are counted
					d, logged := newFakeNotifier(), &logBuffer{}
					d.answers(alwaysReturn(c.answer))
					if c.hangs {
						d.takes(25 * time.Second)
					}
					m := startUngrouped(t, d, laneswap.WithEventBuffer(1), laneswap.WithLogger(slog.New(slog.NewTextHandler(logged, nil))))
					var handles []*laneswap.Handle
					for i := range services {
						c.reg.ID, c.reg.NoDeadline = nthID(i), true
						handles = append(handles, register(t, m, c.reg))
					}
					used := heapOf(func() {
						for i := range events {
							status := []laneswap.Status{laneswap.StatusWarning, bad}[i/services%2]
							text := strings.Repeat("x", 4000) + fmt.Sprint(i)
							require.NoError(t, handles[i%services].Report(laneswap.Heartbeat{Status: status, Message: text}))
							if i%1000 == 0 {
								time.Sleep(time.Millisecond)
							}
						}
						time.Sleep(time.Minute)
						d.calls()
					})
					require.Less(t, used, most*9/8+8<<20)
					s := d.status(t, m)
					require.LessOrEqual(t, s.Waiting*5300, most*11/10)
					require.Equal(t, uint64(events), uint64(s.Waiting)+s.Dead, "told none, lost none unseen")
					require.Contains(t, logged.String(), "notices dropped")
					require.Less(t, strings.Count(logged.String(), "dropped"), 200, "not a line for each")
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					_ = m.Stop(ctx)
				})
			})
		}
	}
}

func TestBurst_queueOfShortMessagesIsBounded(t *testing.T) {
	skipHeavy(t)
	synctest.Test(t, func(t *testing.T) {
		const most = 64 << 20
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startUngrouped(t, d, laneswap.WithEventBuffer(1))
		h := registerHealthy(t, m, "svc")
		used := heapOf(func() {
			for i := range 140_000 {
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: []laneswap.Status{laneswap.StatusWarning, bad}[i%2]}))
			}
			time.Sleep(time.Hour) // the traces of the tries
			d.calls()
		})
		require.Less(t, used, most*9/8+8<<20)
		require.Equal(t, uint64(140_000), uint64(d.status(t, m).Waiting)+d.status(t, m).Dead)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = m.Stop(ctx)
	})
}
