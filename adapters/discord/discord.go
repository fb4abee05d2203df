// Package discord is a notifier that posts to a Discord webhook.
//
//	n, err := discord.New(os.Getenv("LANESWAP_DISCORD_WEBHOOK"))
//	m := laneswap.NewManager(laneswap.WithNotifier(n))
//
// A notice becomes one message with embeds: coloured by status, cut to what Discord
// takes, with the incident id in the footer. Texts of services are escaped: they
// cannot mention anybody, hide a link, or style themselves. A digest names all of
// its services in one message: those that find no room in the embeds are in a file
// that comes with it.
//
// The notifier waits for nothing and retries nothing, that is the Manager's part: a
// rate limit that is used up, or that Discord says was exceeded, is an error of
// laneswap.RetryAfter, as is a failure that says when to come again (Retry-After),
// and until then no request is made. A webhook that does not exist, or not with this
// token, is one of laneswap.Permanent. A message that Discord does not take is sent
// once more as plain text, without the file that it had unless Discord says that
// something else is wrong, and given up (laneswap.Refused) when it does not take that
// either. Only an answer in JSON, as those of Discord are, says so. What else fails is
// to be tried again.
//
// Who knows the URL of a webhook can post to it. It is in no error of this package,
// whatever Discord, a proxy or the network answers.
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
)

// Errors of New, and of Notify.
var (
	// ErrInvalidURL is returned when a URL is not that of a Discord webhook.
	ErrInvalidURL = errors.New("discord: this is no URL of a webhook")
	// ErrInvalidOption is returned when an option is out of its range.
	ErrInvalidOption = errors.New("discord: invalid option")
	// ErrRateLimited is matched by errors of a rate limit, and by those of a wait that
	// Discord, or who stands before it, asked for; laneswap.RetryDelay says for how long.
	ErrRateLimited = errors.New("discord: rate limited")
)

const (
	// DefaultAPIBase is the host of Discord's API.
	DefaultAPIBase = "https://discord.com"
	// DefaultUsername is the name that messages have unless WithUsername says another.
	DefaultUsername = "LaneSwap"

	maxUsername = 80 // as documented for webhooks

	// requestTimeout bounds one request. Two of them, which is the most that Notify
	// makes, fit into the 30 seconds that the Manager gives it.
	requestTimeout = 14 * time.Second
)

// Notifier posts to one webhook. It is made by New; its methods may be called
// concurrently.
type Notifier struct {
	to      address
	name    string
	user    string
	avatar  string
	client  *http.Client
	limit   limiter
	mu      sync.Mutex // guards what follows
	refused refusal    // of the first message that was refused last
}

// refusal is what Discord did not take: the embeds of the notification with that id,
// or, as far as is known, the file that came with them.
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

// WithName sets the name of the notifier in logs and answers; "discord" unless set.
func WithName(name string) Option { return func(o *options) { o.name = name } }

// WithUsername sets the name under which messages appear: up to 80 characters
// without "clyde" and "discord", which Discord refuses. "LaneSwap" unless set; ""
// leaves the name that the webhook has in Discord.
func WithUsername(name string) Option { return func(o *options) { o.user = name } }

// WithAvatarURL sets the address of the picture beside the messages, http or https.
// Unless set, or with "", it is the picture that the webhook has in Discord.
func WithAvatarURL(address string) Option { return func(o *options) { o.avatar = address } }

// WithAPIBase sets where the API is instead of https://discord.com: scheme, host, and
// a path in front of /api when there is one. It is for proxies and stand-ins, and may
// be http, which shows the token to the network between. "" changes nothing.
func WithAPIBase(base string) Option { return func(o *options) { o.base = base } }

// WithHTTPClient sets the client that makes the requests: its transport, proxy and
// timeout. Redirects are not followed whatever it says, and its jar is not used. nil
// changes nothing.
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
		copied := *o.client
		client = &copied
	}
	// A redirect would carry the message, and the token in Referer, to somewhere else.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	return &Notifier{to: to, name: o.name, user: o.user, avatar: o.avatar, client: client}, nil
}

// transport is that of net/http, in connections of its own.
func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // somebody replaced it, and will know why
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
		return fmt.Errorf("%w: the username has nothing to see in it", ErrInvalidOption)
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
			return fmt.Errorf("%w: the avatar's URL must be http or https", ErrInvalidOption)
		}
	}
	return nil
}

// Name is what the notifier is called in logs, in answers and in the storage.
func (n *Notifier) Name() string { return n.name }

// String is the name: the rest is secret.
func (n *Notifier) String() string { return n.name }

// GoString is the name: the rest is secret.
func (n *Notifier) GoString() string { return "discord.Notifier(" + n.name + ")" }

// Notify posts the notification as one message and gives its id to Receipt. It makes
// one request, two when Discord refuses the first message as such, and none while
// a wait that was asked for runs.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	if err := n.limit.ask(time.Now()); err != nil {
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
		if err := n.limit.ask(time.Now()); err != nil {
			return err // the plain text comes when Discord takes something again
		}
	}
	msg, err := n.plain(note, !refused.file)
	if err != nil {
		return laneswap.Refused(err)
	}
	out := n.post(ctx, msg)
	switch {
	case out.refused && msg.file:
		// It may be the file: the next try is without.
		n.remember(refusal{note.ID, true})
		return out.err
	case out.refused:
		n.remember(refusal{})
		return laneswap.Refused(out.err)
	}
	return n.done(note, out)
}

// done hands out what the message is called, or why there is none.
func (n *Notifier) done(note laneswap.Notification, out outcome) error {
	if out.err == nil {
		n.remember(refusal{})
		note.Receipt(out.id)
	}
	return out.err
}

// remember notes what Discord refused, so that when the plain text has to wait, or
// fails, that is not tried again before it.
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
