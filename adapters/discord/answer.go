package discord

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

const (
	// maxAnswer is how much of an answer is read. Discord repeats the message in it.
	maxAnswer = 1 << 20
	// maxDetail is how much of what Discord says is in an error.
	maxDetail = 200
	// saysLimited is what every 429 says, and its error as well.
	saysLimited = "You are being rate limited"
)

// userAgent is in the form that Discord demands of everyone who uses its API.
const userAgent = "DiscordBot (https://github.com/laneswap/laneswap, " + laneswap.Version + ") LaneSwap/" + laneswap.Version

// outcome is what became of one request.
type outcome struct {
	id      string // of the message, when err is nil; it may be unknown
	err     error  // as Notify returns it
	refused bool   // the message as such was refused: err says why
	field   bool   // for a field of it, not for a file
}

// post makes one request.
func (n *Notifier) post(ctx context.Context, msg message) outcome {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.to.url, bytes.NewReader(msg.body))
	if err != nil {
		return outcome{err: errors.New("discord: the request cannot be made")} // the URL was checked
	}
	req.Header.Set("Content-Type", msg.contentType)
	req.Header.Set("User-Agent", userAgent)
	resp, err := n.client.Do(req)
	if err != nil {
		return outcome{err: n.failure(ctx, err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 {
		// A 101 that nobody asked for: the body is the bare connection, which would be
		// read until it ends, whatever the context says.
		return outcome{err: fmt.Errorf("discord: it answered %d, which was not asked for; is that Discord?", resp.StatusCode)}
	}
	// Read to its end, so that the connection can be used again.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	// Also when the body broke off: the headers have come whole.
	wait := n.limit.heed(resp.StatusCode, resp.Header, body, time.Now())
	if err != nil && resp.StatusCode < 300 {
		// Discord has the message or not; only its id would have said so.
		return outcome{err: n.failure(ctx, err)}
	}
	return n.judge(resp, body, wait)
}

// judge says what an answer means. body may be a part of it; wait is how long it asks
// to wait, 0 when it does not.
func (n *Notifier) judge(resp *http.Response, body []byte, wait time.Duration) outcome {
	status := resp.StatusCode
	says := func(what string) error {
		return fmt.Errorf("discord: %s: it answered %d%s", what, status, n.detail(body))
	}
	failed := func(err error) outcome {
		if wait > 0 {
			err = laneswap.RetryAfter(err, wait)
		}
		return outcome{err: err}
	}
	switch {
	case status == http.StatusNoContent:
		// Not what wait=true asks for, but a success: to send it again would only
		// tell it twice.
		return outcome{}
	case status >= 200 && status < 300:
		id, ok := messageID(body)
		if !ok {
			return outcome{err: fmt.Errorf("discord: it answered %d without a message; is that Discord?", status)}
		}
		return outcome{id: id}
	case status < 400:
		return outcome{err: fmt.Errorf("discord: it answered %d, a redirect, which is not followed: the URL or the base of the API is wrong, or a proxy stands between", status)}
	}
	if status != http.StatusTooManyRequests && !isObject(body) {
		// The API answers in JSON: this is somebody in between, and may pass.
		return failed(fmt.Errorf("discord: it answered %d%s; is that Discord?", status, kind(resp, body)))
	}
	switch status {
	case http.StatusTooManyRequests:
		err := fmt.Errorf("%w%s", ErrRateLimited, n.detail(body))
		return outcome{err: laneswap.RetryAfter(err, wait)}
	case http.StatusNotFound, http.StatusGone:
		return outcome{err: laneswap.Permanent(says("there is no such webhook, or no such thread"))}
	case http.StatusUnauthorized, http.StatusForbidden:
		return outcome{err: laneswap.Permanent(says("the webhook may not be used with this token"))}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return outcome{err: says("the message was refused"), refused: true, field: blamesField(body)}
	}
	return failed(says("it failed"))
}

// kind is what an answer is that is no JSON, for an error about it.
func kind(resp *http.Response, body []byte) string {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return ", and nothing else"
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html"), body[0] == '<':
		return " with a page"
	}
	return ", not in JSON"
}

// isObject reports whether a body is a whole JSON object, as all that Discord says
// of errors is.
func isObject(body []byte) bool {
	fields, err := object(body)
	return err == nil && fields != nil
}

// messageID finds the id in a message.
func messageID(body []byte) (string, bool) {
	fields, err := object(body)
	if err != nil {
		return "", false
	}
	id := strings.Trim(string(fields["id"]), `"`)
	_, err = strconv.ParseUint(id, 10, 64)
	return id, err == nil
}

// object reads the fields of a JSON object.
func object(body []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	return fields, nil
}

// blamesField reports whether a refusal names what is wrong, and that is no file.
func blamesField(body []byte) bool {
	fields, err := object(body)
	if err != nil {
		return false
	}
	tree, _ := object(fields["errors"])
	maps.DeleteFunc(fields, func(key string, _ json.RawMessage) bool {
		return key == "code" || key == "message" || key == "errors"
	})
	maps.Copy(fields, tree) // versions of the API below 8 have no tree, but the fields at the top
	for key := range fields {
		if strings.HasPrefix(key, "file") || strings.HasPrefix(key, "attachment") || key == "_errors" {
			return false
		}
	}
	return len(fields) > 0
}

// detail is what Discord says of an error, in short, for people: its code, its
// message, and the first field that it names. It is "" when the body is not Discord's,
// and when it repeats the URL.
func (n *Notifier) detail(body []byte) string {
	var answer struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Errors  json.RawMessage `json:"errors"`
		Embeds  []string        `json:"embeds"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var parts []string
	if answer.Code != 0 {
		parts = append(parts, "code "+strconv.Itoa(answer.Code))
	}
	parts = append(parts, answer.Message, firstError(answer.Errors, ""))
	if len(answer.Embeds) > 0 {
		parts = append(parts, "embeds: "+strings.Join(answer.Embeds, ", "))
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	text := strings.TrimSuffix(words(strings.Join(parts, ", "), maxDetail), ".")
	if text == "" || text == saysLimited || n.reveals(text) {
		return ""
	}
	return ": " + text
}

// firstError finds the first complaint in Discord's tree of them: "embeds.0.title:
// Must be 256 or fewer in length."
func firstError(tree json.RawMessage, path string) string {
	fields, err := object(tree)
	if err != nil || strings.Count(path, ".") > 8 {
		return ""
	}
	var complaints []struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(fields["_errors"], &complaints) == nil && len(complaints) > 0 {
		return strings.TrimPrefix(path+": "+complaints[0].Message, ": ")
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if found := firstError(fields[key], strings.TrimPrefix(path+"."+key, ".")); found != "" {
			return found
		}
	}
	return ""
}

// reveals reports whether a text shows the token, or a good part of it.
func (n *Notifier) reveals(text string) bool {
	const part = 8
	token := n.to.token
	if len(token) <= part {
		return strings.Contains(text, token)
	}
	for i := range len(token) - part + 1 {
		if strings.Contains(text, token[i:i+part]) {
			return true
		}
	}
	return false
}

// failure is why a request got no answer. What net/http says holds the URL, and what
// a proxy or a transport says may: so the error is another one, made of what is known
// of the cause, that matches context.Canceled and context.DeadlineExceeded only.
func (n *Notifier) failure(ctx context.Context, err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("discord: %w", context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("discord: no answer in time: %w", context.DeadlineExceeded)
	}
	var (
		dns  *net.DNSError
		op   *net.OpError
		cert *tls.CertificateVerificationError
		host x509.HostnameError
		unk  x509.UnknownAuthorityError
		rec  tls.RecordHeaderError
		text string
	)
	switch {
	case errors.As(err, &dns):
		text = "the host is not known: " + strings.TrimSpace("lookup "+dns.Name+": "+dns.Err)
	case errors.As(err, &cert), errors.As(err, &host), errors.As(err, &unk):
		text = "the certificate is not trusted"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &rec):
		text = "it does not speak https"
	case errors.As(err, &op):
		text = "the network failed: " + op.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		text = "the connection was closed before the answer"
	default:
		text = "the request failed"
	}
	if n.reveals(text) {
		text = "the request failed"
	}
	return errors.New("discord: " + words(text, maxDetail))
}
