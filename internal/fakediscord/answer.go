package fakediscord

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Answer is the answer to a request. The zero value is what Discord would answer. The
// functions that return an Answer are those that Discord, and proxies in between, have
// been seen to give.
type Answer struct {
	// Delay passes before the answer.
	Delay time.Duration
	// Accept accepts the message, if it is valid and no limit is reached, although the
	// answer says something else or nothing. It counts towards the limits.
	Accept bool

	// Status of 0 means what Discord would answer.
	Status      int
	ContentType string
	Body        string
	Header      http.Header
	// Wait is how long the answer asks clients of this webhook to wait, or, with All,
	// the clients of all webhooks.
	Wait time.Duration
	All  bool

	lost lost
}

// lost is the way in which an answer does not arrive.
type lost uint8

const (
	arrives lost = iota
	hangsBefore
	hangsAfter
	resets
)

// Script adds answers for the next requests, one each. Requests after that are answered
// by Respond.
func (s *Server) Script(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, answers...)
}

// Scripted returns the number of answers of Script that are left.
func (s *Server) Scripted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.script)
}

// Respond sets the function that answers requests without an answer of Script. nil, the
// default, answers like Discord. f must not call s.
func (s *Server) Respond(f func(Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respond = f
}

// Slow is Discord's own answer after d.
func Slow(d time.Duration) Answer { return Answer{Delay: d} }

// Status is a JSON error with that HTTP status; code is Discord's.
func Status(status, code int, message string) Answer {
	return Answer{Status: status, ContentType: "application/json", Body: jsonText(map[string]any{"message": message, "code": code})}
}

// HTML is an HTML page with that HTTP status, as proxies send it.
func HTML(status int) Answer {
	return Answer{Status: status, ContentType: "text/html; charset=UTF-8", Body: fmt.Sprintf("<!DOCTYPE html><html><head><title>%d</title></head><body><h1>%s</h1></body></html>", status, http.StatusText(status))}
}

// RateLimited is a 429 as documented: the seconds as a float in the body, rounded up
// in Retry-After.
func RateLimited(d time.Duration) Answer {
	return limited(d, `{"message":"You are being rate limited.","retry_after":`+seconds(d)+`,"global":false}`, "user", wholeSeconds(d))
}

// RateLimitedGlobal is a 429 of the limit over all webhooks.
func RateLimitedGlobal(d time.Duration) Answer {
	a := limited(d, `{"message":"You are being rate limited.","retry_after":`+seconds(d)+`,"global":true}`, "global", wholeSeconds(d))
	a.All = true
	a.Header.Set("X-RateLimit-Global", "true")
	return a
}

// RateLimitedHTML is a 429 with an HTML page, as from the network in front of Discord:
// only Retry-After says how long to wait.
func RateLimitedHTML(d time.Duration) Answer {
	a := HTML(http.StatusTooManyRequests)
	a.Wait, a.All = d, true
	a.Header = http.Header{"Retry-After": {wholeSeconds(d)}}
	return a
}

// RateLimitedBare is a 429 without a body: only Retry-After says how long to wait.
func RateLimitedBare(d time.Duration) Answer {
	return Answer{Status: http.StatusTooManyRequests, Wait: d, Header: http.Header{"Retry-After": {wholeSeconds(d)}}}
}

// RateLimitedSilent is the 429 for a blocked address: it does not say for how long.
func RateLimitedSilent() Answer {
	return Status(http.StatusTooManyRequests, 0, "You are being blocked from accessing our API temporarily due to exceeding our rate limits frequently.")
}

func limited(d time.Duration, body, scope, retryAfter string) Answer {
	return Answer{
		Status: http.StatusTooManyRequests, ContentType: "application/json", Body: body, Wait: d,
		Header: http.Header{"Retry-After": {retryAfter}, "X-Ratelimit-Scope": {scope}},
	}
}

// UnknownWebhook is the 404 for a deleted webhook.
func UnknownWebhook() Answer { return Status(http.StatusNotFound, 10015, "Unknown Webhook") }

// InvalidToken is the 401 for a wrong token.
func InvalidToken() Answer { return Status(http.StatusUnauthorized, 50027, "Invalid Webhook Token") }

// BadForm is the documented 400 for an invalid message.
func BadForm() Answer {
	return Answer{Status: http.StatusBadRequest, ContentType: "application/json", Body: form([]Problem{{"embeds.0.fields.1.value", "BASE_TYPE_REQUIRED", "This field is required"}})}
}

// BadEmbeds is a 400 that names only the embed, as Discord once wrote it.
func BadEmbeds() Answer {
	return Answer{Status: http.StatusBadRequest, ContentType: "application/json", Body: `{"embeds": ["0"]}`}
}

// HangBeforeHeaders never answers. accept says whether the message is accepted.
func HangBeforeHeaders(accept bool) Answer { return Answer{Accept: accept, lost: hangsBefore} }

// HangAfterHeaders writes the headers of a success and never the body. accept says
// whether the message is accepted.
func HangAfterHeaders(accept bool) Answer { return Answer{Accept: accept, lost: hangsAfter} }

// Reset reads the request and resets the connection. accept says whether the message is
// accepted.
func Reset(accept bool) Answer { return Answer{Accept: accept, lost: resets} }

// Redirect is a 307 to another place.
func Redirect(to string) Answer {
	return Answer{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {to}}}
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and strings only
	}
	return string(text)
}
