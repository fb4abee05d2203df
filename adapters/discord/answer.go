package discord

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/httppost"
)

const (
	// maxAnswer bounds what is read of an answer. Discord repeats the message in it.
	maxAnswer = 1 << 20
	// maxDetail bounds what an error quotes of an answer.
	maxDetail = 200
	// limitedText is the message of every 429; ErrRateLimited has said it already.
	limitedText = "You are being rate limited"
)

// userAgent has the form that Discord requires of clients of its API.
const userAgent = "DiscordBot (https://github.com/laneswap/laneswap, " + laneswap.Version + ") LaneSwap/" + laneswap.Version

// outcome is the result of one request.
type outcome struct {
	id      string // of the message, if err is nil; "" if unknown
	err     error  // for Notify to return
	refused bool   // Discord refused the message; err says why
	field   bool   // Discord blames a field of it, not a file
}

// post makes one request.
func (n *Notifier) post(ctx context.Context, msg message) outcome {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.to.url, bytes.NewReader(msg.body))
	if err != nil {
		return outcome{err: errors.New("discord: the request cannot be made")} // New has checked the URL
	}
	req.Header.Set("Content-Type", msg.contentType)
	req.Header.Set("User-Agent", userAgent)
	answer, err := httppost.Do(n.client, req, maxAnswer, requestTimeout)
	if err != nil {
		return outcome{err: fmt.Errorf("discord: %w", err)}
	}
	// The headers are complete, even if the body broke off.
	wait := n.limit.observe(answer, time.Now())
	return n.judge(answer, wait)
}

// judge decides what an answer means. wait is how long it asks to wait, 0 when it does
// not.
func (n *Notifier) judge(a httppost.Answer, wait time.Duration) outcome {
	failed := func(what string) error {
		return fmt.Errorf("discord: %s: HTTP %d%s", what, a.Status, n.detail(a.Body))
	}
	retried := func(err error) outcome {
		if wait > 0 {
			err = laneswap.RetryAfter(err, wait)
		}
		return outcome{err: err}
	}
	switch {
	case a.Status == http.StatusNoContent:
		// wait=true asks for a message in the answer, but this is a success too: a
		// retry would only send a duplicate.
		return outcome{}
	case a.Status >= 200 && a.Status < 300:
		if a.Err != nil {
			// Without the id of the message it is unknown whether Discord has it.
			return outcome{err: fmt.Errorf("discord: %w", a.Err)}
		}
		id, ok := messageID(a.Body)
		if !ok {
			return outcome{err: fmt.Errorf("discord: HTTP %d without a message; is that Discord?", a.Status)}
		}
		return outcome{id: id}
	case a.Status < 200:
		return outcome{err: fmt.Errorf("discord: HTTP %d, which was not asked for; is that Discord?", a.Status)}
	case a.Status < 400:
		return outcome{err: fmt.Errorf("discord: HTTP %d, a redirect, which is not followed; check the URL, the base of the API, and proxies", a.Status)}
	}
	if a.Status != http.StatusTooManyRequests && !isObject(a.Body) {
		// The API answers in JSON: this comes from something in between, and may pass.
		return retried(fmt.Errorf("discord: HTTP %d%s; is that Discord?", a.Status, describe(a)))
	}
	switch a.Status {
	case http.StatusTooManyRequests:
		err := fmt.Errorf("%w%s", ErrRateLimited, n.detail(a.Body))
		return outcome{err: laneswap.RetryAfter(err, wait)}
	case http.StatusNotFound, http.StatusGone:
		return outcome{err: laneswap.Permanent(failed("the webhook or the thread does not exist"))}
	case http.StatusUnauthorized, http.StatusForbidden:
		return outcome{err: laneswap.Permanent(failed("the webhook does not accept this token"))}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return outcome{err: failed("the message was refused"), refused: true, field: blamesField(a.Body)}
	}
	return retried(failed("the request failed"))
}

// describe says what an answer is that is not JSON.
func describe(a httppost.Answer) string {
	body := bytes.TrimSpace(a.Body)
	switch {
	case len(body) == 0:
		return " without a body"
	case strings.HasPrefix(a.Header.Get("Content-Type"), "text/html"), body[0] == '<':
		return " with an HTML page"
	}
	return ", not in JSON"
}

// isObject reports whether a body is a complete JSON object, as all of Discord's errors
// are.
func isObject(body []byte) bool {
	fields, err := object(body)
	return err == nil && fields != nil
}

// messageID returns the id in a message.
func messageID(body []byte) (string, bool) {
	fields, err := object(body)
	if err != nil {
		return "", false
	}
	id := strings.Trim(string(fields["id"]), `"`)
	_, err = strconv.ParseUint(id, 10, 64)
	return id, err == nil
}

// object returns the fields of a JSON object.
func object(body []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	return fields, nil
}

// blamesField reports whether a refusal names a field, and no file.
func blamesField(body []byte) bool {
	fields, err := object(body)
	if err != nil {
		return false
	}
	tree, _ := object(fields["errors"])
	maps.DeleteFunc(fields, func(key string, _ json.RawMessage) bool {
		return key == "code" || key == "message" || key == "errors"
	})
	maps.Copy(fields, tree) // a short refusal has no tree, but the fields at the top
	for key := range fields {
		if strings.HasPrefix(key, "file") || strings.HasPrefix(key, "attachment") || key == "_errors" {
			return false
		}
	}
	return len(fields) > 0
}

// detail summarizes an error of Discord: its code, its message, and the first field
// that it names. It returns "" when the body is not Discord's, or repeats the token.
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
	if text == "" || text == limitedText || n.reveals(text) {
		return ""
	}
	return ": " + text
}

// firstError returns the first error in Discord's tree of errors, such as
// "embeds.0.title: Must be 256 or fewer in length."
func firstError(tree json.RawMessage, path string) string {
	fields, err := object(tree)
	if err != nil || strings.Count(path, ".") > 8 {
		return ""
	}
	var messages []struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(fields["_errors"], &messages) == nil && len(messages) > 0 {
		return strings.TrimPrefix(path+": "+messages[0].Message, ": ")
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if found := firstError(fields[key], strings.TrimPrefix(path+"."+key, ".")); found != "" {
			return found
		}
	}
	return ""
}

// reveals reports whether a text holds the token, or eight characters in a row of it.
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
