package fakediscord_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/fakediscord"
)

func TestScript_answersInOrderAndThenAsDiscord(t *testing.T) {
	t.Parallel()
	over(t, []fakediscord.Option{fakediscord.WithLimits(fakediscord.Limit{}, fakediscord.Limit{})}, func(t *testing.T, fake *fakediscord.Server, s *sender) {
		fake.Script(
			fakediscord.UnknownWebhook(), fakediscord.InvalidToken(), fakediscord.BadForm(), fakediscord.BadEmbeds(),
			fakediscord.HTML(502), fakediscord.Redirect("/elsewhere"), fakediscord.RateLimitedSilent(),
		)
		require.Equal(t, 7, fake.Scripted())
		for _, want := range []struct {
			status int
			code   any
		}{{404, 10015.0}, {401, 50027.0}, {400, 50035.0}, {400, nil}, {502, nil}} {
			a := s.post(quiet)
			require.Equal(t, want.status, a.status)
			require.Equal(t, want.code, a.fields["code"])
		}
		s.client.CheckRedirect = noRedirect
		require.Equal(t, 307, s.post(quiet).status)
		require.Equal(t, 429, s.post(quiet).status)
		require.Empty(t, fake.Messages())
		a := s.post(quiet)
		require.Equal(t, 200, a.status)
		require.Empty(t, a.header.Get("X-RateLimit-Limit"), "there are no limits")
		require.Equal(t, 2, fake.Invalid())

		fake.Respond(func(r fakediscord.Request) fakediscord.Answer {
			if r.Payload.Content == "hello" {
				return fakediscord.HTML(503)
			}
			return fakediscord.Answer{}
		})
		require.Equal(t, 503, s.post(quiet).status)
		require.Equal(t, 200, s.post(`{"content":"other","allowed_mentions":{"parse":[]}}`).status)
		require.Len(t, fake.Messages(), 2)
		require.Empty(t, fake.Violations())
	})
}

