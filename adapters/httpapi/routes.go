package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// action answers a request; an error that it returns becomes a problem.
type action func(h *Handler, w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error

// route is a path and its methods. In the path, "*" stands for the id of a service
// or the name of a notifier, and "**" for the id of an event. GET includes HEAD.
type route struct {
	path    []string
	methods []method
}

type method struct {
	name string
	do   action
}

var routes = []route{
	{[]string{"api", "services", "*", "heartbeat"}, []method{{"POST", (*Handler).beat}}},
	{[]string{"api", "heartbeats"}, []method{{"POST", (*Handler).beatMany}}},
	{[]string{"api", "services"}, []method{{"GET", (*Handler).listServices}, {"POST", (*Handler).register}}},
	{[]string{"api", "services", "*"}, []method{{"GET", (*Handler).getService}, {"DELETE", (*Handler).removeService}}},
	{[]string{"api", "services", "*", "heartbeats"}, []method{{"GET", (*Handler).listHeartbeats}}},
	{[]string{"api", "services", "*", "history"}, []method{{"GET", (*Handler).history}}},
	{[]string{"api", "services", "*", "errors"}, []method{{"GET", (*Handler).listErrors}, {"POST", (*Handler).reportError}}},
	{[]string{"api", "summary"}, []method{{"GET", (*Handler).summary}}},
	{[]string{"api", "events"}, []method{{"GET", (*Handler).listEvents}}},
	{[]string{"api", "events", "stream"}, []method{{"GET", (*Handler).stream}}},
	{[]string{"api", "events", "**", "explain"}, []method{{"GET", (*Handler).explain}}},
	{[]string{"api", "notifiers"}, []method{{"GET", (*Handler).listNotifiers}}},
	{[]string{"api", "notifiers", "*", "test"}, []method{{"POST", (*Handler).testNotifier}}},
	{[]string{"api", "health"}, []method{{"GET", (*Handler).apiHealth}}},
	{[]string{"healthz"}, []method{{"GET", (*Handler).healthz}}},
	{[]string{"readyz"}, []method{{"GET", (*Handler).readyz}}},
}

// match reports whether the route has these segments, and returns the id in them.
// The slashes in the id of an event may be escaped or not.
func (rt *route) match(segments []string) (id laneswap.ServiceID, ok bool) {
	if more := len(segments) - len(rt.path); more > 0 {
		if at := slices.Index(rt.path, "**"); at >= 0 {
			end := at + more + 1
			segments = slices.Concat(segments[:at], []string{strings.Join(segments[at:end], "/")}, segments[end:])
		}
	}
	if len(segments) != len(rt.path) {
		return "", false
	}
	for i, want := range rt.path {
		if want == "*" || want == "**" {
			id = laneswap.ServiceID(segments[i])
		} else if segments[i] != want {
			return "", false
		}
	}
	return id, true
}

func (rt *route) action(name string) action {
	if name == http.MethodHead {
		name = http.MethodGet
	}
	for _, m := range rt.methods {
		if m.name == name {
			return m.do
		}
	}
	return nil
}

// allow returns the value of the header Allow.
func (rt *route) allow() string {
	var names []string
	for _, m := range rt.methods {
		names = append(names, m.name)
		if m.name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	return strings.Join(append(names, http.MethodOptions), ", ")
}

// answer is a ResponseWriter that knows whether the answer has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// bare returns the ResponseWriter of the server: MaxBytesReader closes its connection.
func bare(w http.ResponseWriter) http.ResponseWriter {
	if a, ok := w.(*answer); ok {
		return a.ResponseWriter
	}
	return w
}

// ServeHTTP answers a request. It uses the path as it is, without cleaning or
// redirecting.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w}
	defer h.rescue(a, r)
	header := a.Header()
	header.Set(BootHeader, h.boot)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if err := h.serve(a, r); err != nil {
		h.fail(a, r, err)
	}
}

func (h *Handler) serve(w *answer, r *http.Request) error {
	h.cors.announce(w.Header(), r)
	rt, id, err := find(r.URL)
	if err != nil {
		return err
	}
	if r.Method == http.MethodOptions {
		return h.cors.preflight(w, r, rt)
	}
	do := rt.action(r.Method)
	if do == nil {
		w.Header().Set("Allow", rt.allow())
		return &requestError{http.StatusMethodNotAllowed, "method-not-allowed", "this path allows " + rt.allow()}
	}
	if err := h.cors.check(r); err != nil {
		return err
	}
	return do(h, w, r, id)
}

// maxSegments bounds the segments of a path. The id of an event may hold unescaped
// slashes.
const maxSegments = 12

// find returns the route of a URL. Its segments are unescaped one by one, so
// that an escaped slash is never a separator.
func find(u *url.URL) (*route, laneswap.ServiceID, error) {
	notFound := &requestError{http.StatusNotFound, "not-found", "no such path"}
	path, ok := strings.CutPrefix(u.EscapedPath(), "/")
	if !ok {
		return nil, "", notFound
	}
	segments := strings.SplitN(path, "/", maxSegments+1)
	if len(segments) > maxSegments {
		return nil, "", notFound
	}
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, "", badRequest("the path is not properly escaped")
		}
		segments[i] = plain
	}
	for i := range routes {
		if id, ok := routes[i].match(segments); ok {
			return &routes[i], id, nil
		}
	}
	return nil, "", notFound
}

// fail answers with err. An answer that has begun can only be aborted.
func (h *Handler) fail(w *answer, r *http.Request, err error) {
	if errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	if internal(problemOf(err), err) {
		h.log.Error("request failed", "method", r.Method, "path", text.Clip(r.URL.EscapedPath(), 200), "err", err)
	}
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, err)
}

// rescue logs a panic and answers 500 without details.
func (h *Handler) rescue(w *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http uses it to abort an answer
	}
	h.log.Error("handler panicked", "method", r.Method, "path", text.Clip(r.URL.EscapedPath(), 200), "err", p, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, &requestError{http.StatusInternalServerError, "internal", "internal error"})
}
