// Package client talks to a laneswapd, or to any program that serves the handler of
// adapters/httpapi. Its methods have the signatures and the errors of those of
// *laneswap.Manager.
//
//	c, err := client.New("http://localhost:8000")
//	st, err := c.Register(ctx, laneswap.Registration{Name: "billing", Interval: 30 * time.Second})
//	err = c.Beat(ctx, st.ID, laneswap.Heartbeat{})
//
// A program that only sends heartbeats uses an Agent, which sends them in the background
// and copes with outages of the server.
//
//	a, err := c.Agent(laneswap.Registration{Name: "billing"})
//	defer a.Close()
package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// Client talks to one server. New creates it; the zero value is not usable. It starts no
// goroutine of its own. All methods may be called concurrently.
//
// Errors match the sentinels of the Manager by errors.Is, and *laneswap.ValidationError
// by errors.As. ErrUnreachable means that no answer came. Every answer that refuses a
// request is a *ResponseError. No error holds the user, password or query of the server's
// URL. A Client does not follow redirects.
type Client struct {
	base    *url.URL
	secrets []string // must not appear in errors
	http    *http.Client
	owned   *http.Transport // ours to close; nil when the caller brought a client
	timeout time.Duration
	agent   string // User-Agent
	log     *slog.Logger
}

// New returns a client for the server at baseURL, for example "http://localhost:8000". A
// path goes before "/api", user and password become basic authentication, and a query is
// sent with every request. New does not connect.
func New(baseURL string, opts ...Option) (*Client, error) {
	o := options{timeout: DefaultTimeout, userAgent: "laneswap-go/" + laneswap.Version}
	for _, opt := range opts {
		opt(&o)
	}
	if o.timeout <= 0 {
		return nil, fmt.Errorf("laneswap: client: timeout is %v, it must be above zero", o.timeout)
	}
	base, err := url.Parse(baseURL)
	// The cause is left out: it quotes parts of the URL, passwords too.
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("laneswap: client: the server's address must be a URL that begins with http:// or https://")
	}
	base.Fragment = ""
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = strings.TrimRight(base.RawPath, "/")
	c := &Client{base: base, secrets: secretsOf(base), timeout: o.timeout, agent: o.userAgent, log: o.logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.http = &http.Client{}
	if o.http != nil {
		*c.http = *o.http
	} else if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		c.owned = shared.Clone()
		c.owned.MaxIdleConnsPerHost = 32 // many agents may share the client
		c.http.Transport = c.owned
	}
	// A redirect would take a heartbeat, and the credentials, somewhere else.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http.Timeout = 0 // it would cut streams; a context bounds each call
	return c, nil
}

// Close closes idle connections, except those of WithHTTPClient. It ends no agent and no
// watch, and the client stays usable. It always returns nil.
func (c *Client) Close() error {
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
	return nil
}

// secretsOf lists the secret parts of a URL, plain and escaped.
func secretsOf(u *url.URL) []string {
	var out []string
	add := func(s string) {
		if s != "" {
			out = append(out, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
	if u.User != nil {
		out = append(out, u.User.String())
		password, _ := u.User.Password()
		add(password)
		add(u.User.Username())
	}
	if u.RawQuery != "" {
		out = append(out, u.RawQuery)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			add(v)
		}
	}
	return out
}