func TestRateLimited_formsAnnounceTheirDelay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer     fakediscord.Answer
		body       string
		retryAfter string
	}{
		"seconds":  {fakediscord.RateLimited(376 * time.Millisecond), `{"message":"You are being rate limited.","retry_after":0.376,"global":false}`, "1"},
		"global":   {fakediscord.RateLimitedGlobal(64570 * time.Millisecond), `{"message":"You are being rate limited.","retry_after":64.570,"global":true}`, "65"},
		"bare":     {fakediscord.RateLimitedBare(3 * time.Second), "", "3"},
		"page":     {fakediscord.RateLimitedHTML(3 * time.Second), "<!DOCTYPE html><html><head><title>429</title></head><body><h1>Too Many Requests</h1></body></html>", "3"},
		"no delay": {fakediscord.RateLimitedSilent(), `{"code":0,"message":"You are being blocked from accessing our API temporarily due to exceeding our rate limits frequently."}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := fakediscord.New()
				defer fake.Close()
				s := newSender(t, fake.Client(), fake.Webhook())
				other := newSender(t, s.client, fake.AddWebhook("elsewhere"))
				fake.Script(tc.answer)
				a := s.post(quiet)
				require.Equal(t, 429, a.status)
				require.Equal(t, tc.body, a.body)
				require.Equal(t, tc.retryAfter, a.header.Get("Retry-After"))
				time.Sleep(tc.answer.Wait)
				require.Equal(t, 200, s.post(quiet).status)
				require.Empty(t, fake.Violations())
				fake.Script(tc.answer)
				require.Equal(t, 429, s.post(quiet).status)
				require.Equal(t, 200, other.post(quiet).status)
				require.Equal(t, tc.answer.All, len(fake.Violations()) > 0, "the delay is for all webhooks")
				require.Equal(t, 200, s.post(quiet).status)
				require.Equal(t, tc.answer.Wait > 0, len(fake.Violations(fakediscord.RuleDelay)) > 0)
			})
		})
	}
}

func TestAnswers_thatDoNotArrive(t *testing.T) {
	t.Parallel()
	over(t, nil, func(t *testing.T, fake *fakediscord.Server, s *sender) {
		for _, accept := range []bool{false, true} {
			for _, answer := range []fakediscord.Answer{fakediscord.HangBeforeHeaders(accept), fakediscord.HangAfterHeaders(accept), fakediscord.Reset(accept)} {
				before := len(fake.Messages())
				fake.Script(answer)
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				_, err := s.try(ctx, "POST", "?wait=true", "application/json", quiet)
				cancel()
				require.Error(t, err)
				require.Equal(t, accept, len(fake.Messages()) > before)
			}
		}
		fake.Script(fakediscord.Slow(150 * time.Millisecond))
		before := time.Now()
		require.Equal(t, 200, s.post(quiet).status)
		require.GreaterOrEqual(t, time.Since(before), 150*time.Millisecond)
		require.Empty(t, fake.Violations())
		require.Equal(t, 0, fake.Requests()[0].Status)
	})
}

// lose sends a message whose answer does not arrive.
func (s *sender) lose(fake *fakediscord.Server, answer fakediscord.Answer) {
	s.t.Helper()
	fake.Script(answer)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := s.try(ctx, "POST", "?wait=true", "application/json", quiet)
	require.Error(s.t, err)
}

func TestAnswers_thatDoNotArriveCountTowardsTheLimits(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(accept bool) fakediscord.Answer{
		"hang before headers": fakediscord.HangBeforeHeaders, "hang after headers": fakediscord.HangAfterHeaders, "reset": fakediscord.Reset,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := fakediscord.New(fakediscord.WithLimits(fakediscord.Limit{Requests: 3, Per: 2 * time.Second}, fakediscord.Limit{Requests: 4, Per: time.Minute}))
				defer fake.Close()
				s := newSender(t, fake.Client(), fake.Webhook())
				s.lose(fake, answer(false))
				for range 3 {
					s.lose(fake, answer(true))
				}
				require.Len(t, fake.Messages(), 3, "what did not come to Discord counts nothing")
				s.lose(fake, answer(true))
				require.Len(t, fake.Messages(), 3, "the fourth in two seconds")
				a := s.post(quiet)
				require.Equal(t, 429, a.status)
				require.Equal(t, "user", a.header.Get("X-RateLimit-Scope"))
				time.Sleep(2 * time.Second)
				s.lose(fake, answer(true))
				a = s.post(quiet)
				require.Equal(t, 429, a.status)
				require.Equal(t, "shared", a.header.Get("X-RateLimit-Scope"), "the fifth in a minute")
			})
		})
	}
}

// A client that hears the header knows how much is left; who hears nothing is not to
// blame for what it does not know.
func TestHangAfterHeaders_announcesWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakediscord.New(fakediscord.WithLimits(fakediscord.Limit{Requests: 2, Per: 2 * time.Second}, fakediscord.Limit{}))
		defer fake.Close()
		s := newSender(t, fake.Client(), fake.Webhook())
		head := func(accept bool) *http.Response {
			fake.Script(fakediscord.HangAfterHeaders(accept))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"?wait=true", strings.NewReader(quiet))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("User-Agent", agent)
			resp, err := s.client.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			return resp
		}
		resp := head(false)
		require.Equal(t, 200, resp.StatusCode)
		require.Empty(t, resp.Header.Get("X-RateLimit-Remaining"), "that is not Discord's")
		for _, left := range []string{"1", "0"} {
			resp = head(true)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, left, resp.Header.Get("X-RateLimit-Remaining"))
			require.Equal(t, "2.000", resp.Header.Get("X-RateLimit-Reset-After"))
		}
		require.Empty(t, fake.Violations())
		require.Equal(t, 429, head(true).StatusCode)
		require.Len(t, fake.Violations(fakediscord.RuleDelay), 1, "it had been told")
		require.Len(t, fake.Messages(), 2)
		require.Equal(t, 1, fake.Invalid())

		time.Sleep(2 * time.Second)
		for range 2 {
			s.lose(fake, fakediscord.Reset(true))
		}
		require.Equal(t, 429, s.post(quiet).status)
		require.Len(t, fake.Violations(), 1, "it had not been told")
	})
}

func TestServer_hooksComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	fake := fakediscord.New()
	defer fake.Close()
	s := newSender(t, fake.Client(), fake.Webhook())
	var order []string
	fake.OnRequest(func(r fakediscord.Request) {
		order = append(order, "request")
		require.Empty(t, fake.Messages())
		require.Equal(t, "hello", r.Payload.Content)
		require.Equal(t, quiet, string(r.Body))
	})
	fake.OnReceipt(func(fakediscord.Message) {
		order = append(order, "receipt")
		require.Len(t, fake.Messages(), 1)
	})
	require.Equal(t, 200, s.post(quiet).status)
	require.Equal(t, []string{"request", "receipt"}, order)
	fake.Close()
	fake.Close()
	_, err := s.try(t.Context(), "POST", "?wait=true", "application/json", quiet)
	require.Error(t, err)
}
