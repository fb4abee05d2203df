package discord_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// One service falls silent and recovers while Discord fails, another one falls silent
// afterwards.
func TestManager_losesNothingWhenDiscordIsInTrouble(t *testing.T) {
	t.Parallel()
	always := func(a fakediscord.Answer) func(int) fakediscord.Answer {
		return func(int) fakediscord.Answer { return a }
	}
	once := func(a fakediscord.Answer) func(int) fakediscord.Answer {
		return func(n int) fakediscord.Answer {
			if n == 1 {
				return a
			}
			return fakediscord.Answer{}
		}
	}
	for name, tc := range map[string]struct {
		lasts   time.Duration
		answer  func(number int) fakediscord.Answer
		repeats bool // the answer was lost: then a message may come twice
	}{
		"429, ten minutes":              {10 * time.Minute, always(fakediscord.RateLimited(1500 * time.Millisecond)), false},
		"429, ten minutes at once":      {10 * time.Minute, always(fakediscord.RateLimited(10 * time.Minute)), false},
		"429 of the network":            {10 * time.Minute, always(fakediscord.RateLimitedHTML(20 * time.Second)), false},
		"429 that says nothing":         {10 * time.Minute, always(fakediscord.RateLimitedSilent()), false},
		"429 for all":                   {10 * time.Minute, always(fakediscord.RateLimitedGlobal(3 * time.Second)), false},
		"500, 20 minutes":               {20 * time.Minute, always(fakediscord.Status(500, 0, "500: Internal Server Error")), false},
		"502 with a page, 20 minutes":   {20 * time.Minute, always(fakediscord.HTML(502)), false},
		"200 with a page, 20 minutes":   {20 * time.Minute, always(fakediscord.HTML(200)), false},
		"404 of a proxy, 20 minutes":    {20 * time.Minute, always(fakediscord.HTML(404)), false},
		"404 in plain text, 20 minutes": {20 * time.Minute, always(plain(404, "404 page not found\n")), false},
		"redirects, 20 minutes":         {20 * time.Minute, always(fakediscord.Redirect("https://elsewhere.example/")), false},
		"a reset before it was taken":   {20 * time.Minute, once(fakediscord.Reset(false)), false},
		"a reset after it was taken":    {20 * time.Minute, once(fakediscord.Reset(true)), true},
		"a hang before it was taken":    {20 * time.Minute, once(fakediscord.HangBeforeHeaders(false)), false},
		"a hang after headers":          {20 * time.Minute, once(fakediscord.HangAfterHeaders(true)), true},
		"hangs, 20 minutes":             {20 * time.Minute, always(fakediscord.HangBeforeHeaders(false)), false},
		"slow, 20 minutes":              {20 * time.Minute, always(fakediscord.Slow(10 * time.Second)), false},
		"400 for the embeds of each":    {20 * time.Minute, func(n int) fakediscord.Answer { return []fakediscord.Answer{{}, fakediscord.BadForm()}[n%2] }, false},
		"no trouble, and few are taken": {0, always(fakediscord.Answer{}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				m := laneswap.NewManager(laneswap.WithNotifier(n), laneswap.WithGroupWait(0))
				require.NoError(t, m.Start(t.Context()))
				begin := time.Now()
				fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
					if time.Since(begin) >= tc.lasts {
						return fakediscord.Answer{}
					}
					return tc.answer(r.Number)
				})
				for _, id := range []laneswap.ServiceID{"first", "second"} {
					_, err := m.Register(t.Context(), laneswap.Registration{ID: id, StaleAfter: map[laneswap.ServiceID]time.Duration{"first": time.Minute, "second": 30 * time.Minute}[id]})
					require.NoError(t, err)
					require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{}))
				}
				time.Sleep(90 * time.Second)
				require.NoError(t, m.Beat(t.Context(), "first", laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
				time.Sleep(40 * time.Minute)
				require.NoError(t, m.Stop(context.Background()))

				var told []string
				incidents := map[string]string{}
				for _, sent := range fake.Messages() {
					text := sent.Payload.Text()
					for _, service := range []string{"first", "second"} {
						if _, rest, ok := strings.Cut(text, "incident "+service+"/"); ok {
							incident, _, _ := strings.Cut(rest, "\n")
							require.Contains(t, []string{"", incident}, incidents[service], "one incident")
							incidents[service] = incident
							told = append(told, service)
						}
					}
				}
				require.NotEmpty(t, incidents["first"])
				require.NotEmpty(t, incidents["second"])
				require.True(t, strings.HasPrefix(strings.Join(told, " "), "first"), "in order")
				require.Equal(t, 1, strings.Count(strings.Join(told, " "), "second"))
				last := fake.Messages()[len(told)-2].Payload.Text()
				require.Regexp(t, "recovered|shutdown|again", last, "that the first is back is told before the second")
				most := 2 // down, and back
				if tc.repeats {
					most++
				}
				require.LessOrEqual(t, strings.Count(strings.Join(told, " "), "first"), most)
				require.Empty(t, fake.Violations())
				require.Less(t, fake.Invalid(), 100)
			})
		})
	}
}

