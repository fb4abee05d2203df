package discordtest_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// failures are answers that do not blame the message and may pass.
var failures = []struct {
	name   string
	answer fakediscord.Answer
}{
	{"500", fakediscord.Status(500, 0, "500: Internal Server Error")},
	{"502 with a page", fakediscord.HTML(502)},
	{"503", fakediscord.Status(503, 0, "")},
	{"504 without a body", fakediscord.Answer{Status: 504}},
	{"200 with a page", fakediscord.HTML(200)},
	{"404 with a page", fakediscord.HTML(404)},
	{"a redirect", fakediscord.Redirect("https://elsewhere.example/api/webhooks/1/x?wait=true")},
	{"a reset before it was read", fakediscord.Reset(false)},
	{"a hang before the headers", fakediscord.HangBeforeHeaders(false)},
	{"a hang after the headers", fakediscord.HangAfterHeaders(false)},
}

// Nothing arrives for an hour. Meanwhile services go down, get worse and come back.
func TestFailures_anHourOfThemLosesNothing(t *testing.T) {
	t.Parallel()
	for i, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			onEach(t, i, func(t *testing.T, s *harness) {
				const ends = time.Hour
				s.known("db", "web", "job")
				s.answerUntil(ends, func(time.Duration) fakediscord.Answer { return f.answer })
				s.until(time.Minute)
				s.report("db", laneswap.StatusWarning, "slow")
				s.until(10 * time.Minute)
				s.report("db", laneswap.StatusCritical, "dead")
				s.down("web")
				s.until(20 * time.Minute)
				s.up("db")
				require.Equal(t, laneswap.NotifierRetrying, s.notifier().State)
				s.until(55 * time.Minute)
				s.down("job")
				s.until(ends - time.Second)
				require.Zero(t, s.delivered())
				require.LessOrEqual(t, s.requested(), 45, "pauses grow")
				s.until(ends + 6*time.Minute + 20*time.Second) // five minutes are the longest pause, a fifth more or less, and a hang lasts
				require.Empty(t, s.verify(), "told once each")
				require.Equal(t, []string{"healthy → warning → critical → healthy"}, s.courses("db"))
				require.Equal(t, []string{"healthy → error"}, s.courses("web"))
				require.Equal(t, []string{"healthy → error"}, s.courses("job"))
				require.Equal(t, laneswap.NotifierOK, s.notifier().State)
				for _, r := range s.fake.Requests() {
					require.Equal(t, s.fake.Requests()[0].Path, r.Path, "a redirect is not followed")
				}
				texts := steps(s.trace(s.events("db")[0]))
				require.True(t, slices.ContainsFunc(texts, func(text string) bool {
					return matches(`^attempt 1 failed: .*; next attempt at \d\d:\d\d:\d\d or later$`, text)
				}), "%q", texts)
				require.Regexp(t, `^sent as message \d+, attempt \d+, together with `, texts[len(texts)-1])
				require.LessOrEqual(t, len(texts), 16)
			})
		})
	}
}

// For a single service the pauses double from a second to five minutes.
func TestFailures_pausesGrow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		s.known("db")
		s.answerUntil(time.Hour, func(time.Duration) fakediscord.Answer { return fakediscord.Status(500, 0, "") })
		s.down("db")
		s.until(time.Hour - time.Second)
		want := []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300, 300}
		gaps := s.gaps()
		require.Greater(t, len(gaps), 12)
		for i, gap := range gaps {
			require.InEpsilon(t, want[min(i, len(want)-1)], gap, 0.21, "pause %d of %v", i+1, gaps)
		}
		s.until(time.Hour + 6*time.Minute)
		require.Empty(t, s.verify())
		tr := s.trace(s.events("db")[0])
		require.Equal(t, s.requested(), tr.Attempts)
	})
}

