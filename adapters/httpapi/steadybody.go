package httpapi

import (
	"io"
	"net/http"
	"time"
)

// How fast the body of a large batch must arrive: it may be late by bodyPatience,
// compared with a client that sends bodyRate bytes a second.
const (
	bodyPatience = 2 * time.Second
	bodyRate     = 256 << 10
)

// steadyBody is a body that must arrive at a least rate. Who sends a large batch
// keeps others from sending theirs, and must not do so for a server's whole
// ReadTimeout by sending nothing. At the end of a body net/http lifts the
// deadline by itself.
type steadyBody struct {
	io.ReadCloser
	rc      *http.ResponseController
	begin   time.Time
	arrived int64
	latest  time.Time // the server's own deadline, about; zero when it has none
}

func newSteadyBody(w http.ResponseWriter, r *http.Request) *steadyBody {
	b := &steadyBody{ReadCloser: r.Body, rc: http.NewResponseController(w), begin: time.Now()}
	if srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && srv.ReadTimeout > 0 {
		b.latest = b.begin.Add(srv.ReadTimeout)
	}
	return b
}

// Read reads on, for as long as what has arrived so far allows.
func (b *steadyBody) Read(p []byte) (int, error) {
	deadline := b.begin.Add(bodyPatience + time.Duration(b.arrived)*time.Second/bodyRate)
	if !b.latest.IsZero() && deadline.After(b.latest) {
		deadline = b.latest
	}
	_ = b.rc.SetReadDeadline(deadline) // where there is none, the server's own holds
	n, err := b.ReadCloser.Read(p)
	b.arrived += int64(n)
	return n, err
}
