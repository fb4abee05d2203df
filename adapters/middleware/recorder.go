package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// recorder is an http.ResponseWriter that remembers the status. Unwrap gives
// http.ResponseController the writer below. wrap adds the interfaces that handlers
// find by type assertion, if the writer below has them; recorder has those that work
// with any writer.
type recorder struct {
	http.ResponseWriter
	status int    // 0 until the header is written
	alive  func() // called while a long answer goes on
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

// WriteString avoids a copy if the writer below does.
func (rec *recorder) WriteString(s string) (int, error) {
	rec.begun()
	return io.WriteString(rec.ResponseWriter, s)
}

// ReadFrom lets the writer below use sendfile.
func (rec *recorder) ReadFrom(src io.Reader) (int64, error) {
	rec.begun()
	return io.Copy(rec.ResponseWriter, src)
}

// Push is HTTP/2 server push. It returns http.ErrNotSupported if there is none.
func (rec *recorder) Push(target string, opts *http.PushOptions) error {
	if pusher, ok := rec.ResponseWriter.(http.Pusher); ok {
		return pusher.Push(target, opts)
	}
	return http.ErrNotSupported
}

// begun records the status that net/http implies.
func (rec *recorder) begun() {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
}

// streamed calls alive, unless the answer is a failure.
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
