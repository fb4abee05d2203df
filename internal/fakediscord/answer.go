package fakediscord

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Answer is what a request gets. The zero value is what Discord would answer. The
// functions of this package that return one are the answers that have been seen of
// Discord, and of what stands between it and its clients.
type Answer struct {
	// Delay passes before anything is answered.
	Delay time.Duration
	// Accept takes the message, when nothing is wrong with it and no limit is reached,
	// although the answer says something else or nothing. It counts towards the limits.
	Accept bool

	// Status is the answer's; 0 means what Discord would answer.
	Status      int
	ContentType string
	Body        string
	Header      http.Header
	// Wait is how long the answer asks to wait; All asks the clients of all webhooks.
	Wait time.Duration
	All  bool

	lost lost
}

// lost is how an answer does not arrive.
type lost uint8

const (
	arrives lost = iota
	hangsBefore
	hangsAfter
	resets
)

// Script adds answers for the next requests, one each. When there are no more, they
// get what Respond says.
func (s *Server) Script(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, answers...)
}

// Scripted returns how many answers of Script are left.
func (s *Server) Scripted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.script)
}

// Respond has f say the answer to every request that has none by Script; nil, as at
// first, means what Discord would answer. f must not call s.
func (s *Server) Respond(f func(Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respond = f
}

// Slow is what Discord would answer, later.
func Slow(d time.Duration) Answer { return Answer{Delay: d} }

// Status is an answer of that status with a JSON error in it; code is Discord's.
func Status(status, code int, message string) Answer {
	return Answer{Status: status, ContentType: "application/json", Body: jsonText(map[string]any{"message": message, "code": code})}
}

// HTML is an answer of that status with a page in it, as proxies write them.
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

// RateLimitedHTML is a 429 with a page in it, as from the network before Discord:
// only Retry-After says how long.
func RateLimitedHTML(d time.Duration) Answer {
	a := HTML(http.StatusTooManyRequests)
	a.Wait, a.All = d, true
	a.Header = http.Header{"Retry-After": {wholeSeconds(d)}}
	return a
}

// RateLimitedBare is a 429 without a body: only Retry-After says how long.
func RateLimitedBare(d time.Duration) Answer {
	return Answer{Status: http.StatusTooManyRequests, Wait: d, Header: http.Header{"Retry-After": {wholeSeconds(d)}}}
}

// RateLimitedSilent is the 429 of an address that is blocked: it does not say for
// how long.
func RateLimitedSilent() Answer {
	return Status(http.StatusTooManyRequests, 0, "You are being blocked from accessing our API temporarily due to exceeding our rate limits frequently.")
}

func limited(d time.Duration, body, scope, retryAfter string) Answer {
	return Answer{
		Status: http.StatusTooManyRequests, ContentType: "application/json", Body: body, Wait: d,
		Header: http.Header{"Retry-After": {retryAfter}, "X-Ratelimit-Scope": {scope}},
	}
}

// UnknownWebhook is the 404 of a webhook that was deleted.
func UnknownWebhook() Answer { return Status(http.StatusNotFound, 10015, "Unknown Webhook") }

// InvalidToken is the 401 of a webhook whose token is another.
func InvalidToken() Answer { return Status(http.StatusUnauthorized, 50027, "Invalid Webhook Token") }

// BadForm is the 400 of a message that Discord does not take, as documented.
func BadForm() Answer {
	return Answer{Status: http.StatusBadRequest, ContentType: "application/json", Body: form([]Problem{{"embeds.0.fields.1.value", "BASE_TYPE_REQUIRED", "This field is required"}})}
}

// BadEmbeds is a 400 that names only the embed, as Discord once wrote it.
func BadEmbeds() Answer {
	return Answer{Status: http.StatusBadRequest, ContentType: "application/json", Body: `{"embeds": ["0"]}`}
}

// HangBeforeHeaders never answers; accept says whether the message is taken.
func HangBeforeHeaders(accept bool) Answer { return Answer{Accept: accept, lost: hangsBefore} }

// HangAfterHeaders writes the header of the answer, and never the rest: with accept
// that of Discord's own, else that all is well.
func HangAfterHeaders(accept bool) Answer { return Answer{Accept: accept, lost: hangsAfter} }

// Reset reads the request and resets the connection; accept says whether the
// message is taken.
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
