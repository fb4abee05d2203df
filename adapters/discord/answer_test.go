package discord_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// plain is an answer of a proxy that writes neither JSON nor HTML.
func plain(status int, text string) fakediscord.Answer {
	return fakediscord.Answer{Status: status, ContentType: "text/plain; charset=utf-8", Body: text}
}

func TestNotify_classifiesAnswers(t *testing.T) {
	t.Parallel()
	type verdict struct{ permanent, refused bool }
	retried := verdict{}
	for name, tc := range map[string]struct {
		answer fakediscord.Answer
		want   verdict
	}{
		"404":                   {fakediscord.UnknownWebhook(), verdict{permanent: true}},
		"404 of a thread":       {fakediscord.Status(404, 10003, "Unknown Channel"), verdict{permanent: true}},
		"404 without a body":    {fakediscord.Answer{Status: 404}, retried},
		"404 of a proxy":        {fakediscord.HTML(404), retried},
		"401":                   {fakediscord.InvalidToken(), verdict{permanent: true}},
		"403":                   {fakediscord.Status(403, 50013, "Missing Permissions"), verdict{permanent: true}},
		"403 of a proxy":        {fakediscord.HTML(403), retried},
		"410":                   {fakediscord.Status(410, 10015, "Unknown Webhook"), verdict{permanent: true}},
		"410 without a body":    {fakediscord.Answer{Status: 410}, retried},
		"400 of a proxy":        {fakediscord.HTML(400), retried},
		"404 in plain text":     {plain(404, "404 page not found\n"), retried}, // of Traefik, without a route
		"404 of an ingress":     {plain(404, "default backend - 404"), retried},
		"404 with null":         {fakediscord.Answer{Status: 404, ContentType: "application/json", Body: "null"}, retried},
		"404 that breaks off":   {fakediscord.Answer{Status: 404, ContentType: "application/json", Body: `{"message":"Unkn`}, retried},
		"403 of Cloudflare":     {plain(403, "error code: 1020"), retried},
		"403 of Envoy":          {plain(403, "RBAC: access denied"), retried},
		"401 in plain text":     {plain(401, "Unauthorized"), retried},
		"400 in plain text":     {plain(400, "400 Bad Request"), retried},
		"413 in plain text":     {plain(413, "Payload Too Large"), retried},
		"405":                   {fakediscord.Answer{Status: 405}, retried},
		"408":                   {fakediscord.Answer{Status: 408}, retried},
		"500":                   {fakediscord.Status(500, 0, "500: Internal Server Error"), retried},
		"502 of a proxy":        {fakediscord.HTML(502), retried},
		"503":                   {fakediscord.Answer{Status: 503}, retried},
		"a page":                {fakediscord.HTML(200), retried},
		"a success with no id":  {fakediscord.Answer{Status: 200, ContentType: "application/json", Body: `{}`}, retried},
		"a redirect":            {fakediscord.Redirect("https://elsewhere.example/"), retried},
		"hang before headers":   {fakediscord.HangBeforeHeaders(false), retried},
		"hang after headers":    {fakediscord.HangAfterHeaders(false), retried},
		"reset":                 {fakediscord.Reset(false), retried},
		"slower than the limit": {fakediscord.Slow(time.Minute), retried},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				fake.Script(tc.answer)
				began := time.Now()
				_, err := laneswap.Send(t.Context(), n, note(1))
				require.Error(t, err)
				require.Equal(t, tc.want, verdict{laneswap.IsPermanent(err), laneswap.IsRefused(err)}, "%v", err)
				_, later := laneswap.RetryDelay(err)
				require.False(t, later)
				require.LessOrEqual(t, time.Since(began), 14*time.Second)
				require.Len(t, fake.Requests(), 1)
				require.NotContains(t, err.Error(), fake.Secret())
				require.NoError(t, n.Notify(t.Context(), note(1)), "the notifier goes on")
				require.Empty(t, fake.Violations())
			})
		})
	}
}

