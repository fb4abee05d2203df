package discordtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// A flood of transitions for ten seconds, most of them while Discord accepts nothing.
func TestFlood_losesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		const each = 4
		services, second := many()*5/4, many()/2
		for i := range services {
			s.known(name(i))
		}
		s.begun = time.Now()
		s.answerUntil(7*time.Second, func(left time.Duration) fakediscord.Answer { return fakediscord.RateLimited(left) })
		for i := range services * each {
			s.until(time.Duration(i) * time.Second / time.Duration(second))
			status := laneswap.StatusError
			if i/services%2 == 1 {
				status = laneswap.StatusHealthy
			}
			s.report(name(i%services), status, "")
		}
		s.until(10 * time.Minute)
		require.Equal(t, services*each, len(s.events("")))
		require.Empty(t, s.verify())
		require.LessOrEqual(t, s.delivered(), 6, "%s", s.headlines())
	})
}
