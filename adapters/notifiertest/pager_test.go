package notifiertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

// Pager tells a paging service. Its URL holds a token.
type Pager struct {
	url    string
	client *http.Client
}

// NewPager makes a Pager; nothing is sent yet.
func NewPager(url string) *Pager {
	return &Pager{url, &http.Client{
		// A redirect would take the message elsewhere, and a 307 the token with it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name is what the Pager is called in logs, in answers and in the storage.
func (p *Pager) Name() string { return "pager" }

// Notify sends one message, once.
func (p *Pager) Notify(ctx context.Context, n laneswap.Notification) error {
	body, err := json.Marshal(map[string]any{
		"title":    cut(n.Title, 200),
		"text":     cut(n.Text, 4000),
		"resolved": n.Event.Kind == laneswap.EventRecovered,
		"incident": n.Event.Incident, // the same in the alarm and in what ends it
		"dedup":    n.ID,             // the same when this is tried again
	})
	if err != nil {
		return laneswap.Refused(errors.New("the message cannot be written as JSON"))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return laneswap.Permanent(errors.New("the URL cannot be used")) // err repeats it
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	if err != nil {
		return errors.New("the pager cannot be reached") // err holds the URL
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 { // a 101: the body is the bare connection, which no context ends
		return fmt.Errorf("the pager answers %d", resp.StatusCode)
	}
	// To its end, so that the connection can be used again, but not for ever.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))

	switch err := fmt.Errorf("the pager answers %d", resp.StatusCode); resp.StatusCode {
	case 200, 201, 202, 204:
		var page struct{ ID string }
		if json.Unmarshal(answer, &page) == nil {
			n.Receipt(page.ID)
		}
		return nil
	case 400, 413, 422: // this message, whenever it comes
		return laneswap.Refused(err)
	case 401, 403, 404, 410: // no message any more
		return laneswap.Permanent(err)
	case 429, 503:
		after := resp.Header.Get("Retry-After")
		if seconds, convErr := strconv.ParseUint(after, 10, 32); convErr == nil {
			return laneswap.RetryAfter(err, time.Duration(seconds)*time.Second)
		}
		if at, timeErr := http.ParseTime(after); timeErr == nil {
			return laneswap.RetryAfter(err, time.Until(at))
		}
		return err
	default:
		return err
	}
}

// cut returns at most n bytes of s, cut between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func TestPager_keepsTheContract(t *testing.T) {
	t.Parallel()
	notifiertest.Run(t, notifiertest.Target{
		HTTP: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
			return NewPager(s.URL + "/pages?token=" + s.Secret("token"))
		},
		Receipt: "4711", // what the stand-in calls each message, unless Target.OK says otherwise
	})
}
