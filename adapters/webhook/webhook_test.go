package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/notifiertest"
	"github.com/laneswap/laneswap/adapters/webhook"
)

var now = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

func TestNotifier_keepsTheContract(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(s *notifiertest.Stand) string{
		"path and query": func(s *notifiertest.Stand) string {
			return s.URL + "/hook/" + s.Secret("path") + "?token=" + s.Secret("query") + "#" + s.Secret("fragment")
		},
		"user": func(s *notifiertest.Stand) string {
			return strings.Replace(s.URL, "://", "://"+s.Secret("user")+":"+s.Secret("password")+"@", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notifiertest.Run(t, notifiertest.Target{
				HTTP: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
					opts := []webhook.Option{webhook.WithPrivateNetworks(), webhook.WithSecret(s.Secret("key")), webhook.WithHeader("X-Api-Key", s.Secret("header"))}
					if name != "user" {
						opts = append(opts, webhook.WithHeader("Authorization", "Bearer "+s.Secret("bearer")))
					}
					return newNotifier(t, address(s), opts...)
				},
				Receipt: "4711",
			})
		})
	}
}

func newNotifier(t *testing.T, address string, opts ...webhook.Option) *webhook.Notifier {
	t.Helper()
	n, err := webhook.New(address, opts...)
	require.NoError(t, err)
	return n
}

// receiver is a server that keeps the last request.
type receiver struct {
	*httptest.Server
	last atomic.Pointer[http.Request]
	body atomic.Pointer[[]byte]
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.body.Store(&body)
		r.last.Store(req)
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func says(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

func TestNotify_postsTheDocumentedMessage(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, says(200, `{"id":"m-1"}`))
	n := newNotifier(t, r.URL+"/a/b?c=d", webhook.WithPrivateNetworks(), webhook.WithSecret("s3cret"), webhook.WithHeader("authorization", "Bearer t"), webhook.WithHeader("X-A", "1"), webhook.WithHeader("X-A", "2"))
	for _, note := range notifiertest.Notifications(now) {
		id, err := laneswap.Send(t.Context(), n, note)
		require.NoError(t, err)
		require.Equal(t, "m-1", id)
		req, body := r.last.Load(), *r.body.Load()
		require.Equal(t, "POST /a/b?c=d", req.Method+" "+req.RequestURI)
		require.Equal(t, "application/json", req.Header.Get("Content-Type"))
		require.Equal(t, "LaneSwap/"+laneswap.Version, req.Header.Get("User-Agent"))
		require.Equal(t, "Bearer t", req.Header.Get("Authorization"))
		require.Equal(t, []string{"1", "2"}, req.Header.Values("X-A"))
		require.Equal(t, note.ID, req.Header.Get("LaneSwap-Notice-Id"))
		require.Empty(t, req.Header.Get("Idempotency-Key"), "net/http would repeat by itself what has one")
		require.NoError(t, webhook.Verify("s3cret", req.Header, body, time.Now(), 0))
		var got laneswap.Notification
		require.NoError(t, json.Unmarshal(body, &got))
		require.Equal(t, note, got)
	}
}

func TestNotify_signsNothingWithoutASecret(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, says(204, ""))
	require.NoError(t, newNotifier(t, r.URL, webhook.WithPrivateNetworks()).Notify(t.Context(), notifiertest.Notifications(now)[0]))
	require.Empty(t, r.last.Load().Header.Get("LaneSwap-Signature"))
	require.Empty(t, r.last.Load().Header.Get("LaneSwap-Timestamp"))
}

func TestNotify_saysWhatTheAnswerMeans(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		200: "", 201: "", 202: "", 206: "", 299: "",
		304: "retried", 402: "retried", 407: "retried", 409: "retried", 423: "retried", 425: "retried", 451: "retried", 501: "retried", 599: "retried",
		405: "permanent", 415: "permanent", 414: "refused", 431: "refused",
	} {
		r := newReceiver(t, says(code, ""))
		err := newNotifier(t, r.URL, webhook.WithPrivateNetworks()).Notify(t.Context(), notifiertest.Notifications(now)[0])
		switch want {
		case "":
			require.NoError(t, err, code)
			continue
		case "permanent":
			require.True(t, laneswap.IsPermanent(err), code)
		case "refused":
			require.True(t, laneswap.IsRefused(err), code)
		default:
			require.False(t, laneswap.IsPermanent(err) || laneswap.IsRefused(err), code)
		}
		require.ErrorContains(t, err, fmt.Sprint("the server answered ", code), code)
	}
}

