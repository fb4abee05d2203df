package httpapi

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

// chunkBytes is the size of the buffer of a long answer.
const chunkBytes = 32 << 10

// writePatience is how long a client may take to read one piece of an answer.
const writePatience = 30 * time.Second

// jsonStream writes one JSON object piece by piece, so that a long list is never
// in memory as a whole. Until the first piece is sent, the answer can still become a
// problem.
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

// patient extends the write deadline for every piece after the first. A slow reader
// may take longer than the WriteTimeout of the server; a reader that stopped may
// not.
type patient struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	pieces int
}

func (p *patient) Write(b []byte) (int, error) {
	if p.pieces++; p.pieces > 1 {
		_ = p.rc.SetWriteDeadline(time.Now().Add(writePatience)) // not supported: the deadline of the server applies
	}
	return p.w.Write(b)
}

// raw writes JSON text.
func (s *jsonStream) raw(text string) { _, _ = s.out.WriteString(text) } // bufio keeps the error for end

// value writes v. It returns http.ErrAbortHandler when the client stopped reading.
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

// joined writes two objects that are not empty as one. Embedding would not do: a
// MarshalJSON of one hides the members of the other.
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

// item writes v as the next element of a list.
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

// end flushes the answer.
func (s *jsonStream) end() error {
	s.raw("\n")
	if s.out.Flush() != nil {
		return http.ErrAbortHandler
	}
	return nil
}
