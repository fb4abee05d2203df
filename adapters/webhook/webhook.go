// Package webhook is a notifier that posts notifications as JSON to a URL.
//
//	n, err := webhook.New("https://hooks.example.org/laneswap", webhook.WithSecret(secret))
//	m := laneswap.NewManager(laneswap.WithNotifier(n))
//
// # The message
//
// The Notifier makes one POST per notification, with Content-Type application/json.
// Times are RFC 3339 in UTC, durations are seconds, absent values are null:
//
//	{
//	  "id": "...",            the same in each attempt with the same content
//	  "kind": "event",        event digest mass_silence flapping reminder test
//	  "title": "billing is stale",
//	  "text": "billing (billing@web-1) is stale, was healthy, silent since ...",
//	  "finding": null,        for mass_silence: what LaneSwap found out about itself
//	  "attempt": 1,
//	  "items": [{             one per service; several in a digest and a mass_silence
//	    "event": {"id", "sequence", "kind", "service", "name", "tags", "from", "to", "message",
//	              "timestamp", "incident", "started_at", "silent_since", "cause", "duration"},
//	    "earlier": [],        events before it that were not sent before, oldest first
//	    "flapping": 0,        transitions in the last 30 minutes, if the service is flapping
//	    "reminder": null,     for a reminder: how long the service has been bad
//	    "text": "..."
//	  }]
//	}
//
// A digest may hold 10,000 items, some megabytes. Texts come from services: escape
// them for the place where you show them. A message may arrive twice when an answer
// was lost: its id, or the ids of its events, are then the same. In Go the JSON
// decodes into a laneswap.Notification.
//
// # The answer
//
// Any 2xx within 30 seconds accepts the message. If its body is a JSON object with an
// "id", a string or a number, LaneSwap stores that with the notice. 400, 413, 414, 422
// and 431 refuse this message for good. 401, 403, 404, 405, 410 and 415 disable the
// notifier. After any other answer the Manager retries for 24 hours, and obeys
// Retry-After. The Notifier follows no redirects: they would send the message and its
// headers to another server.
//
// # The signature
//
// With WithSecret each POST has the headers LaneSwap-Timestamp, seconds since 1970,
// and LaneSwap-Signature, "sha256=" and the HMAC-SHA256 of timestamp, "." and body in
// hexadecimal digits. LaneSwap-Notice-Id is the id of the message. A server in Go
// calls Verify. In other languages: compute the HMAC over the body before parsing it,
// compare in constant time, and refuse timestamps more than five minutes off.
//
// # Networks
//
// The URL may be set by somebody who must not reach the network of LaneSwap. So
// without WithPrivateNetworks the Notifier connects to public addresses only: not to
// loopback, private, link-local and reserved ones, nor to cloud metadata services. It
// checks the address that it connects to, after the DNS lookup, so a name that changes
// its address does not help. It does not use the proxies of the environment
// (HTTPS_PROXY and such), because a proxy connects to any address.
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
	// maxAnswer bounds what is read of an answer. A longer one costs the connection.
	maxAnswer = 64 << 10
	// answerTime bounds the wait for the body of an answer: the status has already said
	// whether the message was accepted.
	answerTime = 5 * time.Second
)

// Notifier posts notifications as JSON. Use New to create one. It is safe for
// concurrent use and needs no Close: idle connections end by themselves.
type Notifier struct {
	url    *url.URL // may hold secrets
	name   string
	secret string
	header http.Header
	client *http.Client
	open   bool // to private networks
}

// New returns a Notifier that posts to a URL, http or https, which may hold a user and
// a password. It makes no connection. Its error matches laneswap.ErrInvalidOption and
// names the invalid option; it shows neither the URL nor a secret.
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

// parse parses the URL. Its errors do not show it.
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
			return nil, invalid("url", "has an invalid port")
		}
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

func invalid(field, problem string) error {
	return &laneswap.ValidationError{Field: "webhook " + field, Problem: problem, Err: laneswap.ErrInvalidOption}
}

// Name returns the notifier's name in logs, API answers and the storage: "webhook", or
// that of WithName.
func (n *Notifier) Name() string { return n.name }

// Format writes the name only, for every verb: the URL may hold secrets.
func (n Notifier) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "webhook notifier %q", n.name) }

// Notify posts the notification once, and passes the id in the answer to Receipt.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	if ctx.Err() != nil {
		return httppost.Failure(ctx, ctx.Err())
	}
	body, err := json.Marshal(note)
	if err != nil {
		return laneswap.Refused(errors.New("the message cannot be encoded as JSON"))
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

// request returns the POST. It has no Idempotency-Key header: with one, net/http would
// retry by itself.
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

// printable returns an id as the value of a header: escaped as in a URL where it is not
// printable ASCII, and cut.
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
