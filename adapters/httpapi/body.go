package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// The limits of bodies, in bytes.
const (
	MaxBodyBytes  = 64 << 10  // A registration or a heartbeat.
	MaxErrorBytes = 256 << 10 // A reported error: its stack, at 32 KiB, may be written with an escape for each character.
	MaxBatchBytes = 8 << 20   // A batch of heartbeats.
)

// readBody returns the whole body. It refuses a body larger than limit with 413,
// and one whose media type cannot be JSON with 415, unless it is empty.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		// Refused before it is sent: the client may wait for 100 Continue.
		w.Header().Set("Connection", "close")
		return nil, tooLarge("the body is %d bytes long, the limit is %d", r.ContentLength, limit)
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= MaxBodyBytes {
		buf.Grow(int(r.ContentLength) + bytes.MinRead) // else ReadFrom grows once more to see the end
	}
	return fillBody(&buf, w, r, limit)
}

// fillBody appends the rest of the body to buf.
func fillBody(buf *bytes.Buffer, w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	_, err := buf.ReadFrom(http.MaxBytesReader(bare(w), r.Body, limit-int64(buf.Len())))
	var exceeded *http.MaxBytesError
	switch {
	case errors.As(err, &exceeded):
		return nil, tooLarge("the body is longer than the limit of %d bytes", limit)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, badRequest("the body ends before its announced length")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, badRequest("the body arrives too slowly")
	case err != nil:
		return nil, badRequest("the body could not be read")
	}
	if buf.Len() > 0 {
		if err := checkMedia(r); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), nil
}

// checkMedia refuses media types that cannot be JSON. The form type that curl -d
// sends, and no type at all, count as JSON.
func checkMedia(r *http.Request) error {
	unsupported := func(name, value string) error {
		return &requestError{http.StatusUnsupportedMediaType, "unsupported-media-type", name + " " + text.Clip(value, 80) + " is not supported, send JSON"}
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return unsupported("Content-Encoding", enc)
	}
	given := r.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	media, params, err := mime.ParseMediaType(given)
	if err != nil {
		return unsupported("Content-Type", given)
	}
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii":
	default:
		return unsupported("Content-Type", given)
	}
	switch media {
	case "application/x-www-form-urlencoded", "application/octet-stream", "text/plain":
		return nil
	}
	if !strings.Contains(media, "json") { // application/json, x-ndjson, anything+json, text/json
		return unsupported("Content-Type", given)
	}
	return nil
}

// isNDJSON reports whether the media type says one JSON value per line.
func isNDJSON(r *http.Request) bool {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-lines":
		return true
	}
	return false
}