func TestNotify_saysThatARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	err := newNotifier(t, r.URL, webhook.WithPrivateNetworks()).Notify(t.Context(), notifiertest.Notifications(now)[0])
	require.EqualError(t, err, "the server answered 307 Temporary Redirect: redirects are not followed; use the address that it leads to")
}

// hangingBody is a transport that answers 200 with a body that never ends.
type hangingBody struct{}

func (hangingBody) RoundTrip(req *http.Request) (*http.Response, error) {
	body, end := io.Pipe()
	context.AfterFunc(req.Context(), func() { _ = end.CloseWithError(req.Context().Err()) })
	return &http.Response{StatusCode: 200, Body: body}, nil
}

func TestNotify_waitsFiveSecondsForABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier(t, "https://example.org", webhook.WithHTTPClient(&http.Client{Transport: hangingBody{}}))
		began := time.Now()
		require.NoError(t, n.Notify(t.Context(), notifiertest.Notifications(now)[0]))
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestNew_saysWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                                "webhook url is empty",
		"hooks.example.org/canary":        "webhook url does not begin with https:// or http://",
		"ftp://canary:canary@example.org": "webhook url does not begin with https:// or http://",
		"https:///canary":                 "webhook url has no host",
		"https:canary":                    "webhook url has no host",
		"https://canary:canary@":          "webhook url has no host",
		"https://example.org:canary/":     "webhook url cannot be parsed",
		"https://example.org:0/canary":    "webhook url has an invalid port",
		"https://example.org:99999/":      "webhook url has an invalid port",
		"https://exa mple.org/canary":     "webhook url cannot be parsed",
		"https://example.org/\x7fcanary":  "webhook url cannot be parsed",
		"http://canary@127.0.0.1/canary":  "webhook url names an address that is loopback: webhook.WithPrivateNetworks allows it",
		"http://LOCALHOST./canary":        "webhook url names an address that is this machine: webhook.WithPrivateNetworks allows it",
		"http://[fe80::1%25eth0]/canary":  "webhook url names an address that is link-local: webhook.WithPrivateNetworks allows it",
		"http://[::ffff:10.0.0.1]/":       "webhook url names an address that is private: webhook.WithPrivateNetworks allows it",
	} {
		_, err := webhook.New(address)
		require.EqualError(t, err, want, address)
		require.ErrorIs(t, err, laneswap.ErrInvalidOption)
		require.ErrorIs(t, err, laneswap.ErrLaneSwap)
		require.Equal(t, "invalid-option", laneswap.ErrorCode(err))
	}
	_, err := webhook.New("https://10.1.2.3")
	require.ErrorIs(t, err, webhook.ErrPrivateNetwork)

	for want, opt := range map[string]webhook.Option{
		"webhook secret is empty":                                                      webhook.WithSecret(""),
		"webhook name is empty":                                                        webhook.WithName(""),
		"webhook client is nil":                                                        webhook.WithHTTPClient(nil),
		"webhook header has an invalid name":                                           webhook.WithHeader("canary canary", "canary"),
		"webhook header Content-Length cannot be set":                                  webhook.WithHeader("content-length", "canary"),
		"webhook header Idempotency-Key cannot be set":                                 webhook.WithHeader("idempotency-key", "canary"),
		"webhook header Laneswap-Signature cannot be set: it is LaneSwap's own":        webhook.WithHeader("LaneSwap-Signature", "canary"),
		"webhook header Authorization has a value with control characters":             webhook.WithHeader("Authorization", "canary\r\nX: y"),
		"webhook header Authorization has a value with characters that cannot be sent": webhook.WithHeader("Authorization", "canary\xff"),
	} {
		_, err := webhook.New("https://example.org", opt)
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, laneswap.ErrInvalidOption)
	}
}

func TestNotifier_isPrintedWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	n := newNotifier(t, "https://canary:canary@canary.example.org/canary?canary", webhook.WithSecret("canary"), webhook.WithHeader("X-Key", "canary"), webhook.WithName("pager"))
	require.Equal(t, "pager", n.Name())
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		require.Equal(t, `webhook notifier "pager"`, fmt.Sprintf(format, n), format)
	}
	require.Equal(t, "webhook", newNotifier(t, "https://example.org").Name())
}

func TestNotify_usesTheCallersClientWithoutRedirects(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/again", http.StatusPermanentRedirect)
	})
	followed := 0
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { followed++; return nil }}
	// The guard against private networks does not apply to a client of the caller.
	err := newNotifier(t, r.URL, webhook.WithHTTPClient(client)).Notify(t.Context(), notifiertest.Notifications(now)[0])
	require.ErrorContains(t, err, "308")
	require.Zero(t, followed)
	require.NotNil(t, client.CheckRedirect, "the caller's client is as it was")
}
