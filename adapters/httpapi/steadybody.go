package httpapi

import (
	"io"
	"net/http"
	"time"
)

// The body of a large batch must arrive at bodyRate bytes a second, and may be late
// by bodyPatience.
const (
	bodyPatience = 2 * time.Second
	bodyRate     = 256 << 10
)

// steadyBody is a body that must arrive at a minimum rate. A large batch occupies a
// slot, and a client that sends nothing must not keep it for the whole ReadTimeout.
// net/http resets the deadline at the end of a body.
type steadyBody struct {
	io.ReadCloser
	rc      *http.ResponseController
	begin   time.Time
	arrived int64
	latest  time.Time // about the deadline of the server; zero when it has none
}

func newSteadyBody(w http.ResponseWriter, r *http.Request) *steadyBody {
	b := &steadyBody{ReadCloser: r.Body, rc: http.NewResponseController(w), begin: time.Now()}
	if srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && srv.ReadTimeout > 0 {
		b.latest = b.begin.Add(srv.ReadTimeout)
	}
	return b
}

// Read extends the deadline by the bytes that have arrived so far.
func (b *steadyBody) Read(p []byte) (int, error) {
	deadline := b.begin.Add(bodyPatience + time.Duration(b.arrived)*time.Second/bodyRate)
	if !b.latest.IsZero() && deadline.After(b.latest) {
		deadline = b.latest
	}
	_ = b.rc.SetReadDeadline(deadline) // not supported: the deadline of the server applies
	n, err := b.ReadCloser.Read(p)
	b.arrived += int64(n)
	return n, err
}
