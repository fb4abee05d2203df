package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// recorder is the http.ResponseWriter that a handler is given: it remembers the
// status. Unwrap leads http.ResponseController to the writer below. The
// interfaces that handlers ask for by type assertion are added by wrap, only
// where the writer below has them; those that work with any writer are here.
type recorder struct {
	http.ResponseWriter
	status int    // 0 until the header is written
	alive  func() // tells that the service is answering
}

// wrap returns rec with the interfaces that its writer has.
func (rec *recorder) wrap() http.ResponseWriter {
	_, flusher := rec.ResponseWriter.(http.Flusher)
	_, hijacker := rec.ResponseWriter.(http.Hijacker)
	switch {
	case flusher && hijacker:
		return flushHijackRecorder{rec, flushing{rec}, hijacking{rec}}
	case flusher:
		return flushRecorder{rec, flushing{rec}}
	case hijacker:
		return hijackRecorder{rec, hijacking{rec}}
	}
	return rec
}

type flushRecorder struct {
	*recorder
	flushing
}

type hijackRecorder struct {
	*recorder
	hijacking
}

type flushHijackRecorder struct {
	*recorder
	flushing
	hijacking
}

// Unwrap returns the writer below.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader remembers the final status; informational ones come before it.
func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

// Write writes to the writer below.
func (rec *recorder) Write(p []byte) (int, error) {
	rec.begun()
	return rec.ResponseWriter.Write(p)
}

// WriteString spares the copy where the writer below does.
func (rec *recorder) WriteString(s string) (int, error) {
	rec.begun()
	return io.WriteString(rec.ResponseWriter, s)
}

// ReadFrom lets the writer below use sendfile where it can.
func (rec *recorder) ReadFrom(src io.Reader) (int64, error) {
	rec.begun()
	return io.Copy(rec.ResponseWriter, src)
}

// Push is HTTP/2 server push; http.ErrNotSupported where there is none.
func (rec *recorder) Push(target string, opts *http.PushOptions) error {
	if pusher, ok := rec.ResponseWriter.(http.Pusher); ok {
		return pusher.Push(target, opts)
	}
	return http.ErrNotSupported
}

// begun notes the status that net/http implies.
func (rec *recorder) begun() {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
}

// streamed tells that a long answer goes on, unless it is that of a failure.
func (rec *recorder) streamed() {
	rec.begun()
	if rec.status < http.StatusInternalServerError {
		rec.alive()
	}
}

type flushing struct{ rec *recorder }

// Flush sends what was written.
func (f flushing) Flush() { _ = f.FlushError() }

// FlushError is Flush as http.ResponseController calls it.
func (f flushing) FlushError() error {
	err := http.NewResponseController(f.rec.ResponseWriter).Flush()
	if err == nil {
		f.rec.streamed()
	}
	return err
}

type hijacking struct{ rec *recorder }

// Hijack hands the connection over.
func (h hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := h.rec.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil {
		if h.rec.status == 0 {
			h.rec.status = http.StatusSwitchingProtocols
		}
		h.rec.alive()
	}
	return conn, rw, err
}
