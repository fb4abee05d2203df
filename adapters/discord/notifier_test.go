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
	// What is refused as a message is sent once more as plain text.
	twice := notifiertest.Expect{Requests: 2}
	notifiertest.Run(t, notifiertest.Target{
		HTTP: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
			n, err := discord.New("https://discord.com/api/webhooks/4711/"+s.Secret("token"), discord.WithAPIBase(s.URL))
			require.NoError(t, err)
			return n
		},
		Receipt: "4711",
		Except: map[string]notifiertest.Expect{
			"400": twice, "413": twice, "422": twice,
			// Discord's API answers in JSON: a page is of somebody in between.
			"403 with HTML": {Verdicts: []notifiertest.Verdict{notifiertest.Retried}},
		},
	})
}
