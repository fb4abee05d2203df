package notifiertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// flaws are the rules that a sender can break, each with the test that must fail and,
// behind a colon, a part of what it must say.
var flaws = map[string]string{
	"takes every answer for a yes":               "Answers_are/500",
	"refuses what cannot be a receipt":           "Answers_are/204",
	"takes a 404 for trouble that passes":        "Answers_are/404",
	"takes a 401 for trouble that passes":        "Answers_are/401",
	"gives a message up for a 500":               "Answers_are/500",
	"gives a message up for a 408":               "Answers_are/408",
	"tries a 400 for ever":                       "Answers_are/400",
	"tries a 413 for ever":                       "Answers_are/413",
	"is disabled by a 429":                       "Answers_are/429",
	"does not know Retry-After":                  "Answers_are/429_with_seconds",
	"does not know Retry-After of 503":           "", // it need not
	"does not know dates":                        "Answers_are/429_with_a_date",
	"takes seconds for milliseconds":             "Answers_are/429_with_seconds",
	"is disabled by a reset":                     "Answers_are/reset_without_an_answer",
	"is disabled by a refused connection":        "Answers_are/nobody_listens",
	"gives a message up for a broken answer":     "Answers_are/half_a_header",
	"reads endless bodies":                       "Answers_are/an_endless_body",
	"follows redirects":                          "Redirects_areNotFollowed",
	"tries again by itself":                      "Answers_are/500: 2 requests within one Notify",
	"shows the URL in errors":                    "Answers_are/nobody_listens: the error holds canary-path",
	"wraps an error that holds the URL":          "Answers_are/nobody_listens: the error holds canary-path",
	"repeats the receiver's answer":              "Answers_are/500: the error holds canary-",
	"logs the URL":                               "Answers_are/200: the log holds canary-path",
	"logs the URL by slog's default":             "Answers_are/200: the log holds canary-path",
	"sends its URL along":                        "Kinds_areAllTaken: the message holds canary-path",
	"plants its secret nowhere":                  "Secrets_areUsed",
	"repeats the receiver's control characters":  "Answers_are/500: is not valid UTF-8",
	"repeats the receiver's pages":               "Answers_are/500_with_an_endless_body: bytes long",
	"reads the connection after a 101":           "Answers_are/101",
	"leaves answers unread":                      "Connection_isUsedAgain",
	"sends in the background":                    "Messages_arriveInOrderBeforeNotifyReturns",
	"sends one message late":                     "Messages_arriveInOrderBeforeNotifyReturns",
	"knows its kinds only":                       "Kinds_areAllTaken",
	"changes the items":                          "Kinds_areAllTaken: the notification was changed",
	"changes the tags":                           "Kinds_areAllTaken: the notification was changed",
	"is not safe for concurrent use":             "Calls_atTheSameTimeAreSafe",
	"gives no receipt":                           "Receipt_isGiven",
	"ignores contexts":                           "Context_thatEndsEndsAHang",
	"sends though the context has ended":         "Context_thatHasEndedSendsNothing",
	"hides why it gave up":                       "Context_thatEndsEndsAHang",
	"gives a message up when the context ends":   "Context_thatEndsEndsAHang",
	"leaves a goroutine":                         "Goroutines_end",
	"refuses long messages":                      "Limits_aLongMessage",
	"counts on fewer items":                      "Limits_aDigestOfTenThousand",
	"counts on text":                             "Limits_noText",
	"counts on more than spaces":                 "Limits_onlySpaces",
	"sends invalid UTF-8":                        "Limits_invalidUTF8",
	"writes texts into headers":                  "Limits_controlCharacters",
	"counts on times of this century":            "Limits_timesAtTheEdges",
	"cuts inside of characters":                  "Limits_aLongMessage",
	"refuses markup":                             "Limits_markup",
	"refuses words without end":                  "Limits_oneWordWithoutEnd",
	"local: ignores ended contexts":              "Context_thatHasEndedSendsNothing",
	"local: says nothing of failures":            "Failure_isReported",
	"local: shows the secret when it fails":      "Secrets_areInNoErrorAndNoLog",
	"local: shows the secret when it is cut off": "Secrets_areInNoErrorAndNoLog",
	"local: logs the secret":                     "Secrets_areInNoErrorAndNoLog",
	"local: hangs for ever":                      "Context_thatEndsEndsAHang",
	"local: loses every second message":          "Messages_arriveInOrderBeforeNotifyReturns",
}

// sender is a notifier that posts JSON and keeps the contract, but for one flaw.
type sender struct {
	url, key string
	client   *http.Client
	log      *slog.Logger
	flaw     string
	kinds    map[laneswap.NoticeKind]bool

	mu    sync.Mutex // guards what follows
	held  []byte
	alone sync.Mutex
}

