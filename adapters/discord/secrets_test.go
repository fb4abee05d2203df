package discord_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
)

const canary = "canary-5f0c9a7b-tok_en.68"

// transport fails as its function says.
type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// silentAbout requires that no format of an error or a notifier shows the URL.
func silentAbout(t *testing.T, values ...any) {
	t.Helper()
	for _, v := range values {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			text := fmt.Sprintf(format, v)
			require.NotContains(t, text, canary)
			require.NotContains(t, text, canary[:12])
			require.NotContains(t, text, "4711")
			require.NotContains(t, text, "/api/webhooks")
		}
	}
}

// Proxies, dialers and transports put the URL into their errors.
func TestNotify_hidesTheURLOfTransportErrors(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(r *http.Request) error{
		"plain": func(r *http.Request) error { return errors.New("cannot reach " + r.URL.String()) },
		"wrapped": func(r *http.Request) error {
			return fmt.Errorf("proxy: %w", &url.Error{Op: "Post", URL: r.URL.String(), Err: errors.New("x")})
		},
		"operation": func(r *http.Request) error {
			return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("for " + r.URL.Path)}
		},
		"lookup": func(r *http.Request) error { return &net.DNSError{Err: "no such host", Name: "x" + r.URL.Path} },
		"a part": func(r *http.Request) error {
			return &net.OpError{Op: "read", Net: "tcp", Err: errors.New("line " + canary[3:14])}
		},
		"the context": func(r *http.Request) error { return fmt.Errorf("%s: %w", r.URL, context.DeadlineExceeded) },
		"a proxy": func(*http.Request) error {
			return errors.New(`invalid proxy address "http://user:` + canary + `@proxy"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := discord.New("https://discord.com/api/webhooks/4711/"+canary, discord.WithHTTPClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) { return nil, fail(r) })}))
			require.NoError(t, err)
			_, err = laneswap.Send(t.Context(), n, note(1))
			require.Error(t, err)
			for e := err; e != nil; e = errors.Unwrap(e) {
				silentAbout(t, e)
			}
			silentAbout(t, n, struct{ N *discord.Notifier }{n})
		})
	}
}

// Error pages quote the request.
func TestNotify_hidesTheURLThatAServerRepeats(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 301, 400, 401, 403, 404, 413, 418, 422, 429, 500, 503} {
		for _, body := range []string{`{"message":"Cannot POST %s","code":1}`, `{"code":50035,"message":"x","errors":{"%s":{"_errors":[{"message":"y"}]}}}`, `{"embeds":["%s"]}`, "<html>%s</html>", "%s"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", r.RequestURI)
				w.Header().Set("Retry-After", r.RequestURI)
				w.WriteHeader(status)
				fmt.Fprintf(w, body, r.RequestURI)
			}))
			n, err := discord.New("https://discord.com/api/webhooks/4711/"+canary, discord.WithAPIBase(server.URL))
			require.NoError(t, err)
			err = n.Notify(t.Context(), note(1))
			require.Error(t, err)
			for e := err; e != nil; e = errors.Unwrap(e) {
				silentAbout(t, strings.ReplaceAll(e.Error(), server.URL, ""))
			}
			server.Close()
		}
	}
}

// A redirect would send the message, and the token in Referer, to another server.
func TestNotify_followsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- fmt.Sprint(r.RequestURI, r.Header) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.RequestURI, status)
		}))
		follows := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }, Timeout: 10 * time.Second}
		for _, client := range []*http.Client{nil, follows} {
			n, err := discord.New("https://discord.com/api/webhooks/4711/"+canary, discord.WithAPIBase(server.URL), discord.WithHTTPClient(client))
			require.NoError(t, err)
			err = n.Notify(t.Context(), note(1))
			require.ErrorContains(t, err, "redirect")
			require.False(t, laneswap.IsPermanent(err))
		}
		require.NotNil(t, follows.CheckRedirect)
		server.Close()
	}
	require.Empty(t, elsewhere)
}