// Retry-After counts for pages, for dates, and for proxies.
func TestNotify_obeysRetryAfterOfAnyFailure(t *testing.T) {
	t.Parallel()
	later := func(a fakediscord.Answer, retryAfter string) fakediscord.Answer {
		a.Header, a.Wait = http.Header{"Retry-After": {retryAfter}}, 10*time.Minute
		return a
	}
	for name, answer := range map[string]fakediscord.Answer{
		"503 in JSON":        later(fakediscord.Status(503, 0, "503: Service Unavailable"), "600"),
		"503 without a body": later(fakediscord.Answer{Status: 503}, "600"),
		"503 with a page":    later(fakediscord.HTML(503), "600"),
		"503 with a date":    later(fakediscord.Answer{Status: 503}, "Sat, 01 Jan 2000 00:10:00 GMT"),
		"500":                later(fakediscord.Status(500, 0, "500: Internal Server Error"), "600"),
		"502 with a page":    later(fakediscord.HTML(502), "600"),
		"504 without a body": later(fakediscord.Answer{Status: 504}, "600"),
		"403 of a proxy":     later(plain(403, "error code: 1015"), "600"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				fake.Script(answer)
				err := n.Notify(t.Context(), note(1))
				require.NotErrorIs(t, err, discord.ErrRateLimited)
				d, ok := laneswap.RetryDelay(err)
				require.True(t, ok, "%v", err)
				require.Equal(t, 10*time.Minute, d)
				time.Sleep(d - time.Millisecond)
				require.Equal(t, time.Millisecond, delay(t, n.Notify(t.Context(), note(1))))
				time.Sleep(time.Millisecond)
				require.NoError(t, n.Notify(t.Context(), note(1)))
				require.Len(t, fake.Requests(), 2)
				require.Empty(t, fake.Violations())
			})
		})
	}
	for name, answer := range map[string]fakediscord.Answer{
		"no wait":               {Status: 503, Header: http.Header{"Retry-After": {"0"}}},
		"a date that is over":   {Status: 503, Header: http.Header{"Retry-After": {"Fri, 31 Dec 1999 00:00:00 GMT"}}},
		"nothing that is known": {Status: 503, Header: http.Header{"Retry-After": {"soon"}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *fakediscord.Server, n *discord.Notifier) {
				fake.Script(answer)
				err := n.Notify(t.Context(), note(1))
				require.Error(t, err)
				_, later := laneswap.RetryDelay(err)
				require.False(t, later, "the Manager's own pause, which grows, is longer")
			})
		})
	}
}

// The headers say that the bucket is empty before the body breaks off.
func TestNotify_obeysTheLimitOfABrokenAnswer(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n" +
			"X-RateLimit-Limit: 5\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset-After: 60.000\r\n\r\n{\"id\":"))
		_ = conn.Close()
	}))
	defer server.Close()
	n, err := discord.New(webhookURL, discord.WithAPIBase(server.URL))
	require.NoError(t, err)
	err = n.Notify(t.Context(), note(1))
	require.Error(t, err)
	require.NotErrorIs(t, err, discord.ErrRateLimited)
	require.InDelta(t, time.Minute, delay(t, n.Notify(t.Context(), note(1))), float64(5*time.Second))
	require.EqualValues(t, 1, requests.Load(), "no request while a delay runs")
}

func TestBlamesField_isNoRefusalOfAFile(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		fakediscord.BadForm().Body:   true,
		fakediscord.BadEmbeds().Body: true,
		`{"code":50035,"message":"Invalid Form Body","errors":{"username":{"_errors":[{"message":"x"}]}}}`:             true,
		`{"code":40005,"message":"Request entity too large"}`:                                                          false,
		`{"code":50035,"message":"Invalid Form Body","errors":{"attachments":{"0":{"_errors":[]}},"embeds":{"0":{}}}}`: false,
		`{"code":50035,"message":"Invalid Form Body","errors":{"_errors":[{"message":"x"}]}}`:                          false,
		`{"file": ["too large"]}`: false,
		`{}`:                      false,
		`null`:                    false,
	} {
		require.Equal(t, want, discord.BlamesField([]byte(body)), body)
	}
}
