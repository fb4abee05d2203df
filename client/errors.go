package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// ErrUnreachable is returned when no complete answer came: the server or the network is
// down, or the time was up. It also matches laneswap.ErrLaneSwap.
var ErrUnreachable error = unreachable{}

type unreachable struct{}

func (unreachable) Error() string { return "server not reachable" }

func (unreachable) Is(target error) bool { return target == laneswap.ErrLaneSwap }

// ResponseError is an answer that refuses a request. It wraps the error of the Manager, so
// that errors.Is and errors.As find the sentinel and the *laneswap.ValidationError. Other
// answers match laneswap.ErrLaneSwap.
type ResponseError struct {
	// StatusCode is the status of the HTTP answer.
	StatusCode int
	// Code is the short code of the problem, for example "service-not-found";
	// empty when the answer did not come from a LaneSwap server.
	Code string
	// Detail is the server's explanation, cleaned of control characters.
	Detail string
	// RetryAfter is the pause that the server asked for; zero for none.
	RetryAfter time.Duration
	// Err is the sentinel, the *laneswap.ValidationError, or laneswap.ErrLaneSwap.
	Err error
}

// Error returns the text of the Manager's error, or the status and detail of the answer.
func (e *ResponseError) Error() string {
	var invalid *laneswap.ValidationError
	switch {
	case errors.As(e.Err, &invalid):
		return invalid.Error()
	case e.Err != nil && e.Err != laneswap.ErrLaneSwap:
		// The detail may begin with the verb and the id, which the caller adds.
		text := e.Err.Error()
		if at := strings.Index(e.Detail, text); at >= 0 {
			return e.Detail[at:]
		}
		return text
	}
	text := fmt.Sprintf("server answered %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return strings.TrimSpace(text)
}

// Unwrap returns Err.
func (e *ResponseError) Unwrap() error { return e.Err }

const (
	maxDetail     = 1 << 10 // bytes of a detail that are kept
	maxRetryAfter = time.Hour
)

// problemError turns an answer's problem details into an error. kind is the
// sentinel of what was sent, for problems that name a field but no sentinel. A
// status of 0 is taken from the details.
func problemError(status int, header http.Header, body []byte, kind error) *ResponseError {
	e := &ResponseError{StatusCode: status, RetryAfter: retryAfter(header), Err: laneswap.ErrLaneSwap}
	var p struct {
		Status              int
		Code, Detail, Field string
	}
	if json.Unmarshal(body, &p) != nil {
		return e // a proxy's page, say
	}
	if e.StatusCode == 0 { // a problem in a stream has no other
		e.StatusCode = p.Status
	}
	e.Code = text.Cut(laneswap.Sanitize(p.Code), 64)
	e.Detail = text.Cut(laneswap.Sanitize(p.Detail), maxDetail)
	sentinel := laneswap.ErrorFromCode(p.Code)
	if sentinel != nil {
		e.Err = sentinel
	}
	if p.Field == "" {
		return e
	}
	if sentinel == nil {
		sentinel = kind
	}
	if sentinel != nil {
		field := text.Cut(laneswap.Sanitize(p.Field), 256)
		e.Err = &laneswap.ValidationError{
			Field: field, Problem: strings.TrimPrefix(strings.TrimPrefix(e.Detail, field), " "), Err: sentinel,
		}
	}
	return e
}

// retryAfter parses the header in both its forms. It returns at most an hour, so that a
// mistake of a server does not silence a service for good.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if text == "" {
		return 0
	}
	var d time.Duration
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		d = time.Duration(min(max(s, 0), maxRetryAfter.Seconds()) * float64(time.Second))
	} else if at, err := http.ParseTime(text); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), maxRetryAfter)
}

// transportError is ErrUnreachable with its cause.
type transportError struct {
	text  string
	cause error
}

func (e *transportError) Error() string { return e.text }

func (e *transportError) Unwrap() []error { return []error{ErrUnreachable, e.cause} }

// unanswered returns the error of a request without an answer. http.Client puts the
// whole URL into its errors, so unanswered unwraps them and hides secrets that a
// transport of the caller may have added.
func (c *Client) unanswered(cause error) error {
	for {
		var wrapped *url.Error
		if !errors.As(cause, &wrapped) {
			break
		}
		cause = wrapped.Err
	}
	detail := ErrUnreachable.Error() + ": " + cause.Error()
	clean := detail
	for _, secret := range c.secrets {
		clean = strings.ReplaceAll(clean, secret, "xxxxx")
	}
	if clean != detail {
		// The chain holds the secret too: it ends here.
		return &transportError{text: text.Cut(laneswap.Sanitize(clean), maxDetail), cause: ErrUnreachable}
	}
	return &transportError{text: text.Cut(laneswap.Sanitize(detail), maxDetail), cause: cause}
}

// failed wraps err once, at the public boundary, as the Manager does.
func failed(verb string, id laneswap.ServiceID, err error) error {
	if err == nil {
		return nil
	}
	if id == "" {
		return fmt.Errorf("laneswap: %s: %w", verb, err)
	}
	return fmt.Errorf("laneswap: %s %q: %w", verb, text.Cut(string(id), maxIDBytes), err)
}
