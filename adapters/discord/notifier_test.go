package discord_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

func TestNotifier_keepsTheContract(t *testing.T) {
	t.Parallel()
	// A refused message is sent once more as plain text.
	twice := notifiertest.Expect{Requests: 2}
	passes := notifiertest.Expect{Verdicts: []notifiertest.Verdict{notifiertest.Retried}}
	notifiertest.Run(t, notifiertest.Target{
		HTTP: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
			n, err := discord.New("https://discord.com/api/webhooks/4711/"+s.Secret("token"), discord.WithAPIBase(s.URL))
			require.NoError(t, err)
			return n
		},
		Receipt: "4711",
		Except: map[string]notifiertest.Expect{
			"400": twice, "422": twice,
			// Discord's API answers in JSON: other answers come from proxies.
			"403 with HTML": passes, "410": passes, "413": passes,
		},
	})
}