// If only the answer was lost, the message is sent again with the same incident. Nothing
// else is sent twice.
func TestLostAnswers_areTheOnlyDuplicates(t *testing.T) {
	t.Parallel()
	for _, lost := range []struct {
		name   string
		answer fakediscord.Answer
	}{
		{"a reset after it was read", fakediscord.Reset(true)},
		{"a hang before the headers", fakediscord.HangBeforeHeaders(true)},
		{"a hang after the headers", fakediscord.HangAfterHeaders(true)},
		{"too late", fakediscord.Slow(25 * time.Second)},
		{"500 although it was taken", fakediscord.Answer{Status: 500, Accept: true}},
	} {
		t.Run(lost.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *harness) {
				s.known("db", "web", "job")
				s.fake.Script(fakediscord.Answer{}, lost.answer)
				s.down("web")
				s.until(time.Minute)
				s.down("db") // its answer is lost
				s.until(time.Minute + 10*time.Second)
				s.down("job")
				s.until(2 * time.Minute)
				s.up("db")
				s.up("web")
				s.until(5 * time.Minute)

				twice := s.verify()
				require.Len(t, twice, 1, "%d messages", s.delivered())
				events := s.events("db")
				require.Len(t, events, 2)
				require.Contains(t, textOf(twice[0]), events[0].Incident)
				require.Equal(t, []string{"healthy → error", "healthy → error", "error → healthy"}, s.courses("db"))
				require.Equal(t, []string{"healthy → error", "error → healthy"}, s.courses("web"))
				require.Equal(t, []string{"healthy → error"}, s.courses("job"))
				tr := s.trace(events[0])
				require.Equal(t, 2, tr.Attempts)
				require.Regexp(t, `attempt 2$`, tr.Steps[len(tr.Steps)-1].Text)
			})
		})
	}
}

// Six answers in a row are lost while a service goes down, worse and up.
func TestLostAnswers_keepTheOrder(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		s.known("db")
		s.fake.Script(slices.Repeat([]fakediscord.Answer{fakediscord.Reset(true)}, 6)...)
		s.report("db", laneswap.StatusWarning, "slow")
		s.until(12 * time.Second)
		s.report("db", laneswap.StatusCritical, "dead")
		s.until(30 * time.Second)
		s.up("db")
		s.until(5 * time.Minute)
		require.Len(t, s.verify(), 6)
		courses := s.courses("db")
		require.Equal(t, "healthy → warning", courses[0])
		require.Equal(t, "healthy → warning → critical → healthy", courses[len(courses)-1])
		require.True(t, slices.IsSortedFunc(courses, func(a, b string) int { return len(a) - len(b) }), "%q", courses)
		require.True(t, slices.IsSortedFunc(s.fake.Messages(), func(a, b fakediscord.Message) int { return a.At.Compare(b.At) }))
	})
}

// A 503 may say how long to wait.
func TestFailures_retryAfterOf503IsObeyed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		a := fakediscord.Status(503, 0, "")
		a.Header, a.Wait = http.Header{"Retry-After": {"600"}}, 10*time.Minute
		s.known("db", "web")
		s.fake.Script(a)
		s.down("db")
		s.until(time.Minute)
		s.down("web")
		s.until(10 * time.Minute)
		require.Equal(t, 1, s.requested())
		s.until(11 * time.Minute)
		require.Empty(t, s.verify())
		require.Equal(t, 3, s.requested())
	})
}

// The receiver needs ten seconds for each message.
func TestSlowReceiver_getsAllInOrder(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		s.known("a", "b", "c", "d")
		s.fake.Respond(func(fakediscord.Request) fakediscord.Answer { return fakediscord.Slow(10 * time.Second) })
		for round, status := range []laneswap.Status{laneswap.StatusWarning, laneswap.StatusError, laneswap.StatusHealthy} {
			for i, id := range []laneswap.ServiceID{"a", "b", "c", "d"} {
				s.until(time.Duration(round*17+i*3) * time.Second)
				s.report(id, status, "")
			}
		}
		s.until(5 * time.Minute)
		require.Empty(t, s.verify())
		for _, id := range []laneswap.ServiceID{"a", "b", "c", "d"} {
			courses := s.courses(id)
			require.Contains(t, courses[len(courses)-1], "→ healthy")
		}
		for _, gap := range s.gaps() {
			require.GreaterOrEqual(t, gap, 10.0, "one at a time")
		}
	})
}
