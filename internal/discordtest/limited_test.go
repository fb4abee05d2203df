package discordtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// forms are the forms of a 429 from Discord and from proxies.
var forms = []struct {
	name string
	make func(d time.Duration) fakediscord.Answer
}{
	{"as documented", fakediscord.RateLimited},
	{"global", fakediscord.RateLimitedGlobal},
	{"a page", fakediscord.RateLimitedHTML},
	{"without a body", fakediscord.RateLimitedBare},
	{"without a time", func(time.Duration) fakediscord.Answer { return fakediscord.RateLimitedSilent() }},
}

// For ten minutes every answer is a 429. One service goes down and up meanwhile, one
// goes down meanwhile and up afterwards, one goes down before and up meanwhile.
func TestRateLimit_tenMinutesOf429LoseNothing(t *testing.T) {
	t.Parallel()
	for _, form := range forms {
		for _, asks := range []time.Duration{time.Hour, 400 * time.Millisecond, 45 * time.Second} {
			t.Run(form.name+" for "+asks.String(), func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(t *testing.T, s *harness) {
					const begins, ends = time.Minute, 11 * time.Minute
					s.known("inside", "after", "before")
					s.until(30 * time.Second)
					s.down("before")
					s.until(begins)
					require.Equal(t, 1, s.delivered())
					s.answerUntil(ends, func(left time.Duration) fakediscord.Answer { return form.make(min(left, asks)) })
					s.until(2 * time.Minute)
					s.down("inside")
					s.down("after")
					s.until(5 * time.Minute)
					s.up("before")
					s.until(6 * time.Minute)
					s.up("inside")
					require.Equal(t, laneswap.NotifierRetrying, s.notifier().State)
					require.Equal(t, 4, s.notifier().Waiting)
					s.until(ends - time.Second)
					require.Equal(t, 1, s.delivered())
					asked := len(s.fake.Requests())
					require.LessOrEqual(t, asked, 25, "a delay that is announced wrong is no reason to go on asking")
					s.until(ends + 2*time.Minute)
					s.up("after")
					s.until(ends + 3*time.Minute)

					require.Empty(t, s.verify(), "told once each")
					require.Equal(t, []string{"healthy → error → healthy"}, s.courses("inside"), "what waits becomes one message")
					require.Equal(t, []string{"healthy → error", "error → healthy"}, s.courses("after"))
					require.Equal(t, []string{"healthy → error", "error → healthy"}, s.courses("before"))
					require.Equal(t, laneswap.NotifierOK, s.notifier().State)
					require.Zero(t, s.notifier().Waiting)
					for _, ev := range s.events("inside") {
						texts := steps(s.trace(ev))
						last := texts[len(texts)-1]
						require.Regexp(t, `^sent as message \d+`, last)
					}
				})
			})
		}
	}
}

// Explain shows the steps of a notice that met two 429.
func TestRateLimit_isExplained(t *testing.T) {
	t.Parallel()
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *harness) {
				s.known("db")
				s.fake.Script(form.make(20*time.Second), form.make(10*time.Second))
				s.down("db")
				s.until(8 * time.Second)
				tr := s.trace(s.events("db")[0])
				require.Equal(t, laneswap.NoticeWaiting, tr.State)
				require.Equal(t, 1, tr.Attempts)
				s.until(2 * time.Minute)

				require.Empty(t, s.verify())
				tr = s.trace(s.events("db")[0])
				texts := steps(tr)
				require.Len(t, texts, 4, "%q", texts)
				require.Regexp(t, `^grouped with other notices until \d\d:\d\d:\d\d$`, texts[0])
				require.Regexp(t, `rate limited.*; the receiver asked to wait until \d\d:\d\d:\d\d$`, texts[1])
				require.Regexp(t, `rate limited.*; the receiver asked to wait until \d\d:\d\d:\d\d$`, texts[2])
				require.Equal(t, "sent as message "+s.fake.Messages()[0].ID+", attempt 3", texts[3])
				require.Equal(t, 3, tr.Attempts)
				require.Equal(t, s.fake.Messages()[0].ID, tr.MessageID)
			})
		})
	}
}

// The real limits of Discord: 5 in 2 seconds, which are announced, and 30 a minute, which
// are not.
func TestRateLimit_bucketsAreNotOverrun(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		const rounds, each = 5, 10 // ten are told one by one
		for i := range rounds * each {
			s.known(name(i))
		}
		for round := range rounds {
			for i := range each {
				s.down(name(round*each + i))
			}
			s.until(time.Duration(round+1) * 8 * time.Second)
		}
		s.until(5 * time.Minute)
		require.Empty(t, s.verify())
		for i := range rounds * each {
			require.Equal(t, 1, len(s.of(name(i))))
		}
		refused := 0
		for _, r := range s.fake.Requests() {
			if r.Status != 200 {
				refused++
			}
		}
		require.LessOrEqual(t, refused, 1, "the headers announce the one limit; the other is found once")
	})
}

// A delay that is announced by a success is obeyed as well.
func TestRateLimit_anEmptyBucketIsWaitedFor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		s.known("a", "b")
		s.down("a")
		s.until(10 * time.Second)
		require.Equal(t, 1, s.delivered())
		s.down("b")
		s.until(4 * time.Minute)
		require.Equal(t, 1, s.requested(), "nothing is asked while the bucket is empty")
		s.until(6 * time.Minute)
		require.Equal(t, 2, s.requested())
		require.Empty(t, s.verify())
		require.Equal(t, laneswap.NotifierOK, s.notifier().State)
	}, limited(fakediscord.Limit{Requests: 1, Per: 5 * time.Minute}, fakediscord.Limit{}))
}
