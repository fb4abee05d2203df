package notifiertest

import (
	"slices"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// hangFor is the timeout of a call whose receiver hangs. slack is how much later the
// call may return on a busy machine.
const (
	hangFor = 300 * time.Millisecond
	slack   = 10 * time.Second
)

// answering tests what a notifier makes of answers. Each row of the table requires
// the right verdict, one request, a short and clean error, and no secret in errors
// and logs.
var answering = []test{
	{"Answers_are", func(r *run) {
		for _, a := range answers {
			r.Run(a.name, func(t *testing.T) {
				t.Parallel()
				(&run{T: t, target: r.target}).understands(a)
			})
		}
	}},
	{"Redirects_areNotFollowed", func(r *run) {
		for _, code := range []int{301, 302, 303, 307, 308} {
			s := r.newServer()
			s.answer(redirect(code))
			err := r.notify(r.makeHTTP(s), Notifications(now)[0])
			if got := s.received(); err == nil || len(got) != 1 {
				r.Errorf("%d: %s after %d requests, want an error after 1: a redirect would take the message and its secrets elsewhere", code, describe(err), len(got))
			}
		}
	}},
	{"Messages_arrive", func(r *run) {
		s := r.newServer()
		n := r.makeHTTP(s)
		r.deliver("Notify", n, Notifications(now)[0])
		got := s.received()
		if len(got) != 1 || len(got[0].body) == 0 {
			r.Fatalf("Notify returned nil, and the server got %d requests: %v", len(got), got)
		}
	}},
}

// ask sends one message to a server that answers as the row says.
func (r *run) ask(a answer) (*Stand, called) {
	r.Helper()
	server := (*run).newServer
	if a.place != nil {
		server = a.place
	}
	s := server(r)
	n := r.makeHTTP(s)
	if a.reply != nil {
		s.answer(a.reply)
	}
	d := r.target.Patience / 2
	if a.hangs {
		d = hangFor
	}
	c := r.finished("Notify", func() called { return call(r.Context(), d, n, Notifications(now)[0]) })
	s.close() // so that nothing of it goes on beside the next
	return s, c
}

// understands requires of a notifier what a row of the table says.
func (r *run) understands(a answer) {
	r.Helper()
	except := r.target.Except[a.name]
	want := a.want
	if len(except.Verdicts) > 0 {
		want = except.Verdicts
	}
	s, c := r.ask(a)
	switch got := verdictOf(c.err); {
	case !slices.Contains(want, got):
		r.Errorf("%s after %d requests, want one of %v", describe(c.err), len(s.received()), want)
	case got == Later:
		d, _ := laneswap.RetryDelay(c.err)
		// A date has whole seconds, and it took some time to get here.
		if a.after != 0 && (d < a.after-slack || d > a.after+time.Second) {
			r.Errorf("%s, want it in %v", describe(c.err), a.after)
		}
	}
	switch {
	case a.hangs && c.took > hangFor+slack:
		r.Errorf("it took %v to return from a context of %v", c.took, hangFor)
	case !a.hangs && c.took > r.target.Patience/2:
		r.Error("only the context ended it: what is read of an answer must be bounded")
	}
	if got, limit := len(s.received()), max(except.Requests, 1); got > limit {
		r.Errorf("%d requests within one Notify, want at most %d: the Manager retries, not the notifier", got, limit)
	}
	if c.err != nil {
		if wrong := unclean(c.err); wrong != "" {
			r.Errorf("the error %.2000q %s", c.err, wrong)
		}
	}
	r.keepsQuiet("Notify", s, c.err)
}
