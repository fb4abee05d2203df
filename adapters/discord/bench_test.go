package discord_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

func BenchmarkMessage(b *testing.B) {
	n := newNotifier(b)
	for name, note := range map[string]laneswap.Notification{
		"one":          notifiertest.Notifications(told)[0],
		"ten thousand": many(laneswap.NoticeMassSilence, 10_000),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := discord.Message(n, note)
				require.NoError(b, err)
			}
		})
	}
}