func newSender(url, key string, log *slog.Logger, flaw string) *sender {
	s := &sender{url: url, key: key, log: log, flaw: flaw, kinds: map[laneswap.NoticeKind]bool{}}
	s.client = &http.Client{
		Transport:     &http.Transport{DialContext: (&net.Dialer{}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if flaw == "follows redirects" {
		s.client.CheckRedirect = nil
	}
	for _, kind := range []laneswap.NoticeKind{laneswap.NoticeEvent, laneswap.NoticeDigest, laneswap.NoticeMassSilence, laneswap.NoticeFlapping, laneswap.NoticeReminder, laneswap.NoticeTest} {
		s.kinds[kind] = true
	}
	return s
}

func (s *sender) is(flaw string) bool { return s.flaw == flaw }

func (s *sender) Notify(ctx context.Context, n laneswap.Notification) error {
	if s.is("is not safe for concurrent use") {
		if !s.alone.TryLock() {
			return errors.New("another call is running")
		}
		defer s.alone.Unlock()
	}
	body, err := s.encode(n)
	if err != nil {
		return err
	}
	switch s.flaw {
	case "sends though the context has ended":
		if ctx.Err() != nil {
			_, _ = s.send(context.WithoutCancel(ctx), n, body)
			return ctx.Err()
		}
	case "sends in the background":
		go func() { _, _ = s.send(context.WithoutCancel(ctx), n, body) }()
		return nil
	case "sends one message late":
		s.mu.Lock()
		body, s.held = s.held, body
		s.mu.Unlock()
		if body == nil {
			return nil
		}
	case "ignores contexts":
		ctx = context.WithoutCancel(ctx)
	case "leaves a goroutine":
		go func() { select {} }()
	case "logs the URL":
		s.log.Info("sending", "to", s.url)
	case "logs the URL by slog's default":
		slog.Info("sending", "to", s.url)
	}
	id, err := s.send(ctx, n, body)
	if s.is("tries again by itself") && err != nil && ctx.Err() == nil {
		id, err = s.send(ctx, n, body)
	}
	if err == nil && !s.is("gives no receipt") {
		n.Receipt(id)
	}
	return err
}

// encode makes the body.
func (s *sender) encode(n laneswap.Notification) ([]byte, error) {
	tooLong := func(limit int) bool { return len(n.Text) > limit }
	switch {
	case s.is("knows its kinds only") && !s.kinds[n.Kind]:
		return nil, errors.New("unknown kind")
	case s.is("changes the items"):
		n.Items[0].Text = "cut"
	case s.is("changes the tags") && len(n.Event.Tags) > 0:
		n.Event.Tags[0] = "cut"
	case s.is("refuses long messages") && tooLong(30_000), s.is("refuses words without end") && len(n.Event.Name) == 100_000:
		return nil, laneswap.Refused(errors.New("too long"))
	case s.is("counts on fewer items"):
		_ = [100]int{}[len(n.Items)-1]
	case s.is("counts on text"):
		_ = n.Text[0]
	case s.is("counts on more than spaces") && n.Text != "" && n.Event.Name != "":
		_ = strings.Fields(n.Event.Name)[0]
	case s.is("sends invalid UTF-8"):
		return []byte(n.Event.Name + n.Text), nil
	case s.is("cuts inside of characters") && tooLong(1000):
		return []byte(n.Text[:1000]), nil
	case s.is("refuses markup") && strings.Contains(n.Text, "@everyone"):
		return nil, errors.New("no mentions please")
	case s.is("counts on times of this century") && n.Event.At.Year() > 2100:
		return nil, errors.New("no such year")
	case s.is("sends its URL along"):
		n.Finding = s.url
	}
	return json.Marshal(n)
}

// send posts once.
func (s *sender) send(ctx context.Context, n laneswap.Notification, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return "", errors.New("the URL cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if s.is("plants its secret nowhere") {
		req.URL.Path, req.URL.RawQuery = "/", ""
		req.Header.Del("Authorization")
	}
	if s.is("writes texts into headers") {
		name, value, ok := strings.Cut(strings.ReplaceAll(n.ID, "\r\n", ";"), ";")
		if _, value, _ = strings.Cut(value, ": "); ok && name != "" {
			req.Header.Set("X-Header", value)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "", s.broken(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 && !s.is("reads the connection after a 101") {
		return "", s.judge(resp, nil)
	}
	var text []byte
	if !s.is("leaves answers unread") {
		limit := int64(64 << 10)
		if s.is("reads endless bodies") {
			limit = 1 << 60
		}
		text, _ = io.ReadAll(io.LimitReader(resp.Body, limit))
	}
	var message struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &message); err != nil && s.is("refuses what cannot be a receipt") {
		return "", laneswap.Refused(errors.New("no receipt"))
	}
	return message.ID, s.judge(resp, text)
}

// broken is the error of a request that had no answer.
func (s *sender) broken(ctx context.Context, err error) error {
	var refused *net.OpError
	switch {
	case s.is("shows the URL in errors"):
		return err
	case s.is("wraps an error that holds the URL"):
		return &hiding{err}
	case s.is("is disabled by a refused connection") && errors.As(err, &refused) && refused.Op == "dial":
		return laneswap.Permanent(errors.New("the receiver is away"))
	case ctx.Err() != nil && s.is("hides why it gave up"):
		return errors.New("the time is up")
	case ctx.Err() != nil && s.is("gives a message up when the context ends"):
		return laneswap.Refused(fmt.Errorf("the time is up: %w", ctx.Err()))
	case ctx.Err() != nil:
		return fmt.Errorf("no answer: %w", ctx.Err())
	case s.is("is disabled by a reset") && errors.As(err, &refused) && refused.Op == "read":
		return laneswap.Permanent(errors.New("the connection was reset"))
	case s.is("gives a message up for a broken answer") && !errors.As(err, &refused):
		return laneswap.Refused(errors.New("no answer"))
	}
	return errors.New("the receiver cannot be reached")
}

// hiding is an error with a harmless text.
type hiding struct{ err error }

func (h *hiding) Error() string { return "the receiver cannot be reached" }
func (h *hiding) Unwrap() error { return h.err }

// judge says what an answer means.
func (s *sender) judge(resp *http.Response, text []byte) error {
	code := resp.StatusCode
	if s.is("takes every answer for a yes") || code/100 == 2 {
		return nil
	}
	err := fmt.Errorf("the receiver answers %d", code)
	switch {
	case s.is("repeats the receiver's answer"):
		err = fmt.Errorf("%w: %s", err, laneswap.Sanitize(string(text)))
	case s.is("repeats the receiver's control characters"):
		err = fmt.Errorf("%w: %.1500s", err, text)
	case s.is("repeats the receiver's pages"):
		err = fmt.Errorf("%w: %s", err, laneswap.Sanitize(string(text)))
	case s.is("gives a message up for a 500") && code == 500, s.is("gives a message up for a 408") && code == 408:
		return laneswap.Refused(err)
	case s.is("is disabled by a 429") && code == 429:
		return laneswap.Permanent(err)
	case s.is(fmt.Sprintf("takes a %d for trouble that passes", code)), s.is(fmt.Sprintf("tries a %d for ever", code)):
		return err
	}
	switch code {
	case 400, 413, 422:
		return laneswap.Refused(err)
	case 401, 403, 404, 410:
		return laneswap.Permanent(err)
	case 429, 503:
		if d, ok := s.delay(resp.Header.Get("Retry-After"), code); ok {
			return laneswap.RetryAfter(err, d)
		}
	}
	return err
}

func (s *sender) delay(text string, code int) (time.Duration, bool) {
	if s.is("does not know Retry-After") || s.is("does not know Retry-After of 503") && code == 503 {
		return 0, false
	}
	unit := time.Second
	if s.is("takes seconds for milliseconds") {
		unit = time.Millisecond
	}
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(n) * unit, true
	}
	at, err := http.ParseTime(text)
	if err != nil || s.is("does not know dates") {
		return 0, false
	}
	return time.Until(at), true
}

// writer is a notifier that records messages and keeps the contract, but for one flaw.
type writer struct {
	secret string
	log    *slog.Logger
	flaw   string

	mu   sync.Mutex // guards what follows
	text strings.Builder
	n    int
}

func (w *writer) Notify(ctx context.Context, n laneswap.Notification) error {
	if err := ctx.Err(); err != nil && w.flaw != "local: ignores ended contexts" {
		return err
	}
	if w.flaw == "local: logs the secret" {
		w.log.Info("writing", "with", w.secret)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	if w.n%2 == 0 && w.flaw == "local: loses every second message" {
		return nil
	}
	for _, item := range n.Items {
		fmt.Fprintf(&w.text, "%q %q\n", item.Event.Name, item.Text)
	}
	return nil
}

func (w *writer) delivered() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// failing makes a notifier that cannot deliver.
func (w *writer) failing() laneswap.Notifier {
	return laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
		switch w.flaw {
		case "local: says nothing of failures":
			return nil
		case "local: shows the secret when it fails":
			return fmt.Errorf("could not write with %s", w.secret)
		}
		return errors.New("could not write")
	})
}

// hanging makes a notifier whose receiver does not answer.
func (w *writer) hanging() laneswap.Notifier {
	return laneswap.NotifierFunc(func(ctx context.Context, _ laneswap.Notification) error {
		if w.flaw == "local: hangs for ever" {
			select {}
		}
		<-ctx.Done()
		if w.flaw == "local: shows the secret when it is cut off" {
			return fmt.Errorf("writing with %s: %w", w.secret, ctx.Err())
		}
		return ctx.Err()
	})
}
