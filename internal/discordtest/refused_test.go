package discordtest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// ends are answers that disable the notifier.
var ends = []struct {
	name   string
	answer fakediscord.Answer
	says   string
	lasts  time.Duration
}{
	{"404", fakediscord.UnknownWebhook(), "does not exist", 20 * time.Hour},
	{"401", fakediscord.InvalidToken(), "does not accept this token", time.Hour},
	{"403", fakediscord.Status(403, 50013, "Missing Permissions"), "does not accept this token", time.Hour},
}

// The webhook is gone: the notifier is disabled and makes no more requests. Pending
// notices expire after a day, which is visible.
func TestPermanent_disablesTheNotifier(t *testing.T) {
	t.Parallel()
	for i, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			onEach(t, i+1, func(t *testing.T, s *harness) {
				s.known("db", "web", "job")
				s.down("job")
				s.until(time.Minute)
				require.Equal(t, 1, s.delivered())
				s.answerUntil(1000*time.Hour, func(time.Duration) fakediscord.Answer { return end.answer })
				s.down("db")
				s.until(2 * time.Minute)
				s.down("web")
				s.up("job")
				s.until(3 * time.Minute)
				s.up("db")
				s.until(end.lasts)
				require.Equal(t, 2, s.requested())
				st := s.notifier()
				require.Equal(t, laneswap.NotifierDisabled, st.State)
				require.Equal(t, 4, st.Waiting)
				require.Contains(t, st.LastError, end.says)
				require.NotContains(t, st.LastError, s.fake.Secret())
				db := s.events("db")
				require.WithinDuration(t, db[0].At, st.Oldest, 0)
				tr := s.trace(db[0])
				require.Equal(t, laneswap.NoticeWaiting, tr.State)
				require.Regexp(t, end.says+`.*the notifier is disabled`, tr.Steps[len(tr.Steps)-1].Text)

				if end.name != "404" || testing.Short() {
					s.pending = true
					return
				}
				s.until(25 * time.Hour)
				require.Equal(t, 2, s.requested())
				st = s.notifier()
				require.Equal(t, laneswap.NotifierDisabled, st.State)
				require.Zero(t, st.Waiting)
				require.EqualValues(t, 4, st.Dead)
				require.EqualValues(t, 1, st.Sent)
				for _, ev := range append(db, s.events("web")...) {
					s.dead(ev, "24 hours")
				}
				job := s.events("job")
				s.dead(job[1], "24 hours")
				s.covers(s.fake.Messages()[0], job[0])
			})
		})
	}
}

// A test message that arrives enables the notifier, which then delivers the pending
// notices.
func TestPermanent_aDeliveredTestEnablesTheNotifier(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		s.known("db", "web")
		s.answerUntil(time.Hour, func(time.Duration) fakediscord.Answer { return fakediscord.UnknownWebhook() })
		s.down("db")
		s.until(6 * time.Minute)
		s.down("web")
		s.up("db")
		s.until(54 * time.Minute)
		result, err := s.TestNotifier(t.Context(), "discord")
		require.NoError(t, err)
		require.False(t, result.Delivered)
		require.Contains(t, result.Error, "does not exist")
		require.Equal(t, laneswap.NotifierDisabled, s.notifier().State)
		s.until(66 * time.Minute)
		require.Zero(t, s.delivered())
		result, err = s.TestNotifier(t.Context(), "discord")
		require.NoError(t, err)
		require.True(t, result.Delivered, result.Error)
		s.until(67 * time.Minute)
		unknown := s.verify()
		require.Len(t, unknown, 1, "the test message")
		require.Equal(t, result.MessageID, unknown[0].ID)
		require.Equal(t, laneswap.NotifierOK, s.notifier().State)
		require.Equal(t, []string{"healthy → error → healthy"}, s.courses("db"))
	})
}

// After a restart with another webhook it delivers the pending notices; with the old one
// it makes one more request.
func TestPermanent_aRestartUsesItAgain(t *testing.T) {
	t.Parallel()
	onStored(t, func(t *testing.T, s *harness) {
		s.known("db", "web")
		s.fake.DeleteWebhook()
		s.down("db")
		s.until(time.Hour)
		s.down("web")
		s.until(2 * time.Hour)
		require.Equal(t, 1, s.requested())
		s.pending = true
		s.stop()
		s.start(s.fake.Webhook())
		s.until(3 * time.Hour)
		require.Equal(t, 2, s.requested())
		require.Equal(t, laneswap.NotifierDisabled, s.notifier().State)
		s.up("db")
		s.until(4 * time.Hour)
		s.stop()
		s.pending = false
		s.start(s.fake.AddWebhook("other"))
		s.until(5 * time.Hour)
		require.Empty(t, s.verify())
		require.Equal(t, []string{"healthy → error → healthy"}, s.courses("db"))
		require.Equal(t, []string{"healthy → error"}, s.courses("web"))
	})
}

