package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/laneswap/laneswap/internal/wirejson"
)

const (
	// streamIdle is the silence after which a stream counts as dead: three keep-alive
	// comments of the server.
	streamIdle = 45 * time.Second
	// maxFrameBytes bounds one event of a stream.
	maxFrameBytes = 4 << 20
)

// errFrameTooLong ends a watch, since a retry would get the same event.
var errFrameTooLong = fmt.Errorf("an event of the stream is longer than %d bytes", maxFrameBytes)

// stream is one connection of server-sent events. It must not be used concurrently.
type stream struct {
	journal string
	body    io.ReadCloser
	lines   *bufio.Reader
	cancel  context.CancelFunc // ends the connection, also during a read
	alive   bool               // something was received
}

// frame is one event of a stream.
type frame struct {
	kind string
	data []byte
}

// openStream connects, with the timeout of a call. The connection ends with ctx or by
// close.
func (c *Client) openStream(ctx context.Context, r request) (*stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(c.timeout, cancel)
	res, err := c.send(inner, r)
	inTime := late.Stop()
	switch {
	case err != nil && ctx.Err() != nil:
		cancel()
		return nil, ctx.Err()
	case err != nil && !inTime:
		cancel()
		return nil, &transportError{
			text: fmt.Sprintf("%v: no answer within %v", ErrUnreachable, c.timeout), cause: context.DeadlineExceeded,
		}
	case err != nil:
		cancel()
		return nil, c.unanswered(err)
	}
	s := &stream{
		journal: res.Header.Get(wirejson.JournalHeader), body: res.Body, lines: bufio.NewReaderSize(res.Body, 16<<10), cancel: cancel,
	}
	if res.StatusCode == http.StatusOK {
		if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media == "text/event-stream" {
			return s, nil
		}
	}
	defer s.close()
	// The body of a refusal may be slow too.
	late.Reset(c.timeout)
	defer late.Stop()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxProblemBytes))
	return nil, problemError(res.StatusCode, res.Header, body, r.kind)
}

// next waits for the next event and skips comments. After an error the connection is over.
// It does not return an incomplete event.
func (s *stream) next() (frame, error) {
	var f frame
	idle := time.AfterFunc(streamIdle, s.cancel)
	defer idle.Stop()
	size := 0
	for {
		line, err := s.line(maxFrameBytes - size)
		if err != nil {
			return frame{}, err
		}
		s.alive = true
		idle.Reset(streamIdle)
		size += len(line)
		if len(line) == 0 {
			if f.data != nil {
				return f, nil
			}
			f, size = frame{}, 0
			continue
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "event":
			f.kind = string(value)
		case "data":
			if f.data == nil {
				f.data = make([]byte, 0, len(value))
			} else {
				f.data = append(f.data, '\n')
			}
			f.data = append(f.data, value...)
		}
	}
}

// line reads one line of at most limit bytes, without its end.
func (s *stream) line(limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := s.lines.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, errFrameTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// close ends the connection.
func (s *stream) close() {
	s.cancel()
	_ = s.body.Close()
}
