package discord_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/adapters/notifiertest"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// inBubble runs a test with a notifier that posts to a fake over net.Pipe.
func inBubble(t *testing.T, test func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier), opts ...fakediscord.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := fakediscord.New(opts...)
		defer fake.Close()
		n, err := discord.New(fake.Webhook(), discord.WithHTTPClient(fake.Client()))
		require.NoError(t, err)
		test(t, fake, n)
	})
}

// note is about one service, another each time.
func note(i int) laneswap.Notification {
	ev := event(fmt.Sprintf("svc-%d", i), fmt.Sprintf("service %d", i))
	return laneswap.Notification{
		ID: fmt.Sprintf("n-%d", i), Kind: laneswap.NoticeEvent, Event: ev, Title: ev.Name + " is stale", Text: ev.Name + " is stale, was healthy",
		Items: []laneswap.Item{{Event: ev}}, Attempt: 1,
	}
}

// delay requires that err asks to be left alone, and returns for how long.
func delay(t *testing.T, err error) time.Duration {
	t.Helper()
	require.ErrorIs(t, err, discord.ErrRateLimited)
	d, ok := laneswap.RetryDelay(err)
	require.True(t, ok)
	return d
}

func TestNotify_givesTheIDOfTheMessage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		id, err := laneswap.Send(t.Context(), n, note(1))
		require.NoError(t, err)
		got := fake.Messages()
		require.Len(t, got, 1)
		require.Equal(t, got[0].ID, id)
		require.Equal(t, "LaneSwap", *got[0].Payload.Username)
		require.Contains(t, got[0].Payload.Text(), "incident svc-1/1")
		require.Equal(t, "DiscordBot (https://github.com/laneswap/laneswap, "+laneswap.Version+") LaneSwap/"+laneswap.Version, fake.Requests()[0].Header.Get("User-Agent"))
		require.Empty(t, fake.Violations())
	})
}

func TestNotify_makesNoRequestWhileTheBucketIsEmpty(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		for sent := 0; sent < 90; {
			err := n.Notify(t.Context(), note(sent))
			if err == nil {
				sent++
				continue
			}
			d := delay(t, err)
			require.Positive(t, d)
			requests := len(fake.Requests())
			require.Positive(t, delay(t, n.Notify(t.Context(), note(sent))), "and again")
			require.Len(t, fake.Requests(), requests)
			time.Sleep(d)
		}
		require.Empty(t, fake.Violations())
		require.Zero(t, fake.Invalid(), "the limit of the webhook is never exceeded, only that of the channel")
		for i, m := range fake.Messages() {
			require.Contains(t, m.Payload.Text(), fmt.Sprintf("incident svc-%d/1", i), "in order")
		}
	})
}

func TestNotify_obeys429InAllItsForms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer fakediscord.Answer
		want   time.Duration
	}{
		"seconds with a fraction":   {fakediscord.RateLimited(376 * time.Millisecond), time.Second}, // the header is rounded up
		"many seconds":              {fakediscord.RateLimited(600 * time.Second), 600 * time.Second},
		"global":                    {fakediscord.RateLimitedGlobal(64570 * time.Millisecond), 65 * time.Second},
		"a page":                    {fakediscord.RateLimitedHTML(3600 * time.Second), time.Hour},
		"nothing but a header":      {fakediscord.RateLimitedBare(7 * time.Second), 7 * time.Second},
		"nothing":                   {fakediscord.RateLimitedSilent(), 30 * time.Second},
		"longer than anybody waits": {fakediscord.RateLimitedBare(48 * time.Hour), 6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				fake.Script(tc.answer)
				require.Equal(t, tc.want, delay(t, n.Notify(t.Context(), note(1))))
				time.Sleep(tc.want - time.Millisecond)
				require.Equal(t, time.Millisecond, delay(t, n.Notify(t.Context(), note(1))))
				require.Len(t, fake.Requests(), 1)
				time.Sleep(time.Millisecond)
				require.NoError(t, n.Notify(t.Context(), note(1)))
				if tc.want == tc.answer.Wait {
					require.Empty(t, fake.Violations())
				}
			})
		})
	}
}

// A delay that is wrong must not become a stream of requests: Discord bans addresses for
// that.
func TestNotify_makesFewRequestsDuring429(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		end := time.Now().Add(10 * time.Minute)
		fake.Respond(func(fakediscord.Request) fakediscord.Answer {
			if time.Now().Before(end) {
				return fakediscord.RateLimited(10 * time.Millisecond)
			}
			return fakediscord.Answer{}
		})
		for err := n.Notify(t.Context(), note(1)); err != nil; err = n.Notify(t.Context(), note(1)) {
			time.Sleep(delay(t, err))
		}
		require.Less(t, time.Since(end), time.Minute+time.Second, "and delivers soon after")
		require.Less(t, len(fake.Requests()), 25)
		require.Len(t, fake.Messages(), 1)
		require.Empty(t, fake.Violations())
	})
}

