// Package discord is a notifier that posts to a Discord webhook.
//
//	n, err := discord.New(os.Getenv("LANESWAP_DISCORD_WEBHOOK"))
//	m := laneswap.NewManager(laneswap.WithNotifier(n))
//
// A notification becomes one message with embeds. It is coloured by status and cut to
// Discord's limits, and has the incident id in its footer. Texts of services are
// escaped: they cannot mention anybody, hide a link, or style themselves. A digest
// names all its services in one message; a file lists those that do not fit into the
// embeds.
//
// The Notifier neither waits nor retries: the Manager does. When a rate limit is used
// up or exceeded, or a failure says when to retry (Retry-After), Notify returns an
// error of laneswap.RetryAfter and makes no request until then. A webhook that does
// not exist, or does not accept its token, is an error of laneswap.Permanent. When
// Discord refuses a message, the Notifier sends it once more as plain text, and
// without its file unless Discord blames something else. When Discord refuses that
// too, Notify returns an error of laneswap.Refused. Only an answer in JSON, as
// Discord writes it, counts as a refusal; the Manager retries everything else.
//
// The URL of a webhook is a secret: with it anybody can post. No error of this
// package shows it, even if Discord, a proxy or the network repeats it.
package discord

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/httppost"
)

// Errors of New, and of Notify.
var (
	// ErrInvalidURL is returned when a URL does not belong to a Discord webhook.
	ErrInvalidURL = errors.New("discord: invalid webhook URL")
	// ErrInvalidOption is returned when an option has an invalid value.
	ErrInvalidOption = errors.New("discord: invalid option")
	// ErrRateLimited is returned while a rate limit is used up, or while a delay runs
	// that Discord or a proxy asked for. laneswap.RetryDelay returns how long.
	ErrRateLimited = errors.New("discord: rate limited")
)

const (
	// DefaultAPIBase is the host of Discord's API.
	DefaultAPIBase = "https://discord.com"
	// DefaultUsername is the sender's name of messages without WithUsername.
	DefaultUsername = "LaneSwap"

	maxUsername = 80 // as documented for webhooks

	// requestTimeout bounds one request. Notify makes at most two, which fit into the
	// 30 seconds that the Manager gives it.
	requestTimeout = 14 * time.Second
)

// Notifier posts to one webhook. Use New to create one. Its methods may be called
// concurrently.
type Notifier struct {
	to      address
	name    string
	user    string
	avatar  string
	client  *http.Client
	limit   limiter
	mu      sync.Mutex // guards what follows
	refused refusal    // the last message with embeds that was refused
}

// refusal records a notification whose embeds Discord refused. file reports that the
// file may be to blame.
type refusal struct {
	id   string
	file bool
}

// Option changes a Notifier while it is made.
type Option func(*options)

type options struct {
	name, user, avatar string
	base               string
	client             *http.Client
}

// WithName sets the name of the notifier in logs, API answers and the storage. The
// default is "discord".
func WithName(name string) Option { return func(o *options) { o.name = name } }

// WithUsername sets the sender's name of messages: up to 80 characters without "clyde"
// and "discord", which Discord refuses. The default is "LaneSwap"; "" keeps the name
// that the webhook has in Discord.
func WithUsername(name string) Option { return func(o *options) { o.user = name } }

// WithAvatarURL sets the URL of the sender's picture, http or https. By default, and
// with "", messages have the picture that the webhook has in Discord.
func WithAvatarURL(address string) Option { return func(o *options) { o.avatar = address } }

// WithAPIBase sets the base of the API instead of https://discord.com: scheme, host,
// and the path in front of /api, if any. It is for proxies and test servers. With http
// the network can read the token. "" changes nothing.
func WithAPIBase(base string) Option { return func(o *options) { o.base = base } }

// WithHTTPClient sets the client that makes the requests, with its transport, proxy
// and timeout. The Notifier uses a copy of it that follows no redirects and stores no
// cookies. nil changes nothing.
func WithHTTPClient(c *http.Client) Option { return func(o *options) { o.client = c } }

