package discordtest_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/examples/memorystore"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// harness is a Manager that sends to the fake of Discord, in its own bubble.
type harness struct {
	*laneswap.Manager
	t         *testing.T
	fake      *fakediscord.Server
	disk      laneswap.Storage // nil without
	opts      []laneswap.Option
	limits    []fakediscord.Option
	pending   bool // notices will be pending when the Manager stops
	restarted bool
	begun     time.Time
}

// setup changes a harness before it starts.
type setup func(s *harness)

// with adds options of the Manager.
func with(opts ...laneswap.Option) setup {
	return func(s *harness) { s.opts = append(s.opts, opts...) }
}

// limited sets the limits of the fake for a webhook and a channel.
func limited(webhook, channel fakediscord.Limit) setup {
	return func(s *harness) { s.limits = append(s.limits, fakediscord.WithLimits(webhook, channel)) }
}

// long plays each scenario of a table with and without a storage, and with as many
// services as TestManager_aThousandServicesAreToldInFewMessages of the adapter.
var long = flag.Bool("long", false, "play all combinations, at full size")

// onEach plays row i of a table: with a storage and without in turn, with -long both.
func onEach(t *testing.T, i int, play func(t *testing.T, s *harness)) {
	t.Helper()
	if *long || i%2 == 0 {
		onStored(t, play)
	}
	if *long || i%2 == 1 {
		inMemory(t, play)
	}
}

// onBoth plays a scenario with a storage, and without one.
func onBoth(t *testing.T, play func(t *testing.T, s *harness), setups ...setup) {
	t.Helper()
	onStored(t, play, setups...)
	inMemory(t, play, setups...)
}

// inMemory plays a scenario without a storage.
func inMemory(t *testing.T, play func(t *testing.T, s *harness), setups ...setup) {
	t.Helper()
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { play(t, newHarness(t, nil, setups...)) })
	})
}

// onStored plays a scenario with a storage.
func onStored(t *testing.T, play func(t *testing.T, s *harness), setups ...setup) {
	t.Helper()
	t.Run("stored", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { play(t, newHarness(t, memorystore.New(), setups...)) })
	})
}

func newHarness(t *testing.T, disk laneswap.Storage, setups ...setup) *harness {
	t.Helper()
	s := &harness{t: t, disk: disk, begun: time.Now()}
	for _, set := range setups {
		set(s)
	}
	fake := fakediscord.New(s.limits...)
	t.Cleanup(fake.Close)
	s.fake = fake
	s.start(fake.Webhook())
	t.Cleanup(func() {
		s.stop()
		rules := []fakediscord.Rule{fakediscord.RulePayload, fakediscord.RuleProtocol, fakediscord.RuleDelay}
		if s.restarted {
			rules = rules[:2] // how long a receiver wants to be left alone is not stored
		}
		require.Empty(t, fake.Violations(rules...), "what no client may do")
		require.Less(t, fake.Invalid(), 100, "10,000 would have the address banned")
	})
	return s
}

// start starts a Manager that sends to that webhook.
func (s *harness) start(webhook string) {
	s.t.Helper()
	n, err := discord.New(webhook, discord.WithHTTPClient(s.fake.Client()))
	require.NoError(s.t, err)
	opts := []laneswap.Option{laneswap.WithNotifier(n)}
	if s.disk != nil {
		opts = append(opts, laneswap.WithStorage(s.disk))
	}
	s.Manager = laneswap.NewManager(append(opts, s.opts...)...)
	require.NoError(s.t, s.Start(s.t.Context()))
}

// stop stops the Manager. It may be called twice.
func (s *harness) stop() {
	s.t.Helper()
	err := s.Stop(context.Background())
	if s.pending {
		require.ErrorIs(s.t, err, laneswap.ErrNotifier)
		return
	}
	require.NoError(s.t, err)
}

// restart stops the Manager, even with pending notices, and starts another one later.
func (s *harness) restart(after time.Duration) {
	s.t.Helper()
	s.restarted = true
	if err := s.Stop(context.Background()); err != nil {
		require.ErrorIs(s.t, err, laneswap.ErrNotifier)
	}
	time.Sleep(after)
	s.start(s.fake.Webhook())
}

// known registers services that beat once and never fall silent.
func (s *harness) known(ids ...laneswap.ServiceID) {
	s.t.Helper()
	for _, id := range ids {
		require.NoError(s.t, s.AnnounceBeat(s.t.Context(), laneswap.Registration{ID: id, NoDeadline: true}, laneswap.Heartbeat{}))
	}
}

// report sends a heartbeat with a status.
func (s *harness) report(id laneswap.ServiceID, status laneswap.Status, message string) {
	s.t.Helper()
	_, err := s.Report(s.t.Context(), id, laneswap.Heartbeat{Status: status, Message: message})
	require.NoError(s.t, err)
}

func (s *harness) down(id laneswap.ServiceID) {
	s.t.Helper()
	s.report(id, laneswap.StatusError, "no answer from "+string(id))
}

func (s *harness) up(id laneswap.ServiceID) {
	s.t.Helper()
	s.report(id, laneswap.StatusHealthy, "")
}

// until sleeps until d after the beginning.
func (s *harness) until(d time.Duration) {
	time.Sleep(time.Until(s.begun.Add(d)))
	synctest.Wait()
}

// answerUntil answers every request by f until d after the beginning.
func (s *harness) answerUntil(d time.Duration, f func(left time.Duration) fakediscord.Answer) {
	end := s.begun.Add(d)
	s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
		if left := end.Sub(r.At); left > 0 {
			return f(left)
		}
		return fakediscord.Answer{}
	})
}

// notifier returns the status of the first notifier.
func (s *harness) notifier() laneswap.NotifierStatus {
	s.t.Helper()
	all, err := s.Notifiers(s.t.Context())
	require.NoError(s.t, err)
	require.NotEmpty(s.t, all)
	return all[0]
}

// events returns the events that must be sent, of one service or of all ("").
func (s *harness) events(id laneswap.ServiceID) (evs []laneswap.Event) {
	s.t.Helper()
	for ev, err := range s.Events(s.t.Context(), laneswap.EventQuery{Service: id}) {
		require.NoError(s.t, err)
		if ev.Kind != laneswap.EventUp && ev.Kind != laneswap.EventUnknown {
			evs = append(evs, ev)
		}
	}
	return evs
}

// trace returns the trace of the notice of an event.
func (s *harness) trace(ev laneswap.Event) laneswap.NoticeTrace {
	s.t.Helper()
	x, err := s.Explain(s.t.Context(), ev.ID)
	require.NoError(s.t, err)
	require.Len(s.t, x.Notices, 1, "%s %s", ev.Kind, ev.ID)
	require.Equal(s.t, "discord", x.Notices[0].Notifier)
	return x.Notices[0]
}

// steps returns the texts of a trace.
func steps(tr laneswap.NoticeTrace) (texts []string) {
	for _, step := range tr.Steps {
		texts = append(texts, step.Text)
	}
	return texts
}

// textOf returns all text of a message, with its files.
func textOf(m fakediscord.Message) string {
	var b strings.Builder
	b.WriteString(m.Payload.Text())
	for _, f := range m.Files {
		b.Write(f.Data)
	}
	return b.String()
}

// name returns the id of service i.
func name(i int) laneswap.ServiceID { return laneswap.ServiceID(fmt.Sprintf("svc-%04d@rack", i)) }

// delivered and requested return the numbers of messages and of requests.
func (s *harness) delivered() int { return len(s.fake.Messages()) }
func (s *harness) requested() int { return len(s.fake.Requests()) }