func TestNotify_staysFarBelowABan(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		fake.Respond(func(fakediscord.Request) fakediscord.Answer { return fakediscord.InvalidToken() })
		begin := time.Now()
		for range 5000 { // a wrong webhook is tested again and again
			err := n.Notify(t.Context(), note(1))
			if !laneswap.IsPermanent(err) {
				require.LessOrEqual(t, delay(t, err), 10*time.Minute)
			}
			time.Sleep(time.Second)
		}
		require.Greater(t, time.Since(begin), time.Hour)
		require.LessOrEqual(t, fake.Invalid(), discord.InvalidLimit)
		fake.Respond(nil)
		time.Sleep(10 * time.Minute)
		require.NoError(t, n.Notify(t.Context(), note(1)))
	})
}

func TestNotify_sendsPlainTextWhenTheEmbedsAreRefused(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]fakediscord.Answer{"50035": fakediscord.BadForm(), "embeds": fakediscord.BadEmbeds(), "413": fakediscord.Status(413, 40005, "Request entity too large")} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				for i, sent := range notifiertest.Notifications(told) {
					fake.Script(refusal)
					id, err := laneswap.Send(t.Context(), n, sent)
					require.NoError(t, err)
					m := fake.Messages()[i]
					require.Equal(t, m.ID, id)
					require.Empty(t, m.Payload.Embeds)
					require.NotEmpty(t, m.Payload.Content)
					require.Nil(t, m.Payload.Username, "nothing in it can be refused but text")
					require.Len(t, fake.Requests(), 2*(i+1))
					if sent.Event.Incident != "" {
						require.Contains(t, m.Payload.Content, sent.Event.Incident)
					}
				}
				fake.Script(refusal, refusal)
				err := n.Notify(t.Context(), note(1))
				require.True(t, laneswap.IsRefused(err), "%v", err)
				require.Empty(t, fake.Violations())
			}, fakediscord.WithLimits(fakediscord.Limit{}, fakediscord.Limit{}))
		})
	}
}

func TestNotify_saysWhatDiscordFoundWrong(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		fake.Script(fakediscord.BadForm(), fakediscord.BadForm(), fakediscord.UnknownWebhook(), fakediscord.HTML(502), plain(404, "404 page not found"), fakediscord.Answer{Status: 504}, fakediscord.RateLimited(time.Second))
		require.EqualError(t, n.Notify(t.Context(), note(1)),
			"discord: the message was refused: HTTP 400: code 50035, Invalid Form Body, embeds.0.fields.1.value: This field is required")
		require.EqualError(t, n.Notify(t.Context(), note(1)), "discord: the webhook or the thread does not exist: HTTP 404: code 10015, Unknown Webhook")
		require.EqualError(t, n.Notify(t.Context(), note(1)), "discord: HTTP 502 with an HTML page; is that Discord?")
		require.EqualError(t, n.Notify(t.Context(), note(1)), "discord: HTTP 404, not in JSON; is that Discord?")
		require.EqualError(t, n.Notify(t.Context(), note(1)), "discord: HTTP 504 without a body; is that Discord?")
		require.EqualError(t, n.Notify(t.Context(), note(1)), "discord: rate limited", "once is enough")
		time.Sleep(time.Second)
		fake.Script(fakediscord.RateLimitedSilent())
		require.EqualError(t, n.Notify(t.Context(), note(1)),
			"discord: rate limited: You are being blocked from accessing our API temporarily due to exceeding our rate limits frequently")
	})
}

// The answer that refuses the embeds may use up the bucket.
func TestNotify_plainTextObeysTheLimitToo(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		empty := fakediscord.BadForm()
		empty.Wait = 2 * time.Second
		empty.Header = http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset-After": {"2.000"}}
		fake.Script(empty)
		require.Equal(t, 2*time.Second, delay(t, n.Notify(t.Context(), note(1))))
		time.Sleep(2 * time.Second)
		fake.Script(fakediscord.HTML(502))
		require.Error(t, n.Notify(t.Context(), note(1)))
		require.NoError(t, n.Notify(t.Context(), note(1)))
		got := fake.Requests()
		require.Len(t, got, 3)
		require.Empty(t, got[1].Payload.Embeds, "the embeds are not tried again before the plain text")
		require.Empty(t, got[2].Payload.Embeds)
		require.NoError(t, n.Notify(t.Context(), note(1)))
		require.Len(t, fake.Messages()[1].Payload.Embeds, 1, "that was about this message only")
		require.Empty(t, fake.Violations())
	})
}

func TestNotify_takesASuccessWithoutAMessage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		fake.Script(fakediscord.Answer{Status: 204})
		id, err := laneswap.Send(t.Context(), n, note(1))
		require.NoError(t, err)
		require.Empty(t, id)
	})
}

func TestNotify_endsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		for _, answer := range []fakediscord.Answer{fakediscord.HangBeforeHeaders(false), fakediscord.HangAfterHeaders(false)} {
			fake.Script(answer, answer)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			began := time.Now()
			require.ErrorIs(t, n.Notify(ctx, note(1)), context.DeadlineExceeded)
			require.Equal(t, 3*time.Second, time.Since(began))
			cancel()
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			require.ErrorIs(t, n.Notify(ctx, note(1)), context.Canceled)
			require.Equal(t, 4*time.Second, time.Since(began))
		}
	})
}

