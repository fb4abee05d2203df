package httpapi

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

// chunkBytes is how much of a long answer is held before it is sent on.
const chunkBytes = 32 << 10

// writePatience is how long a client may take to read one piece of an answer.
const writePatience = 30 * time.Second

// jsonStream writes one JSON object piece by piece, so that a long list is never
// held as a whole. Until the first piece is sent the request may still be
// answered with a problem.
type jsonStream struct {
	out   *bufio.Writer
	items int
}

func newJSONStream(w http.ResponseWriter) *jsonStream {
	w.Header().Set("Content-Type", "application/json")
	s := &jsonStream{}
	s.out = bufio.NewWriterSize(&patient{w: w, rc: http.NewResponseController(w)}, chunkBytes)
	return s
}

// patient gives the client time anew for every piece of an answer after the
// first: a long answer to a slow reader may take longer than a server's
// WriteTimeout, a reader that does not read may not.
type patient struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	pieces int
}

func (p *patient) Write(b []byte) (int, error) {
	if p.pieces++; p.pieces > 1 {
		_ = p.rc.SetWriteDeadline(time.Now().Add(writePatience)) // without it the server's own holds
	}
	return p.w.Write(b)
}

// raw writes text that is JSON already.
func (s *jsonStream) raw(text string) { _, _ = s.out.WriteString(text) } // the error stays and comes again

// value writes v. The error is http.ErrAbortHandler when the client takes no
// more.
func (s *jsonStream) value(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := s.out.Write(data); err != nil {
		return http.ErrAbortHandler
	}
	return nil
}

// joined writes the members of two values that encode as objects, neither empty,
// as one object. Embedding would not do: a MarshalJSON hides the other members.
func (s *jsonStream) joined(a, b any) error {
	first, err := json.Marshal(a)
	if err != nil {
		return err
	}
	second, err := json.Marshal(b)
	if err != nil {
		return err
	}
	s.raw(string(first[:len(first)-1]) + "," + string(second[1:]))
	return nil
}

// item writes v as the next of a list.
func (s *jsonStream) item(v any) error {
	s.separate()
	return s.value(v)
}

// member writes v as the next member of an object.
func (s *jsonStream) member(key string, v any) error {
	s.separate()
	if err := s.value(key); err != nil {
		return err
	}
	s.raw(":")
	return s.value(v)
}

func (s *jsonStream) separate() {
	if s.items++; s.items > 1 {
		s.raw(",")
	}
}

// end sends what is left.
func (s *jsonStream) end() error {
	s.raw("\n")
	if s.out.Flush() != nil {
		return http.ErrAbortHandler
	}
	return nil
}
