// Package notifiertest tests a laneswap.Notifier against its contract. The test of a
// notifier that posts to a server takes a few lines:
//
//	func TestNotifier_keepsTheContract(t *testing.T) {
//		notifiertest.Run(t, notifiertest.Target{
//			HTTP: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
//				return pager.New(s.URL+"/hook/"+s.Secret("path"), pager.WithKey(s.Secret("key")))
//			},
//		})
//	}
//
// The suite starts a server that plays the receiver: it accepts, refuses, redirects,
// resets and hangs, and records requests. Secrets that the notifier got from
// Stand.Secret must be in no error, no log and no message.
//
// Notifications returns realistic messages of every kind, for tests of texts.
//
// The package uses the standard library only: adapters outside of this module can use
// it without further dependencies.
package notifiertest

import (
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// Target says how to create the notifier under test. Set either HTTP or Local.
type Target struct {
	// HTTP returns a notifier that delivers to the server at s.URL. Run calls it for each
	// test. Each call must return a new notifier that shares no limits with others.
	HTTP func(t *testing.T, s *Stand) laneswap.Notifier

	// Local returns a notifier that delivers without HTTP, and a function that returns
	// everything delivered so far, oldest first, in any form that holds the names of the
	// services.
	Local func(t *testing.T, s *Stand) (n laneswap.Notifier, delivered func() string)
	// Failing returns the same notifier so that it cannot deliver, Hanging so that its
	// receiver never answers. Both belong to Local. Leave them nil if that cannot happen.
	Failing, Hanging func(t *testing.T, s *Stand) laneswap.Notifier

	// OK is the server's answer to an accepted message. The default is 200 with
	// {"id":"4711"}.
	OK Answer
	// Receipt is what the notifier must pass to Notification.Receipt for OK, or for a
	// delivery by Local; "" if it passes nothing.
	Receipt string

	// Except lists documented deviations from the suite's table of answers, by the name
	// of the row: the part of the test's name after "Answers_are/".
	Except map[string]Expect

	// Burst is how many messages the notifier accepts at once before it returns an error
	// of RetryAfter, at least 5; 0 means no limit.
	Burst int

	// Patience bounds one test. The default is one minute.
	Patience time.Duration
}

// Verdict is what the result of Notify means for the Manager.
type Verdict string

// The verdicts.
const (
	Delivered Verdict = "delivered" // nil
	Retried   Verdict = "retried"   // any other error
	Later     Verdict = "later"     // RetryAfter
	Refused   Verdict = "refused"   // Refused
	Permanent Verdict = "permanent" // Permanent
)

// Expect is what a notifier must do with an answer.
type Expect struct {
	// Verdicts are the allowed verdicts.
	Verdicts []Verdict
	// Requests is the greatest number of requests within one Notify. The default is 1:
	// the Manager retries, not the notifier.
	Requests int
}

// Answer is an HTTP answer.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Run tests a notifier against the contract. Its subtests run in parallel.
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

// run is one test in progress.
type run struct {
	*testing.T
	target Target
}
