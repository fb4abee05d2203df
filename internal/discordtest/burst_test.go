package discordtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// burst is a time in which many services fall silent, and come back later.
type burst struct {
	services int
	silent   time.Duration // within which they fall silent
	back     time.Duration // within which they come back
	living   int           // services that go on
}

const (
	burstWindow = time.Minute
	fallAt      = 2 * time.Minute // when the first falls silent
	backAt      = 8 * time.Minute
	burstRounds = 5 // of heartbeats after it
)

// play plays a burst. It returns how many messages there were when all were silent.
func (w burst) play(s *harness) (told int) {
	s.t.Helper()
	say := func(id laneswap.ServiceID, message string) {
		reg := laneswap.Registration{ID: id, StaleAfter: burstWindow}
		require.NoError(s.t, s.AnnounceBeat(s.t.Context(), reg, laneswap.Heartbeat{Message: message}))
	}
	step := func(within time.Duration, i int) time.Duration {
		return within * time.Duration(i) / time.Duration(w.services)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			for i := range w.living {
				_ = s.AnnounceBeat(s.t.Context(), laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprintf("alive-%d", i)), StaleAfter: burstWindow}, laneswap.Heartbeat{})
			}
			select {
			case <-time.After(20 * time.Second):
			case <-quit:
				return
			}
		}
	}()
	defer func() { close(quit); <-done }()
	for i := range w.services {
		s.until(fallAt - burstWindow + step(w.silent, i))
		say(name(i), "queue drained")
	}
	s.until(backAt)
	told = s.delivered()
	s.fake.Respond(nil)
	for round := range burstRounds { // those that are back go on
		for i := range w.services {
			s.until(backAt + time.Duration(round)*40*time.Second + step(w.back, i))
			say(name(i), "")
		}
	}
	s.until(backAt + burstRounds*40*time.Second)
	return told
}

// check requires few messages that name each service as silent, and as back.
func (w burst) check(s *harness, told int) {
	t := s.t
	t.Helper()
	require.Positive(t, told)
	require.LessOrEqual(t, told, 3, "silent:\n%s", s.headlines())
	require.Greater(t, s.delivered(), told)
	require.LessOrEqual(t, s.delivered()-told, 3, "back:\n%s", s.headlines())
	events := s.events("")
	require.Equal(t, 2*w.services, len(events))
	silent := map[laneswap.ServiceID]bool{}
	for _, m := range s.fake.Messages()[:told] {
		text := textOf(m)
		for i := range w.services {
			if strings.Contains(text, string(name(i))) {
				require.False(t, silent[name(i)], "%s is told twice", name(i))
				silent[name(i)] = true
			}
		}
	}
	require.Equal(t, w.services, len(silent), "each of them is named")
}

// headlines returns the titles of all messages.
func (s *harness) headlines() string {
	var b strings.Builder
	for _, m := range s.fake.Messages() {
		title := m.Payload.Content
		if len(m.Payload.Embeds) > 0 {
			title = *m.Payload.Embeds[0].Title
		}
		fmt.Fprintf(&b, "%v %s, %d files\n", m.At.Sub(s.begun), title, len(m.Files))
	}
	return b.String()
}

// many returns how many services fall silent: too many for the embeds of one message.
func many() int {
	if *long {
		return 1000
	}
	return 100
}

// bursts returns the ways in which many services fall silent and come back.
func bursts() []burst {
	n := many()
	return []burst{
		{services: n, silent: time.Second, back: time.Second},
		{services: n, silent: 30 * time.Second, back: 30 * time.Second},
		{services: n, silent: 0, back: 10 * time.Second},
		{services: n, silent: 12 * time.Second, back: 0},
		{services: n, silent: time.Second, back: 30 * time.Second, living: n * 3 / 2},
		{services: n, silent: 30 * time.Second, back: time.Second, living: n * 9 / 10},
	}
}

func (w burst) String() string {
	return fmt.Sprintf("%d silent within %v, back within %v, %d alive", w.services, w.silent, w.back, w.living)
}

func TestBurst_needsThreeMessagesEachWay(t *testing.T) {
	t.Parallel()
	for i, w := range bursts() {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			onEach(t, i, func(t *testing.T, s *harness) {
				told := w.play(s)
				require.Empty(t, s.verify())
				w.check(s, told)
				mass := strings.Contains(s.headlines(), "fell silent at once")
				require.Equal(t, w.living <= w.services, mass, "%s", s.headlines())
				for _, m := range s.fake.Messages() {
					if strings.Contains(*m.Payload.Embeds[0].Title, "fell silent at once") {
						require.Contains(t, textOf(m), "Self-check:")
					}
				}
			})
		})
	}
}

// The same while the receiver fails: the pending notices become as few messages.
func TestBurst_needsThreeMessagesAfterTrouble(t *testing.T) {
	t.Parallel()
	for _, trouble := range []struct {
		name   string
		answer fakediscord.Answer
	}{
		{"500", fakediscord.Status(500, 0, "")},
		{"429", fakediscord.RateLimited(17 * time.Second)},
		{"a reset", fakediscord.Reset(false)},
		{"a hang", fakediscord.HangAfterHeaders(false)},
		{"429 without a time", fakediscord.RateLimitedSilent()},
	} {
		for i, lasts := range []time.Duration{20 * time.Second, 150 * time.Second} {
			t.Run(fmt.Sprint(trouble.name, " for ", lasts), func(t *testing.T) {
				t.Parallel()
				inMemory(t, func(t *testing.T, s *harness) {
					w := bursts()[i]
					s.answerUntil(fallAt+lasts, func(time.Duration) fakediscord.Answer { return trouble.answer })
					told := w.play(s)
					require.Empty(t, s.verify())
					w.check(s, told)
				})
			})
		}
	}
}

// A late message still says that LaneSwap may be the cause.
func TestBurst_staysAMassSilenceWhenItIsLate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		s.answerUntil(fallAt+3*time.Minute, func(left time.Duration) fakediscord.Answer { return fakediscord.RateLimited(left) })
		w := burst{services: 30, silent: time.Second, back: time.Second}
		told := w.play(s)
		require.Empty(t, s.verify())
		w.check(s, told)
		require.Contains(t, s.headlines(), "30 services fell silent at once")
		require.Contains(t, textOf(s.fake.Messages()[0]), "Self-check:")
	})
}

// A digest whose answer was lost is sent once more as a whole.
func TestBurst_lostAnswersMakeOneDuplicateEach(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		w := bursts()[0]
		lost := 0
		s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
			if lost++; lost <= 2 {
				return fakediscord.Reset(true)
			}
			return fakediscord.Answer{}
		})
		w.play(s)
		twice := s.verify()
		require.Len(t, twice, 2, "%s", s.headlines())
		for _, ev := range s.events("") {
			if ev.Kind == laneswap.EventDown {
				for _, m := range twice {
					s.covers(m, ev)
				}
			}
		}
	})
}

// If Discord refuses the embeds of a digest, plain text and a file name all services.
func TestBurst_asPlainTextNamesAll(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		w := bursts()[0]
		s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
			if len(r.Payload.Embeds) > 0 {
				return fakediscord.BadForm()
			}
			return fakediscord.Answer{}
		})
		told := w.play(s)
		require.Empty(t, s.verify())
		w.check(s, told)
	})
}
