package notifiertest

import (
	"fmt"
	"net/http"

	"github.com/laneswap/laneswap"
)

// secrets tests that the suite looks for secrets that the notifier really uses. Other
// tests require that they are in no message, no error and no log.
var secrets = []test{
	{"Secrets_areUsed", func(r *run) {
		if r.target.HTTP == nil {
			r.Skip("only a server sees what it is sent")
		}
		s := r.newServer()
		r.deliver("Notify", r.makeHTTP(s), Notifications(now)[0])
		if len(s.secrets) == 0 {
			r.Skip("the target takes no secrets")
		}
		// Otherwise the other tests would look for secrets that are nowhere.
		for _, req := range s.received() {
			_, password, _ := (&http.Request{Header: req.header}).BasicAuth()
			if s.found(req.uri+fmt.Sprint(req.header)+password) != "" {
				return
			}
		}
		r.Error("no secret arrived at the server: use Stand.Secret where the notifier sends it, such as in the path")
	}},
}

// secretsOfLocal tests errors and logs of notifiers without HTTP.
func (r *run) secretsOfLocal() {
	r.Helper()
	s := r.newStand()
	n, _ := r.target.Local(r.T, s)
	r.keepsQuiet("Notify", s, r.notify(n, Notifications(now)[0]))
	if r.target.Failing != nil {
		s := r.newStand()
		err := r.notify(r.target.Failing(r.T, s), Notifications(now)[0])
		r.keepsQuiet("Failing", s, err)
	}
	if r.target.Hanging != nil {
		s := r.newStand()
		c := r.finished("Notify", func() called {
			return call(r.Context(), hangFor, r.target.Hanging(r.T, s), Notifications(now)[0])
		})
		r.keepsQuiet("Hanging", s, c.err)
	}
}

// keepsQuiet requires that neither the error nor the log holds a secret.
func (r *run) keepsQuiet(what string, s *Stand, err error) {
	r.Helper()
	for _, text := range append(texts(err), texts(sent(err))...) {
		if secret := s.found(text); secret != "" {
			r.Errorf("%s: the error holds %s, in one of its formats or in an error that it wraps:\n%.600s", what, secret, text)
			break
		}
	}
	if secret := s.found(s.logs()); secret != "" {
		r.Errorf("%s: the log holds %s:\n%.600s", what, secret, s.logs())
	}
}

// sent returns an error as laneswap.Send does.
func sent(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", laneswap.ErrNotifier, err)
}

// failing tests notifiers without HTTP that cannot deliver.
var failing = []test{
	{"Secrets_areInNoErrorAndNoLog", (*run).secretsOfLocal},
	{"Failure_isReported", func(r *run) {
		if r.target.Failing == nil {
			r.Skip("the target cannot fail")
		}
		err := r.notify(r.target.Failing(r.T, r.newStand()), Notifications(now)[0])
		if err == nil {
			r.Fatal("Notify returned nil for a message that it could not deliver")
		}
		if wrong := unclean(err); wrong != "" {
			r.Errorf("the error %.2000q %s", err, wrong)
		}
	}},
}
