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

// answer is a row of the table: what the receiver does, and the allowed verdicts.
type answer struct {
	name  string
	want  []Verdict
	reply func(s *Stand, w http.ResponseWriter, r *http.Request)
	// after is the delay that a verdict Later must have; 0 allows any.
	after time.Duration
	// hangs reports that only the context ends the call.
	hangs bool
	// place, if not nil, starts the server instead of newServer.
	place func(r *run) *Stand
}

var (
	retried = []Verdict{Retried, Later}
	waits   = []Verdict{Later}
	refused = []Verdict{Refused}
	forever = []Verdict{Permanent}
	either  = []Verdict{Delivered, Retried, Later} // the receiver may or may not have it
	failed  = []Verdict{Retried, Later, Refused, Permanent}
)

// answers is the table. The bodies repeat the request, as error pages of many servers
// do: URL and headers hold secrets.
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

// reply sends a.
func (a Answer) reply(_ *Stand, w http.ResponseWriter, _ *http.Request) {
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.Status)
	if a.Status != http.StatusNoContent {
		fmt.Fprint(w, a.Body)
	}
}

// echo returns an error page that repeats the request and holds terminal sequences.
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

// redirect leads to a path of the same server that answers 200.
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

// cutOff writes a part of an answer and closes the connection.
func cutOff(text string) func(*Stand, http.ResponseWriter, *http.Request) {
	return func(_ *Stand, w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
}

// reset resets the connection.
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

// endless writes until the client has gone.
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

// hang writes the headers and a part of the body, or nothing for code 0, and waits until
// the client has gone.
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

// switches answers 101 without being asked. net/http then returns the bare connection as
// the body, which no context ends.
func switches(s *Stand, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
	<-s.release
	_ = conn.Close()
}

// newDeadServer returns a stand whose port is closed. The port of a server that has
// closed could be reused by another test.
func (r *run) newDeadServer() *Stand {
	s := r.newStand()
	s.URL = "http://127.0.0.1:1"
	return s
}

// verdictOf returns the verdict of an error.
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
