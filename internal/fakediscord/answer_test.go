package fakediscord_test

import (
	"context"
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
		"millis":   {fakediscord.RateLimitedMillis(1500 * time.Millisecond), `{"message":"You are being rate limited.","retry_after":1500,"global":false}`, "1500"},
		"body":     {fakediscord.RateLimitedMillisBody(1500 * time.Millisecond), `{"message":"You are being rate limited.","retry_after":1500,"global":false}`, ""},
		"bare":     {fakediscord.RateLimitedBare(3 * time.Second), "", "3"},
		"page":     {fakediscord.RateLimitedHTML(3 * time.Second), "<!DOCTYPE html><html><head><title>429</title></head><body><h1>Too Many Requests</h1></body></html>", "3"},
		"no delay": {fakediscord.RateLimitedSilent(), `{"code":0,"message":"You are being blocked from accessing our API temporarily due to exceeding our rate limits frequently."}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := fakediscord.New()
				defer fake.Close()
				s := &sender{t, fake.Client(), fake.Webhook()}
				other := &sender{t, s.client, fake.AddWebhook("elsewhere")}
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

func TestServer_hooksComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	fake := fakediscord.New()
	defer fake.Close()
	s := &sender{t, fake.Client(), fake.Webhook()}
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
