// Package notifiertest is the contract of laneswap.Notifier as tests. The test of
// a notifier that posts to a server is a few lines:
//
//	func TestNotifier_keepsTheContract(t *testing.T) {
//		notifiertest.Run(t, notifiertest.Target{
//			HTTP: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
//				return pager.New(s.URL+"/hook/"+s.Secret("path"), pager.WithKey(s.Secret("key")))
//			},
//		})
//	}
//
// A server of the suite's own stands in for the receiver. It takes, refuses,
// redirects, resets and hangs, and records what it is sent. What the notifier was
// given by Stand.Secret must be in no error, no log and no message.
//
// Notifications are realistic messages of every kind, for tests of what is said.
//
// It uses the standard library only, so that adapters outside of this module can
// use it without pulling in anything.
package notifiertest

import (
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// Target says how to make the notifier that is tested: one of HTTP and Local.
type Target struct {
	// HTTP makes a notifier that delivers to the server at s.URL. It is called for
	// each test and must return a new one, which shares no limits with the others.
	HTTP func(t *testing.T, s *Stand) laneswap.Notifier

	// Local makes a notifier that delivers without HTTP, and returns how to read all
	// that it has delivered so far, oldest first, in any form that holds the names of
	// the services.
	Local func(t *testing.T, s *Stand) (n laneswap.Notifier, delivered func() string)
	// Failing makes the same notifier such that it cannot deliver, and Hanging such
	// that its receiver never answers. Both belong to Local; nil where there is no
	// such thing.
	Failing, Hanging func(t *testing.T, s *Stand) laneswap.Notifier

	// OK is how the server answers when it takes a message; the zero value is 200
	// with {"id":"4711"}.
	OK Answer
	// Receipt is what the notifier must give to Notification.Receipt for OK, or
	// what Local's must give; "" when it gives nothing.
	Receipt string

	// Except says what a notifier documents to do otherwise than the suite's table,
	// by the name of the row: the part of the test's name behind "Answers_are/".
	Except map[string]Expect

	// Burst is how many messages the notifier takes at once before it asks to be
	// left alone by RetryAfter; 0 when there is no such limit. At least 5.
	Burst int

	// Patience bounds one test; 0 is one minute.
	Patience time.Duration
}

// Verdict is what Notify's result asks the Manager for.
type Verdict string

// The verdicts.
const (
	Delivered Verdict = "delivered" // nil
	Retried   Verdict = "retried"   // An error that is none of the following.
	Later     Verdict = "later"     // RetryAfter
	Refused   Verdict = "refused"   // Refused
	Permanent Verdict = "permanent" // Permanent
)

// Expect is what a notifier must do about an answer.
type Expect struct {
	// Verdicts are those of which one must come.
	Verdicts []Verdict
	// Requests is the greatest number of requests within one Notify; 0 is 1: to try
	// again is up to the Manager.
	Requests int
}

// Answer is an answer over HTTP.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Run tests a notifier against the contract. The subtests run in parallel.
func Run(t *testing.T, target Target) {
	t.Helper()
	if (target.HTTP == nil) == (target.Local == nil) {
		t.Fatal("notifiertest: the target needs either HTTP or Local")
	}
	if target.OK.Status == 0 {
		target.OK = Answer{Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"id":"4711"}`}
	}
	if target.Patience == 0 {
		target.Patience = time.Minute
	}
	if target.Burst != 0 && target.Burst < 5 {
		t.Fatal("notifiertest: a Burst below 5 leaves nothing to test")
	}
	groups := [][]test{sending, limits, secrets, ending}
	if target.HTTP != nil {
		groups = append(groups, answering, connecting)
	} else {
		groups = append(groups, failing)
	}
	known := map[string]bool{}
	for _, a := range answers {
		known[a.name] = true
	}
	for name := range target.Except {
		if !known[name] {
			t.Fatalf("notifiertest: Except[%q] names no row of the table", name)
		}
	}
	for _, group := range groups {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(&run{T: t, target: target})
			})
		}
	}
}

// test is one rule of the contract.
type test struct {
	name string
	run  func(r *run)
}

// run is one test under way.
type run struct {
	*testing.T
	target Target
}