// New returns a Notifier that posts to the webhook at the given URL, as Discord shows
// it: https://discord.com/api/webhooks/ID/TOKEN. The host may also be
// canary.discord.com, ptb.discord.com or the old discordapp.com, which becomes
// discord.com. The URL may name a version of the API from 8 on (/api/v9/webhooks/...);
// without one the Notifier uses version 10. Of the query New keeps thread_id: messages
// then go to that thread. Spaces around the URL are ignored. New makes no request.
// Errors match ErrInvalidURL or ErrInvalidOption, and do not show the URL.
func New(webhookURL string, opts ...Option) (*Notifier, error) {
	o := options{name: "discord", user: DefaultUsername}
	for _, opt := range opts {
		opt(&o)
	}
	to, err := parseAddress(webhookURL, o.base)
	if err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport()}
	if o.client != nil {
		client = o.client
	}
	client = httppost.Client(client)
	client.Jar = nil
	return &Notifier{to: to, name: o.name, user: o.user, avatar: o.avatar, client: client}, nil
}

// transport returns a transport like that of net/http with its own connections.
func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // the program replaced it on purpose
	}
	t = t.Clone()
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

func (o *options) check() error {
	switch {
	case strings.TrimSpace(o.name) == "":
		return fmt.Errorf("%w: the name is empty", ErrInvalidOption)
	case !utf8.ValidString(o.user) || o.user != "" && !visible(o.user):
		return fmt.Errorf("%w: the username is not visible text", ErrInvalidOption)
	case width(o.user) > maxUsername:
		return fmt.Errorf("%w: the username is %d characters long, the limit is %d", ErrInvalidOption, width(o.user), maxUsername)
	}
	for _, word := range []string{"clyde", "discord"} {
		if strings.Contains(strings.ToLower(o.user), word) {
			return fmt.Errorf("%w: the username holds %q, which Discord refuses", ErrInvalidOption, word)
		}
	}
	if o.avatar != "" {
		u, err := url.Parse(o.avatar)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || len(o.avatar) > 2048 {
			return fmt.Errorf("%w: the avatar's URL must begin with http:// or https:// and be at most 2048 bytes long, without a user", ErrInvalidOption)
		}
	}
	return nil
}

// Name returns the notifier's name in logs, API answers and the storage.
func (n *Notifier) Name() string { return n.name }

// String returns the name only: the rest is secret.
func (n *Notifier) String() string { return n.name }

// GoString returns the name only: the rest is secret.
func (n *Notifier) GoString() string { return "discord.Notifier(" + n.name + ")" }

// Notify posts the notification as one message and passes its id to Receipt. It makes
// one request, two when Discord refuses the first message, and none while a delay
// runs.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	if err := n.limit.allow(time.Now()); err != nil {
		return err
	}
	refused, again := n.wasRefused(note.ID)
	if !again {
		msg, err := n.message(note)
		if err != nil {
			return laneswap.Refused(err)
		}
		out := n.post(ctx, msg)
		if !out.refused {
			return n.done(note, out)
		}
		refused = refusal{note.ID, msg.file && !out.field}
		n.remember(refused)
		if err := n.limit.allow(time.Now()); err != nil {
			return err // the plain text follows when the delay is over
		}
	}
	msg, err := n.plain(note, !refused.file)
	if err != nil {
		return laneswap.Refused(err)
	}
	out := n.post(ctx, msg)
	switch {
	case out.refused && msg.file:
		// The file may be to blame: the next attempt has none.
		n.remember(refusal{note.ID, true})
		return out.err
	case out.refused:
		n.remember(refusal{})
		return laneswap.Refused(out.err)
	}
	return n.done(note, out)
}

// done passes the id of the message to Receipt, or returns the error.
func (n *Notifier) done(note laneswap.Notification, out outcome) error {
	if out.err == nil {
		n.remember(refusal{})
		note.Receipt(out.id)
	}
	return out.err
}

// remember records what Discord refused, so that a later attempt begins with the plain
// text.
func (n *Notifier) remember(what refusal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = what
}

func (n *Notifier) wasRefused(id string) (refusal, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused, id != "" && n.refused.id == id
}
