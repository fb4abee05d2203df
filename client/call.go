package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/wirejson"
)

const (
	maxIDBytes      = 128
	maxBodyBytes    = 64 << 10  // of a request: the limit of the server
	maxErrorBytes   = 256 << 10 // of a reported error: the limit of the server
	maxAnswerBytes  = 4 << 20   // of an answer about one service
	maxListingBytes = 64 << 20  // of one page
	maxProblemBytes = 64 << 10
	drainBytes      = 64 << 10 // read and dropped, so that the connection can be reused
)

// request is one call.
type request struct {
	method string
	path   []string // the segments after /api
	query  url.Values
	body   []byte
	prefer string
	// repeat allows net/http to send the request again when an idle connection turns
	// out to be closed: sending it twice does no harm.
	repeat bool
	stream bool  // the answer is a stream
	limit  int64 // of the answer
	kind   error // the sentinel for invalid content
	// patience is added to the timeout.
	patience time.Duration
}

// answer is a successful answer.
type answer struct {
	boot string // the id of the server's run
	body []byte
}

// call sends a request and reads the whole answer. A status other than 2xx becomes a
// *ResponseError; the answer has the boot id even then.
func (c *Client) call(ctx context.Context, r request) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	timeout := c.timeout + r.patience
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res, err := c.send(bounded, r)
	if err == nil {
		defer res.Body.Close()
		a := answer{boot: res.Header.Get(wirejson.BootHeader)}
		if err = readAnswer(res, r, &a); err == nil || errors.As(err, new(*ResponseError)) {
			return a, err
		}
	}
	switch {
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case bounded.Err() != nil:
		return answer{}, &transportError{
			text: fmt.Sprintf("%v: no answer within %v", ErrUnreachable, timeout), cause: context.DeadlineExceeded,
		}
	}
	return answer{}, c.unanswered(err)
}

// send sends a request and returns when the header of the answer has come.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://server/", body)
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = c.url(r), ""
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept", "application/json")
	if r.stream {
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Accept-Encoding", "identity") // compression would delay events
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.prefer != "" {
		req.Header.Set("Prefer", r.prefer)
	}
	if r.repeat {
		req.Header["Idempotency-Key"] = nil // known to net/http; not sent
	}
	res, err := c.http.Do(req)
	if err == nil && res.StatusCode < http.StatusOK {
		// An unexpected 101: its body is the bare connection, and reading it would ignore
		// the context.
		_ = res.Body.Close()
		return nil, fmt.Errorf("unexpected status %d", res.StatusCode)
	}
	return res, err
}

// url returns the address. It escapes each segment, since an id may hold characters with
// a meaning in a URL.
func (c *Client) url(r request) *url.URL {
	u := *c.base
	raw := c.base.EscapedPath() + "/api"
	u.Path += "/api"
	for _, segment := range r.path {
		u.Path += "/" + segment
		raw += "/" + url.PathEscape(segment)
	}
	u.RawPath = raw
	if len(r.query) > 0 {
		query := u.Query()
		for key, values := range r.query {
			query[key] = values
		}
		u.RawQuery = query.Encode()
	}
	return &u
}

func readAnswer(res *http.Response, r request, a *answer) error {
	limit := r.limit
	if limit == 0 {
		limit = maxAnswerBytes
	}
	ok := res.StatusCode >= 200 && res.StatusCode < 300
	if !ok {
		limit = maxProblemBytes
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if !ok {
		if int64(len(body)) > limit { // not problem details of LaneSwap
			_, _ = io.CopyN(io.Discard, res.Body, drainBytes)
			body = nil
		}
		return problemError(res.StatusCode, res.Header, body, r.kind)
	}
	if err != nil {
		return err
	}
	if int64(len(body)) > limit {
		return fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	a.body = body
	return nil
}

// decode decodes an answer.
func (c *Client) decode(a answer, into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return &ResponseError{StatusCode: http.StatusOK, Detail: "but not with an answer of LaneSwap", Err: laneswap.ErrLaneSwap}
	}
	return nil
}