// Discord asks clients to stop using a deleted webhook. Once the webhook exists again
// and a test message has arrived, the pending notices are delivered.
func TestManager_aDeletedWebhookIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]fakediscord.Answer{"404": fakediscord.UnknownWebhook(), "401": fakediscord.InvalidToken()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				m := laneswap.NewManager(laneswap.WithNotifier(n), laneswap.WithGroupWait(0))
				require.NoError(t, m.Start(t.Context()))
				fake.Respond(func(fakediscord.Request) fakediscord.Answer { return gone })
				_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
				require.NoError(t, err)
				require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
				time.Sleep(time.Hour)
				require.Len(t, fake.Requests(), 1)
				all, err := m.Notifiers(t.Context())
				require.NoError(t, err)
				require.Equal(t, laneswap.NotifierDisabled, all[0].State)
				require.NotContains(t, all[0].LastError, fake.Secret())

				fake.Respond(nil)
				tested, err := m.TestNotifier(t.Context(), "discord")
				require.NoError(t, err)
				require.True(t, tested.Delivered)
				require.Equal(t, fake.Messages()[0].ID, tested.MessageID)
				time.Sleep(time.Minute)
				require.NoError(t, m.Stop(context.Background()))
				got := fake.Messages()
				require.Len(t, got, 2)
				require.Contains(t, got[1].Payload.Text(), "svc is stale")
				require.Empty(t, fake.Violations())
			})
		})
	}
}

// A thousand services fall silent, at once or over half a minute, and recover.
func TestManager_aThousandServicesAreToldInFewMessages(t *testing.T) {
	t.Parallel()
	for name, spread := range map[string]time.Duration{"within a second": time.Second, "over half a minute": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				const services = 1000
				m := laneswap.NewManager(laneswap.WithNotifier(n))
				require.NoError(t, m.Start(t.Context()))
				ids := make([]laneswap.ServiceID, services)
				for i := range ids {
					ids[i] = laneswap.ServiceID("svc-" + strings.Repeat("x", 8) + "-" + string(rune('a'+i/100)) + string(rune('a'+i/10%10)) + string(rune('a'+i%10)))
					_, err := m.Register(t.Context(), laneswap.Registration{ID: ids[i], StaleAfter: 5 * time.Minute})
					require.NoError(t, err)
				}
				beat := func() {
					for _, id := range ids {
						require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{}))
						time.Sleep(spread / services)
					}
				}
				beat()
				time.Sleep(8 * time.Minute)
				down := fake.Messages()
				require.LessOrEqual(t, len(down), 3)
				named(t, ids, down)
				t.Logf("%d messages say that they are silent, the first: %.150s", len(down), down[0].Payload.Text())
				beat()
				time.Sleep(3 * time.Minute)
				back := fake.Messages()[len(down):]
				require.LessOrEqual(t, len(back), 3)
				named(t, ids, back)
				t.Logf("%d messages say that they are back, the first: %.150s", len(back), back[0].Payload.Text())
				require.Empty(t, fake.Violations())
				require.NoError(t, m.Stop(context.Background()))
			})
		})
	}
}

// A refused file must not split a digest into a message for each service, at thirty a
// minute.
func TestManager_aRefusedFileSplitsNoDigest(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		m := laneswap.NewManager(laneswap.WithNotifier(n))
		require.NoError(t, m.Start(t.Context()))
		fake.Respond(noFiles)
		for i := range 400 {
			id := laneswap.ServiceID(fmt.Sprint("service-with-a-name-", i))
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id, StaleAfter: time.Minute}, laneswap.Heartbeat{}))
		}
		time.Sleep(time.Hour)
		require.NoError(t, m.Stop(context.Background()))
		got := fake.Messages()
		require.NotEmpty(t, got)
		require.LessOrEqual(t, len(got), 3)
		require.Regexp(t, "^400 services fell silent at once.*\n(.*\n)*service-with-a-name-.* and \\d+ more$", got[0].Payload.Content)
		require.Empty(t, fake.Violations())
	})
}

// named requires that the messages and their files name every service.
func named(t *testing.T, ids []laneswap.ServiceID, messages []fakediscord.Message) {
	t.Helper()
	var all strings.Builder
	for _, m := range messages {
		all.WriteString(m.Payload.Text())
		for _, f := range m.Files {
			all.Write(f.Data)
		}
	}
	missing := 0
	for _, id := range ids {
		if !strings.Contains(all.String(), string(id)) {
			missing++
		}
	}
	require.Zero(t, missing, "names that are in no message")
}
