package discordtest_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/examples/memorystore"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// listener is a notifier that records when it received each event.
type listener struct {
	mu   sync.Mutex // guards what follows
	told map[string]time.Time
}

func (l *listener) Name() string { return "listener" }

func (l *listener) Notify(_ context.Context, n laneswap.Notification) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, item := range n.Items {
		for _, ev := range append(item.Earlier, item.Event) {
			l.told[ev.ID] = time.Now()
		}
	}
	return nil
}

func (l *listener) when(id string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[id]
}

// Notifiers that hang, ignore their context, or panic do not delay the others.
func TestNotifiers_doNotDelayOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		deaf := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { <-forever; return nil })
		mad := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { panic("no") })
		gone := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { runtime.Goexit(); return nil })
		quick := &listener{told: map[string]time.Time{}}
		s := newHarness(t, memorystore.New(), with(laneswap.WithNotifier(deaf), laneswap.WithNotifier(mad), laneswap.WithNotifier(gone), laneswap.WithNotifier(quick), laneswap.WithFlapLimit(0)))
		hook := s.fake.AddWebhook("hung")
		s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
			if strings.Contains(hook, r.Webhook) {
				return fakediscord.HangBeforeHeaders(false)
			}
			return fakediscord.Answer{}
		})
		hung, err := discord.New(hook, discord.WithName("hung"), discord.WithHTTPClient(s.fake.Client()))
		require.NoError(t, err)
		require.NoError(t, s.AddNotifier(hung))
		s.known("db", "web")
		for minute := range 10 {
			s.until(time.Duration(minute)*time.Minute + 10*time.Second)
			for _, id := range []laneswap.ServiceID{"db", "web"} {
				s.report(id, []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy}[minute%2], "")
			}
		}
		s.until(10 * time.Minute)
		for _, ev := range s.events("") {
			require.WithinDuration(t, ev.At, quick.when(ev.ID), laneswap.DefaultGroupWait+time.Millisecond)
		}
		states := map[string]laneswap.NotifierState{}
		all, err := s.Notifiers(t.Context())
		require.NoError(t, err)
		for _, st := range all {
			states[st.Name] = st.State
		}
		require.Equal(t, laneswap.NotifierOK, states["discord"])
		require.Equal(t, laneswap.NotifierOK, states["listener"])
		require.Equal(t, laneswap.NotifierStuck, states["laneswap.NotifierFunc"])
		require.Equal(t, laneswap.NotifierRetrying, states["laneswap.NotifierFunc#2"])
		require.Equal(t, laneswap.NotifierRetrying, states["laneswap.NotifierFunc#3"])
		require.Equal(t, laneswap.NotifierRetrying, states["hung"])
		s.pending = true
		begin := time.Now()
		s.stop()
		require.LessOrEqual(t, time.Since(begin), 12*time.Second)
		close(forever)
	})
}

// Stop also reports correctly about notifiers that it checks after its time is up.
func TestStop_namesOnlyThoseThatDidNotReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		defer close(forever)
		deaf := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { <-forever; return nil })
		opts := []laneswap.Option{laneswap.WithNotifier(deaf), laneswap.WithGroupWait(0)}
		for range 20 {
			opts = append(opts, laneswap.WithNotifier(&listener{told: map[string]time.Time{}}))
		}
		m := laneswap.NewManager(opts...)
		require.NoError(t, m.Start(t.Context()))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "db", NoDeadline: true}, laneswap.Heartbeat{Status: laneswap.StatusError}))
		synctest.Wait()
		err := m.Stop(context.Background())
		require.ErrorContains(t, err, "laneswap.NotifierFunc did not return")
		require.NotContains(t, err.Error(), "listener")
	})
}

// Stop cancels a hanging delivery, and the next run delivers the pending notices.
func TestStop_theNextRunDeliversWhatHung(t *testing.T) {
	t.Parallel()
	for _, taken := range []bool{false, true} {
		onStored(t, func(t *testing.T, s *harness) {
			s.known("db", "web")
			s.fake.Respond(func(fakediscord.Request) fakediscord.Answer { return fakediscord.HangAfterHeaders(taken) })
			s.down("db")
			s.until(7 * time.Second) // it hangs
			s.down("web")
			s.pending = true
			begin := time.Now()
			s.stop()
			require.LessOrEqual(t, time.Since(begin), 10*time.Second+time.Millisecond)
			before := s.delivered()
			s.pending = false
			s.fake.Respond(nil)
			time.Sleep(time.Hour)
			s.start(s.fake.Webhook())
			s.up("db")
			time.Sleep(time.Minute)
			require.Len(t, s.verify(), before, "whose answers were lost")
			courses := s.courses("db")
			require.Equal(t, "healthy → error → healthy", courses[len(courses)-1])
			texts := steps(s.trace(s.events("db")[0]))
			require.Contains(t, texts, "restored after a restart")
		})
	}
}
