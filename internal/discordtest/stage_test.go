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

// stage is a Manager that tells the stand-in of Discord, in a bubble of its own.
type stage struct {
	*laneswap.Manager
	t      *testing.T
	fake   *fakediscord.Server
	disk   laneswap.Storage // nil without
	opts   []laneswap.Option
	limits []fakediscord.Option
	owing  bool // when it stops, something is still to be told
	again  bool // it was started again
	begun  time.Time
}

// setup changes a stage before it starts.
type setup func(s *stage)

// with has the Manager get options.
func with(opts ...laneswap.Option) setup { return func(s *stage) { s.opts = append(s.opts, opts...) } }

// limited has the stand-in take so many requests for a webhook, and for a channel.
func limited(webhook, channel fakediscord.Limit) setup {
	return func(s *stage) { s.limits = append(s.limits, fakediscord.WithLimits(webhook, channel)) }
}

// long plays each scenario of a table with and without a storage, and with as many
// services as TestManager_aThousandServicesAreToldInFewMessages of the adapter.
var long = flag.Bool("long", false, "play all combinations, at full size")

// onEach plays row i of a table: with a storage and without in turn, with -long both.
func onEach(t *testing.T, i int, play func(t *testing.T, s *stage)) {
	t.Helper()
	if *long || i%2 == 0 {
		onStored(t, play)
	}
	if *long || i%2 == 1 {
		inMemory(t, play)
	}
}

// onBoth plays a scenario with a Manager that stores what it owes, and with one that
// keeps it in memory.
func onBoth(t *testing.T, play func(t *testing.T, s *stage), setups ...setup) {
	t.Helper()
	onStored(t, play, setups...)
	inMemory(t, play, setups...)
}

// inMemory plays it with a Manager without a storage only.
func inMemory(t *testing.T, play func(t *testing.T, s *stage), setups ...setup) {
	t.Helper()
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { play(t, newStage(t, nil, setups...)) })
	})
}

// onStored plays it with a Manager that stores only.
func onStored(t *testing.T, play func(t *testing.T, s *stage), setups ...setup) {
	t.Helper()
	t.Run("stored", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { play(t, newStage(t, memorystore.New(), setups...)) })
	})
}

func newStage(t *testing.T, disk laneswap.Storage, setups ...setup) *stage {
	t.Helper()
	s := &stage{t: t, disk: disk, begun: time.Now()}
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
		if s.again {
			rules = rules[:2] // how long a receiver wants to be left alone is not stored
		}
		require.Empty(t, fake.Violations(rules...), "what no client may do")
		require.Less(t, fake.Invalid(), 100, "10,000 would have the address banned")
	})
	return s
}

// start starts a Manager that tells that webhook.
func (s *stage) start(webhook string) {
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

// stop stops the Manager; twice does no harm.
func (s *stage) stop() {
	s.t.Helper()
	err := s.Stop(context.Background())
	if s.owing {
		require.ErrorIs(s.t, err, laneswap.ErrNotifier)
		return
	}
	require.NoError(s.t, err)
}

// restart stops the Manager, whatever it owes, and starts another one a while later.
func (s *stage) restart(after time.Duration) {
	s.t.Helper()
	s.again = true
	if err := s.Stop(context.Background()); err != nil {
		require.ErrorIs(s.t, err, laneswap.ErrNotifier)
	}
	time.Sleep(after)
	s.start(s.fake.Webhook())
}

// known makes services that beat once and never fall silent.
func (s *stage) known(ids ...laneswap.ServiceID) {
	s.t.Helper()
	for _, id := range ids {
		require.NoError(s.t, s.AnnounceBeat(s.t.Context(), laneswap.Registration{ID: id, NoDeadline: true}, laneswap.Heartbeat{}))
	}
}

// report has a service say how it is.
func (s *stage) report(id laneswap.ServiceID, status laneswap.Status, message string) {
	s.t.Helper()
	_, err := s.Report(s.t.Context(), id, laneswap.Heartbeat{Status: status, Message: message})
	require.NoError(s.t, err)
}

func (s *stage) down(id laneswap.ServiceID) {
	s.t.Helper()
	s.report(id, laneswap.StatusError, "no answer from "+string(id))
}

func (s *stage) up(id laneswap.ServiceID) {
	s.t.Helper()
	s.report(id, laneswap.StatusHealthy, "")
}

// until lets time pass until that long after the beginning.
func (s *stage) until(d time.Duration) {
	time.Sleep(time.Until(s.begun.Add(d)))
	synctest.Wait()
}

// answerUntil has every request until then get an answer of f.
func (s *stage) answerUntil(d time.Duration, f func(left time.Duration) fakediscord.Answer) {
	end := s.begun.Add(d)
	s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
		if left := end.Sub(r.At); left > 0 {
			return f(left)
		}
		return fakediscord.Answer{}
	})
}

// notifier is how the first notifier stands.
func (s *stage) notifier() laneswap.NotifierStatus {
	s.t.Helper()
	all, err := s.Notifiers(s.t.Context())
	require.NoError(s.t, err)
	require.NotEmpty(s.t, all)
	return all[0]
}

// events are those of which people are to be told, of one service or of all ("").
func (s *stage) events(id laneswap.ServiceID) (evs []laneswap.Event) {
	s.t.Helper()
	for ev, err := range s.Events(s.t.Context(), laneswap.EventQuery{Service: id}) {
		require.NoError(s.t, err)
		if ev.Kind != laneswap.EventUp && ev.Kind != laneswap.EventUnknown {
			evs = append(evs, ev)
		}
	}
	return evs
}

// trace is what was decided about the notice of an event.
func (s *stage) trace(ev laneswap.Event) laneswap.NoticeTrace {
	s.t.Helper()
	x, err := s.Explain(s.t.Context(), ev.ID)
	require.NoError(s.t, err)
	require.Len(s.t, x.Notices, 1, "%s %s", ev.Kind, ev.ID)
	require.Equal(s.t, "discord", x.Notices[0].Notifier)
	return x.Notices[0]
}

// steps are the texts of a trace.
func steps(tr laneswap.NoticeTrace) (texts []string) {
	for _, step := range tr.Steps {
		texts = append(texts, step.Text)
	}
	return texts
}

// said is all that people read of a message, with its files.
func said(m fakediscord.Message) string {
	var b strings.Builder
	b.WriteString(m.Payload.Text())
	for _, f := range m.Files {
		b.Write(f.Data)
	}
	return b.String()
}

// name is the i-th of many services.
func name(i int) laneswap.ServiceID { return laneswap.ServiceID(fmt.Sprintf("svc-%04d@rack", i)) }

// told is how many messages the receiver has, and asked how often it was asked.
func (s *stage) told() int  { return len(s.fake.Messages()) }
func (s *stage) asked() int { return len(s.fake.Requests()) }