func TestNotify_toAThreadAndUnderAnotherName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakediscord.New()
		defer fake.Close()
		n, err := discord.New(fake.Webhook()+"?thread_id=77&wait=false", discord.WithHTTPClient(fake.Client()), discord.WithUsername("Night watch"), discord.WithAvatarURL("https://example.org/a.png"), discord.WithName("night"))
		require.NoError(t, err)
		require.Equal(t, "night", n.Name())
		require.NoError(t, n.Notify(t.Context(), note(1)))
		got := fake.Messages()[0]
		require.Equal(t, "77", got.Thread)
		require.Equal(t, "Night watch", *got.Payload.Username)
		require.Equal(t, "https://example.org/a.png", *got.Payload.AvatarURL)
		require.Empty(t, fake.Violations())
	})
}

func TestNotify_aDigestComesWithItsFile(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		id, err := laneswap.Send(t.Context(), n, many(laneswap.NoticeMassSilence, 1000))
		require.NoError(t, err)
		require.Len(t, fake.Requests(), 1)
		got := fake.Messages()
		require.Equal(t, id, got[0].ID)
		require.Len(t, got[0].Files, 1)
		require.Equal(t, "services.txt", got[0].Files[0].Name)
		require.Equal(t, 1000, strings.Count(string(got[0].Files[0].Data), "\n"))
		require.Empty(t, fake.Violations())
	})
}

// noFiles refuses messages with files.
func noFiles(r fakediscord.Request) fakediscord.Answer {
	if len(r.Files) > 0 {
		return fakediscord.Status(413, 40005, "Request entity too large")
	}
	return fakediscord.Answer{}
}

func TestNotify_aRefusedFileIsNotSentAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		for i, delayed := range []bool{false, true} {
			fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
				if len(r.Files) == 0 && delayed {
					delayed = false
					return fakediscord.HTML(502) // then it comes in a call of its own
				}
				return noFiles(r)
			})
			err := n.Notify(t.Context(), many(laneswap.NoticeMassSilence, 1000))
			if i == 1 {
				require.Error(t, err)
				err = n.Notify(t.Context(), many(laneswap.NoticeMassSilence, 1000))
			}
			require.NoError(t, err)
			m := fake.Messages()[i]
			require.Empty(t, m.Files)
			require.Empty(t, m.Payload.Embeds)
			require.Contains(t, m.Payload.Content, "1000 services: 1000 stale")
			require.Contains(t, m.Payload.Content, "service 0, service 1, ")
			require.Regexp(t, ` and \d+ more$`, m.Payload.Content)
			require.NotContains(t, m.Payload.Content, "services.txt", "which is not there")
			require.Greater(t, len(m.Payload.Content), 1950, "the room is used")
		}
		require.Len(t, fake.Requests(), 2+3)
		require.Empty(t, fake.Violations())
	})
}

// Discord refuses the embeds first, and then the file of the plain text.
func TestNotify_neitherEmbedsNorFilesAreTaken(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]fakediscord.Answer{"50035": fakediscord.BadForm(), "embeds": fakediscord.BadEmbeds()} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
					if len(r.Payload.Embeds) > 0 {
						return refusal
					}
					return noFiles(r)
				})
				err := n.Notify(t.Context(), many(laneswap.NoticeDigest, 1000))
				require.ErrorContains(t, err, "413")
				require.False(t, laneswap.IsRefused(err), "or each service would get its own message")
				require.NoError(t, n.Notify(t.Context(), many(laneswap.NoticeDigest, 1000)))
				requests := fake.Requests()
				require.Len(t, requests, 3)
				require.Len(t, requests[1].Files, 1, "it was not the file that was refused")
				require.Empty(t, requests[2].Files)
				require.Empty(t, fake.Violations())
			})
		})
	}
}

func TestNotify_alertsOfAManagerArrive(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
		m := laneswap.NewManager(laneswap.WithNotifier(n), laneswap.WithGroupWait(0))
		require.NoError(t, m.Start(t.Context()))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "billing"})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), "billing", laneswap.Heartbeat{}))
		time.Sleep(65 * time.Second)
		require.NoError(t, m.Beat(t.Context(), "billing", laneswap.Heartbeat{}))
		time.Sleep(time.Second)
		require.NoError(t, m.Stop(context.Background()))
		got := fake.Messages()
		require.Len(t, got, 2)
		require.Equal(t, "billing is stale", *got[0].Payload.Embeds[0].Title)
		require.Equal(t, "billing recovered", *got[1].Payload.Embeds[0].Title)
		lasted, ok := got[1].Payload.Field("Down for")
		require.True(t, ok)
		require.Equal(t, "5s", lasted)
		require.Regexp(t, `^LaneSwap · incident billing/.*1$`, got[0].Payload.Embeds[0].Footer.Text)
		require.Equal(t, got[0].Payload.Embeds[0].Footer.Text, got[1].Payload.Embeds[0].Footer.Text)
		require.Empty(t, fake.Violations())
	})
}