// Notices that are pending when a Manager without a storage stops are lost; Stop reports
// that.
func TestPermanent_stopSaysWhatIsLostInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newHarness(t, nil)
		s.known("db")
		s.fake.DeleteWebhook()
		s.down("db")
		s.until(time.Minute)
		s.pending = true
		err := s.Stop(context.Background())
		require.ErrorIs(t, err, laneswap.ErrNotifier)
		require.ErrorContains(t, err, "1 notice not delivered")
	})
}

// wrong are answers that refuse the message.
var wrong = []struct {
	name   string
	answer fakediscord.Answer
}{
	{"400 as documented", fakediscord.BadForm()},
	{"400 as it was", fakediscord.BadEmbeds()},
	{"413", fakediscord.Status(413, 40005, "Request entity too large")},
}

// Embeds that Discord refuses become plain text.
func TestRefused_becomesPlainText(t *testing.T) {
	t.Parallel()
	for _, w := range wrong {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *harness) {
				s.known("db", "web")
				s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
					if len(r.Payload.Embeds) > 0 {
						return w.answer
					}
					return fakediscord.Answer{}
				})
				s.down("db")
				s.until(time.Minute)
				s.up("db")
				s.down("web")
				s.until(5 * time.Minute)
				require.Empty(t, s.verify())
				require.Equal(t, 3, s.delivered())
				require.Equal(t, 6, s.requested())
				for _, m := range s.fake.Messages() {
					require.Empty(t, m.Payload.Embeds)
				}
				for _, ev := range s.events("") {
					require.Contains(t, s.message(ev).Payload.Content, string(ev.To))
				}
				require.Zero(t, s.notifier().Dead)
			})
		})
	}
}

// A message that Discord refuses in every form is dropped, and delays no others.
func TestRefused_isDroppedIfPlainTextIsRefusedToo(t *testing.T) {
	t.Parallel()
	for _, w := range wrong {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *harness) {
				s.known("db", "web")
				s.fake.Script(w.answer, w.answer)
				s.down("db")
				s.down("web")
				s.until(10 * time.Minute)
				db := s.events("db")
				s.dead(db[0], "refused")
				require.Empty(t, s.verify(db[0].ID))
				require.EqualValues(t, 1, s.notifier().Dead)
				require.Equal(t, laneswap.NotifierOK, s.notifier().State)
				require.Equal(t, 3, s.requested())
				s.report("db", laneswap.StatusCritical, "worse")
				s.until(20 * time.Minute)
				s.up("db")
				s.until(30 * time.Minute)
				require.Empty(t, s.verify(db[0].ID), "what comes after it arrives")
				require.Equal(t, []string{"error → critical", "critical → healthy"}, s.courses("db"))
			})
		})
	}
}

// A digest that Discord refuses in every form is split in halves, and in the end service
// by service, within the limits.
func TestRefused_aDigestIsSplitByService(t *testing.T) {
	t.Parallel()
	const services = 40
	onBoth(t, func(t *testing.T, s *harness) {
		s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
			named := 0
			for i := range services {
				if strings.Contains(string(r.Body), string(name(i))) {
					named++
				}
			}
			if named > 1 {
				return fakediscord.BadForm()
			}
			return fakediscord.Answer{}
		})
		for i := range services {
			s.known(name(i))
		}
		for i := range services {
			s.down(name(i))
		}
		s.until(10 * time.Minute)
		require.Empty(t, s.verify())
		require.Equal(t, services, s.delivered())
		for i := range services {
			require.Equal(t, []string{"healthy → error"}, s.courses(name(i)))
		}
		texts := steps(s.trace(s.events(name(7))[0]))
		require.True(t, slices.ContainsFunc(texts, func(text string) bool { return matches(`^digest 1 was refused and split in two: `, text) }), "%q", texts)
	})
}

// Discord refuses one service of a digest: only that one is dropped.
func TestRefused_onlyTheWrongItemIsDropped(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *harness) {
		bad := name(5)
		s.fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
			if strings.Contains(string(r.Body), string(bad)) {
				return fakediscord.BadForm()
			}
			return fakediscord.Answer{}
		})
		for i := range 15 {
			s.known(name(i))
		}
		for i := range 15 {
			s.down(name(i))
		}
		s.until(10 * time.Minute)
		ev := s.events(bad)[0]
		s.dead(ev, "refused")
		require.Empty(t, s.verify(ev.ID))
		require.EqualValues(t, 1, s.notifier().Dead, fmt.Sprint(s.delivered()))
	})
}
