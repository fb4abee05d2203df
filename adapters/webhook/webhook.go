// Package webhook is a notifier that posts notices as JSON to an address.
//
//	n, err := webhook.New("https://hooks.example.org/laneswap", webhook.WithSecret(secret))
//	m := laneswap.NewManager(laneswap.WithNotifier(n))
//
// # The message
//
// One POST per notice, with Content-Type application/json. Times are RFC 3339 in
// UTC, durations seconds, what is absent is null:
//
//	{
//	  "id": "...",            the same each time that it is tried with the same content
//	  "kind": "event",        event digest mass_silence flapping reminder test
//	  "title": "billing is stale",
//	  "text": "billing (billing@web-1) is stale, was healthy, silent since ...",
//	  "finding": null,        of mass_silence: what LaneSwap found out about itself
//	  "attempt": 1,
//	  "items": [{             one per service; one, except of digests and mass silence
//	    "event": {"id", "sequence", "kind", "service", "name", "tags", "from", "to", "message",
//	              "timestamp", "incident", "started_at", "silent_since", "cause", "duration"},
//	    "earlier": [],        events before it that were not told before, oldest first
//	    "flapping": 0,        transitions in the last 30 minutes, when they are too many
//	    "reminder": null,     for how long it has been bad, when that is all there is to tell
//	    "text": "..."
//	  }]
//	}
//
// A digest may hold 10,000 items, some megabytes. Texts come from services: escape
// them for where you show them. A message may come twice when an answer was lost:
// its id, or the ids of its events, say that it is the same. In Go it decodes into a
// laneswap.Notification.
//
// # The answer
//
// Any 2xx within 30 seconds takes the message; "id" of a JSON object in its body, a
// string or a number, is kept with the notice as what the receiver calls it. 400,
// 413, 414, 422 and 431 refuse this message for good. 401, 403, 404, 405, 410 and
// 415 say that no message will be taken: the notifier is disabled. Everything
// else is tried again for 24 hours, not before Retry-After says so. Redirects are not
// followed: they would take the message and its headers to who knows whom.
//
// # The signature
//
// With WithSecret each post carries LaneSwap-Timestamp, seconds since 1970, and
// LaneSwap-Signature, "sha256=" and the HMAC-SHA256 of timestamp, "." and body in
// hexadecimal digits. LaneSwap-Notice-Id is the id of the message. A receiver
// in Go calls Verify; in other languages: compute the same over the body as it came,
// before parsing it, compare in constant time, and refuse timestamps that are more
// than five minutes off.
//
// # Networks
//
// An address may be set by somebody who must not reach the network that LaneSwap is
// in. So unless WithPrivateNetworks is given, nothing is posted to loopback, private,
// link-local and other addresses that are not public, cloud metadata services
// included. What is checked is the address that is connected to, after the name was
// looked up, so that a name that changes its address does not help; and the proxies
// of the environment (HTTPS_PROXY and such) are not used, for a proxy connects to
// what it likes.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/httppost"
)

const (
	// maxAnswer bounds what is read of an answer. More than that costs the connection.
	maxAnswer = 64 << 10
	// answerTime bounds how long the body of an answer is waited for: the header has
	// said whether the message was taken.
	answerTime = 5 * time.Second
)

// Notifier posts notices as JSON. It is made by New, safe for concurrent use, and
// has nothing to close: its connections end by themselves when they are not used.
type Notifier struct {
	url    *url.URL // with what it was given, secrets included
	name   string
	secret string
	header http.Header
	client *http.Client
	open   bool // to private networks
}

// New makes a Notifier that posts to a URL, http or https, which may hold a user
// and a password. It connects to nobody. Its error matches
// laneswap.ErrInvalidOption, says which option cannot be used, and repeats neither
// the URL nor a secret.
func New(address string, opts ...Option) (*Notifier, error) {
	n := &Notifier{name: "webhook", header: http.Header{}}
	var err error
	if n.url, err = parse(address); err != nil {
		return nil, err
	}
	for _, opt := range opts {
		if err := opt(n); err != nil {
			return nil, err
		}
	}
	if n.client == nil {
		if why := named(n.url.Hostname()); why != "" && !n.open {
			return nil, &laneswap.ValidationError{
				Field: "webhook url", Problem: "names an address that is " + why + ": " + howToOpen,
				Err: errors.Join(laneswap.ErrInvalidOption, ErrPrivateNetwork),
			}
		}
		n.client = &http.Client{Transport: transport(n.open, newDialer())}
	}
	if n.header.Get("User-Agent") == "" {
		n.header.Set("User-Agent", "LaneSwap/"+laneswap.Version)
	}
	n.client = httppost.Client(n.client)
	return n, nil
}

// parse reads the URL. What is wrong with it is said without repeating it.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return nil, invalid("url", "is empty")
	case err != nil:
		return nil, invalid("url", "cannot be parsed")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, invalid("url", "does not begin with https:// or http://")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, invalid("url", "has no host")
	}
	if port := u.Port(); port != "" {
		if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
			return nil, invalid("url", "has a port that is none")
		}
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

func invalid(field, problem string) error {
	return &laneswap.ValidationError{Field: "webhook " + field, Problem: problem, Err: laneswap.ErrInvalidOption}
}

// Name is what the notifier is called in logs and answers: "webhook", or what
// WithName says.
func (n *Notifier) Name() string { return n.name }

// Format writes which notifier it is, whatever the verb: the URL holds secrets.
func (n Notifier) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "webhook notifier %q", n.name) }

// Notify posts one message, once.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	if ctx.Err() != nil {
		return httppost.Failure(ctx, ctx.Err())
	}
	body, err := json.Marshal(note)
	if err != nil {
		return laneswap.Refused(errors.New("the message cannot be written as JSON"))
	}
	answer, err := httppost.Do(n.client, n.request(ctx, note.ID, body), maxAnswer, answerTime)
	if err != nil {
		return err
	}
	if err := judge(answer, time.Now()); err != nil {
		return err
	}
	if id := receipt(answer.Body); id != "" {
		note.Receipt(id)
	}
	return nil
}

// request is a message on its way. It has no Idempotency-Key: with one, net/http
// would send it again by itself.
func (n *Notifier) request(ctx context.Context, id string, body []byte) *http.Request {
	u := *n.url
	req := &http.Request{
		Method: http.MethodPost, URL: &u, Host: u.Host, Header: maps.Clone(n.header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(HeaderNoticeID, printable(id))
	if n.secret != "" {
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		req.Header.Set(HeaderTimestamp, stamp)
		req.Header.Set(HeaderSignature, sign(n.secret, stamp, body))
	}
	return req.WithContext(ctx)
}

// printable is an id as the value of a header: what is not printable ASCII is
// escaped as in a URL, and it is cut.
func printable(id string) string {
	var b strings.Builder
	for i := 0; i < len(id) && b.Len() < 500; i++ {
		if c := id[i]; c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		}
	}
	return b.String()
}
