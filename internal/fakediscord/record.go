package fakediscord

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Request is a recorded request.
type Request struct {
	// Number counts the requests, from 1.
	Number int
	At     time.Time
	Method string
	// Path has neither host nor query; Wait and Thread come from the query.
	Path   string
	Wait   bool
	Thread string
	Header http.Header
	// Webhook is the id of the webhook.
	Webhook string
	// Body is the JSON of the message, without files.
	Body    []byte
	Payload Payload
	Files   []File
	// Early reports that the client should still have waited.
	Early bool
	// Status is that of the answer, 0 without one. For an answer that hangs after its
	// headers it is that of the headers.
	Status int

	shared bool // it reached the limit of the channel
}

// Message is an accepted message.
type Message struct {
	ID      string
	Webhook string // the id of the webhook
	Channel string
	Thread  string
	// Request is the number of the request that brought it.
	Request int
	At      time.Time
	// Edits counts the edits; Payload and Files are those after the last one.
	Edits   int
	Payload Payload
	Files   []File
}

// Rule is a rule for clients.
type Rule string

// The rules.
const (
	RulePayload  Rule = "payload"  // A message that Discord would refuse, or that LaneSwap must not send.
	RuleDelay    Rule = "delay"    // A request while an announced delay ran.
	RuleProtocol Rule = "protocol" // A request that no client should make.
)

// Violation is a rule that a client broke.
type Violation struct {
	Rule    Rule
	Request int // its number
	Text    string
}

func (v Violation) String() string {
	return fmt.Sprintf("request %d: %s: %s", v.Request, v.Rule, v.Text)
}

// Requests returns all requests in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Messages returns the accepted messages in order, with their edits.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Violations returns the violations of the given rules, or of all rules.
func (s *Server) Violations(rules ...Rule) []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Violation
	for _, v := range s.violations {
		if len(rules) == 0 || slices.Contains(rules, v.Rule) {
			out = append(out, v)
		}
	}
	return out
}

// Invalid returns the greatest number of answers 401, 403 and 429 within ten minutes,
// without those for the limit of a channel. Discord bans an address at 10,000.
func (s *Server) Invalid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Time
	highest := 0
	for _, r := range s.requests {
		if r.shared || r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden && r.Status != http.StatusTooManyRequests {
			continue
		}
		times = append(times, r.At)
		for r.At.Sub(times[0]) >= 10*time.Minute {
			times = times[1:]
		}
		highest = max(highest, len(times))
	}
	return highest
}

// blame records a violation; mu is held.
func (s *Server) blame(rule Rule, request int, format string, args ...any) {
	s.violations = append(s.violations, Violation{rule, request, fmt.Sprintf(format, args...)})
}
