package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// maxMessage bounds the message of a failed request, in bytes.
const maxMessage = 1000

// Option configures Heartbeat and Observe.
type Option func(*observer)

// WithRoute sets the function that names the route of a failed request. The name is
// shown in lists and sent to notifiers, so it must hold no secret: no query, and no
// path with a token. The function is called after the request was handled. The
// default is http.Request.Pattern, which http.ServeMux sets; when it is empty, the
// message names no route.
func WithRoute(route func(*http.Request) string) Option {
	return func(o *observer) { o.route = route }
}

// Observe returns a handler that passes every request on to next and then calls tell
// with a heartbeat: the zero Heartbeat for a good answer, StatusError with a message
// for a failed one, as Heartbeat describes. A flush or a hijack also counts at that
// moment.
//
// Use it to send the heartbeats elsewhere than to a Manager in the same process.
// tell is called concurrently, on the goroutines of the requests, and must not wait.
func Observe(tell func(laneswap.Heartbeat), next http.Handler, opts ...Option) http.Handler {
	o := &observer{tell: tell, next: next, route: func(r *http.Request) string { return r.Pattern }}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

type observer struct {
	tell  func(laneswap.Heartbeat)
	next  http.Handler
	route func(*http.Request) string
}

// ServeHTTP passes the request on and calls tell with its heartbeat.
func (o *observer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, alive: func() { o.tell(laneswap.Heartbeat{}) }}
	returned := false
	defer func() {
		if returned {
			o.outcome(rec, r)
			return
		}
		p := recover()
		if p == nil {
			return // runtime.Goexit: there is no answer and no failure
		}
		if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			o.fail(r, fmt.Sprintf("panic: %v", p))
		}
		panic(p)
	}()
	o.next.ServeHTTP(rec.wrap(), r)
	returned = true
}

func (o *observer) outcome(rec *recorder, r *http.Request) {
	switch {
	case rec.status < http.StatusInternalServerError:
		o.tell(laneswap.Heartbeat{})
	case !errors.Is(r.Context().Err(), context.Canceled):
		o.fail(r, strings.TrimSpace(fmt.Sprintf("%d %s", rec.status, http.StatusText(rec.status))))
	}
}

func (o *observer) fail(r *http.Request, what string) {
	o.tell(laneswap.Heartbeat{Status: laneswap.StatusError, Message: text.Cut(o.name(r)+": "+what, maxMessage)})
}

// name returns method and route. The pattern of a ServeMux may begin with the method.
// The method is untrusted text.
func (o *observer) name(r *http.Request) string {
	method := text.Cut(r.Method, 20)
	if method == "" {
		method = http.MethodGet
	}
	route := o.route(r)
	if route == "" || strings.HasPrefix(route, method+" ") {
		return cmp.Or(route, method)
	}
	return method + " " + route
}
