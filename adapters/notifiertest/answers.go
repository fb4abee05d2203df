package notifiertest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// answer is a row of the table: what the receiver does, and what a notifier may
// make of it.
type answer struct {
	name  string
	want  []Verdict
	reply func(s *Stand, w http.ResponseWriter, r *http.Request)
	// after is what RetryAfter must say when it is used; 0 where anything from 0 to
	// 24 hours will do.
	after time.Duration
	// hangs says that only the context ends it.
	hangs bool
	// place, if not nil, makes the server instead of a common one.
	place func(r *run) *Stand
}

var (
	retried = []Verdict{Retried, Later}
	waits   = []Verdict{Later}
	refused = []Verdict{Refused}
	forever = []Verdict{Permanent}
	either  = []Verdict{Delivered, Retried, Later} // the receiver has it or has not: nobody can tell
	failed  = []Verdict{Retried, Later, Refused, Permanent}
)

// answers is the table. The bodies repeat what the receiver was sent, as many
// servers do in their error pages: URL and headers hold secrets.
var answers = []answer{
	{name: "200", want: []Verdict{Delivered}},
	{name: "204", want: []Verdict{Delivered}, reply: status(204, "")},
	{name: "101", want: retried, hangs: true, reply: switches},
	{name: "200 with HTML", want: either, reply: status(200, "text/html")},
	{name: "301", want: failed, reply: redirect(301)},
	{name: "302", want: failed, reply: redirect(302)},
	{name: "303", want: failed, reply: redirect(303)},
	{name: "307", want: failed, reply: redirect(307)},
	{name: "308", want: failed, reply: redirect(308)},
	{name: "400", want: refused, reply: status(400, "application/json")},
	{name: "401", want: forever, reply: status(401, "application/json")},
	{name: "403", want: forever, reply: status(403, "application/json")},
	{name: "403 with HTML", want: forever, reply: status(403, "text/html")},
	{name: "404", want: forever, reply: status(404, "application/json")},
	{name: "408", want: retried, reply: status(408, "text/plain")},
	{name: "410", want: forever, reply: status(410, "text/plain")},
	{name: "413", want: refused, reply: status(413, "text/plain")},
	{name: "422", want: refused, reply: status(422, "application/json")},
	{name: "429", want: retried, reply: status(429, "text/plain")},
	{name: "429 with seconds", want: waits, after: 2 * time.Minute, reply: retryAfter(429, "120")},
	{name: "429 with a date", want: waits, after: 2 * time.Minute, reply: retryAfterDate(2 * time.Minute)},
	{name: "429 with a date that has passed", want: retried, reply: retryAfterDate(-time.Hour)},
	{name: "429 with nonsense", want: retried, reply: retryAfter(429, "soon \x80")},
	{name: "429 with nothing", want: retried, reply: retryAfter(429, "")},
	{name: "429 with less than nothing", want: retried, reply: retryAfter(429, "-120")},
	{name: "429 with far too much", want: retried, reply: retryAfter(429, "99999999999999999999999")},
	{name: "429 with a century", want: retried, reply: retryAfter(429, "3155760000")},
	{name: "429 with HTML", want: retried, reply: status(429, "text/html")},
	{name: "500", want: retried, reply: status(500, "text/plain")},
	{name: "502 with HTML", want: retried, reply: status(502, "text/html")},
	{name: "503", want: retried, reply: status(503, "application/json")},
	{name: "503 with seconds", want: retried, after: 2 * time.Minute, reply: retryAfter(503, "120")},
	{name: "504", want: retried, reply: status(504, "text/html")},
	{name: "520", want: retried, reply: status(520, "text/html")},

	{name: "nobody listens", want: retried, place: (*run).newDeadServer},
	{name: "a certificate that nobody trusts", want: failed, place: (*run).newTLSServer},
	{name: "closed without an answer", want: retried, reply: cutOff("")},
	{name: "reset without an answer", want: retried, reply: reset},
	{name: "something that is not HTTP", want: retried, reply: cutOff("SSH-2.0-OpenSSH_9.6\r\n")},
	{name: "half a header", want: retried, reply: cutOff("HTTP/1.1 200 OK\r\nContent-Ty")},
	{name: "half a body", want: either, reply: cutOff("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":\"")},
	{name: "an endless body", want: either, reply: endless(200)},
	{name: "500 with an endless body", want: retried, reply: endless(500)},
	{name: "a hang", want: retried, hangs: true, reply: hang(0)},
	{name: "a hang in the body", want: either, hangs: true, reply: hang(200)},
	{name: "500 and a hang in the body", want: retried, hangs: true, reply: hang(500)},
}

