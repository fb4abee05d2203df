package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// However services change, receivers fail and LaneSwap is killed: once all is calm,
// the last notices are true.
func TestNotices_lastOnesAreTrueAfterRandomTrouble(t *testing.T) {
	t.Parallel()
	for seed := range scaled[uint64](2, 8, 100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomLife(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func randomLife(t *testing.T, r *rand.Rand) {
	disk, d := memorystore.New(), newFakeNotifier()
	var trouble atomic.Bool
	trouble.Store(true)
	var mood sync.Mutex
	moods := rand.New(rand.NewPCG(r.Uint64(), 7)) // the receivers of two lives may overlap
	roll := func(n int) int {
		mood.Lock()
		defer mood.Unlock()
		return moods.IntN(n)
	}
	d.answers(func(n laneswap.Notification) error {
		if !trouble.Load() {
			return nil
		}
		switch roll(12) {
		case 0, 4:
			return errAway
		case 5:
			if len(n.Items) > 1 {
				return laneswap.Refused(errAway)
			}
		case 6:
			if roll(5) == 0 {
				return laneswap.Permanent(errAway)
			}
		case 1:
			return laneswap.RetryAfter(errAway, time.Duration(roll(300))*time.Second)
		case 2:
			time.Sleep(time.Duration(roll(40)) * time.Second)
			return errors.New("slow")
		case 3:
			time.Sleep(time.Duration(roll(20)) * time.Second)
			if roll(4) == 0 {
				panic("desk")
			}
		}
		return nil
	})
	var n laneswap.Notifier = d
	if r.IntN(2) == 0 {
		n = laneswap.Only(d, laneswap.MinLevel(laneswap.LevelWarning))
	}
	opts := []laneswap.Option{laneswap.WithGroupWait([]time.Duration{0, 5 * time.Second, time.Minute}[r.IntN(3)])}
	if r.IntN(2) == 0 {
		opts = append(opts, laneswap.WithFlapLimit(r.IntN(8)))
	} else {
		opts = append(opts, laneswap.WithFlapLimit(5))
	}
	if r.IntN(3) == 0 {
		opts = append(opts, laneswap.WithRemindEvery(time.Duration(1+r.IntN(60))*time.Minute))
	}
	faulty := storagetest.NewFaulty(disk)
	s := newCrashStorage(faulty)
	var m *run
	crashed := false
	start := func() {
		faulty = storagetest.NewFaulty(disk)
		if r.IntN(3) == 0 {
			how := []storagetest.How{storagetest.Half, storagetest.LoseAnswer, storagetest.Refuse}[r.IntN(3)]
			faulty.Inject(storagetest.Fault{Op: storagetest.Commit, At: 5 + r.IntN(50), Times: 1 + r.IntN(4), How: how, Err: errCrashed})
		}
		s = newCrashStorage(faulty)
		if r.IntN(3) == 0 {
			m = startWithStorage(t, s, opts...)
			time.Sleep(time.Duration(r.IntN(3)) * time.Second / 2)
			require.NoError(t, m.AddNotifier(n))
			return
		}
		m = startWithStorage(t, s, append([]laneswap.Option{laneswap.WithNotifier(n)}, opts...)...)
	}
	start()
	services := 2 + r.IntN(20)
	regs := make([]laneswap.Registration, services)
	threshold := func() laneswap.Threshold {
		switch r.IntN(4) {
		case 0:
			return beats(1 + r.IntN(5))
		case 1:
			return forTime(time.Duration(1+r.IntN(600)) * time.Second)
		}
		return laneswap.Threshold{}
	}
	for i := range regs {
		regs[i] = laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint("svc", i)), Interval: time.Minute}
		regs[i].NoDeadline = r.IntN(4) == 0
		regs[i].AlertAfter, regs[i].RecoverAfter = threshold(), threshold()
	}
	status := make([]laneswap.Status, services)
	quiet := make([]bool, services)
	beat := func(i int) {
		if !quiet[i] {
			_, _ = m.Announce(t.Context(), regs[i], laneswap.Heartbeat{Status: status[i]})
		}
	}
	for range 60 {
		i := r.IntN(services)
		switch r.IntN(12) {
		case 0, 1, 2, 3:
			status[i], quiet[i] = []laneswap.Status{"", "", "", "warning", "error", "critical", "unknown"}[r.IntN(7)], false
			beat(i)
		case 4:
			quiet[i] = !quiet[i]
		case 5:
			_ = m.Remove(t.Context(), regs[i].ID)
		case 6:
			if r.IntN(3) == 0 {
				m.crash(s)
				crashed = true
				time.Sleep(time.Duration(r.IntN(200)) * time.Second)
				start()
			}
		case 7:
			if r.IntN(3) == 0 {
				regs[i].AlertAfter, regs[i].RecoverAfter = threshold(), threshold()
				_, _ = m.Register(t.Context(), regs[i])
			} else if r.IntN(3) == 0 {
				m.stopped = true
				if m.Stop(context.Background()) != nil {
					crashed = true // somebody took longer: what was told is not stored
				}
				time.Sleep(time.Duration(r.IntN(20)) * time.Second)
				start()
			}
		default:
			for i := range regs {
				beat(i)
			}
		}
		time.Sleep(time.Duration(r.IntN(90)) * time.Second)
	}
	trouble.Store(false)
	faulty.Heal()
	_, _ = m.TestNotifier(t.Context(), "desk")
	for i := range status {
		if r.IntN(2) == 0 {
			quiet[i] = false
		}
	}
	for range 130 { // 65 minutes of calm
		for i := range regs {
			beat(i)
		}
		time.Sleep(30 * time.Second)
	}
	require.NoError(t, m.CheckBooks())
	told := map[laneswap.ServiceID]laneswap.Event{}
	sequence := map[laneswap.ServiceID]uint64{}
	log := map[laneswap.ServiceID][]string{}
	for _, c := range d.calls() {
		if c.err != nil {
			continue
		}
		for _, item := range c.note.Items {
			if item.Event.Kind == "" || c.note.Kind == laneswap.NoticeTest {
				continue
			}
			evs := append(append([]laneswap.Event(nil), item.Earlier...), item.Event)
			if item.Reminder > 0 {
				continue
			}
			log[item.Event.Service] = append(log[item.Event.Service], fmt.Sprint(c.at.Format(time.TimeOnly), " ", item.Text))
			for _, ev := range evs {
				if ev.Sequence <= sequence[ev.Service] {
					if !crashed {
						t.Errorf("again without a crash: %s after %d", ev.ID, sequence[ev.Service])
					}
					t.Logf("again or out of order: %s after %d", ev.ID, sequence[ev.Service])
				}
				sequence[ev.Service] = max(sequence[ev.Service], ev.Sequence)
				told[ev.Service] = ev
			}
		}
	}
	for i, reg := range regs {
		st, err := m.Service(t.Context(), reg.ID)
		ev, known := told[reg.ID]
		bad := known && (ev.Kind == laneswap.EventDown || ev.Kind == laneswap.EventWorse || ev.Kind == laneswap.EventBetter)
		ok := true
		if quiet[i] && reg.NoDeadline {
			continue // it may wait for heartbeats that nobody expects
		}
		switch {
		case err != nil:
			ok = !bad
		case st.Incident != nil && st.Status != "unknown":
			ok = bad && ev.Incident == st.Incident.ID && ev.To == st.Status || bad && ev.To == st.Status
		case st.Incident == nil:
			ok = !bad
		}
		if !ok {
			t.Errorf("%s is %v %v (incident %+v), people were told %s: %s at %v\nreg %+v quiet %v\ntold %q", reg.ID, st.Status, err, st.Incident, ev.Kind, ev.To, ev.At, reg, quiet[i], log[reg.ID])
			for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: reg.ID}) {
				x, _ := m.Explain(t.Context(), ev.ID)
				t.Log(ev.At.Format(time.TimeOnly), ev.ID, ev.Kind, ev.To)
				for _, tr := range x.Notices {
					for _, line := range traceLines(tr) {
						t.Log("      ", line)
					}
				}
			}
		}
	}
	m.stop(t)
}