// reply answers as a says.
func (a Answer) reply(_ *Stand, w http.ResponseWriter, _ *http.Request) {
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.Status)
	if a.Status != http.StatusNoContent {
		fmt.Fprint(w, a.Body)
	}
}

// echo is an error page that repeats the request, and tries to write on a
// terminal.
func echo(contentType string, r *http.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\x1b[31m\u202e\x00\xff\n", r.Method, r.RequestURI)
	_ = r.Header.Write(&b)
	if user, password, ok := r.BasicAuth(); ok {
		fmt.Fprintf(&b, "%s:%s\n", user, password)
	}
	switch contentType {
	case "":
		return ""
	case "application/json":
		page, err := json.Marshal(map[string]any{"message": b.String(), "error": b.String(), "detail": b.String(), "errors": []string{b.String()}, "code": 0})
		if err != nil {
			return err.Error()
		}
		return string(page)
	case "text/html":
		return "<!DOCTYPE html><html><head><title>Cannot " + b.String() + "</title></head><body><pre>Cannot " + b.String() + "</pre></body></html>"
	}
	return "Cannot " + b.String()
}

func status(code int, contentType string) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(_ *Stand, w http.ResponseWriter, r *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(code)
		if contentType != "" {
			fmt.Fprint(w, echo(contentType, r))
		}
	}
}

// redirect sends the sender to a path of the same server, where all is well.
func redirect(code int) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(s *Stand, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/elsewhere") {
			w.WriteHeader(http.StatusOK)
			return
		}
		w.Header().Set("Location", s.URL+"/elsewhere"+r.RequestURI)
		w.WriteHeader(code)
		fmt.Fprint(w, echo("text/html", r))
	}
}

func retryAfter(code int, value string) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(s *Stand, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", value)
		status(code, "text/plain")(s, w, r)
	}
}

func retryAfterDate(from time.Duration) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(s *Stand, w http.ResponseWriter, r *http.Request) {
		retryAfter(429, time.Now().Add(from).UTC().Format(http.TimeFormat))(s, w, r)
	}
}

// cutOff writes what is not a whole answer, and closes the connection.
func cutOff(text string) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(_ *Stand, w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
}

// reset closes the connection such that the other end sees a reset.
func reset(_ *Stand, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// endless writes until the other end has gone.
func endless(code int) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(s *Stand, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		block := []byte(strings.Repeat(" ", 64<<10))
		for r.Context().Err() == nil {
			select {
			case <-s.release:
				return
			default:
			}
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
}

// hang answers nothing more behind the header, or nothing at all for 0, until the
// other end has gone.
func hang(code int) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(s *Stand, w http.ResponseWriter, r *http.Request) {
		if code != 0 {
			w.WriteHeader(code)
			fmt.Fprint(w, `{"id":`)
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-r.Context().Done():
		case <-s.release:
		}
	}
}

// switches is a switch of protocols that nobody asked for. net/http hands out the bare
// connection as the body, which no context ends.
func switches(s *Stand, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
	<-s.release
	_ = conn.Close()
}

// newDeadServer is one where nobody listens. The port of a server that was closed
// could be given to another test.
func (r *run) newDeadServer() *Stand {
	s := r.newStand()
	s.URL = "http://127.0.0.1:1"
	return s
}

// verdictOf is what an error asks for.
func verdictOf(err error) Verdict {
	if _, later := laneswap.RetryDelay(err); later {
		return Later
	}
	switch {
	case err == nil:
		return Delivered
	case laneswap.IsPermanent(err):
		return Permanent
	case laneswap.IsRefused(err):
		return Refused
	}
	return Retried
}
