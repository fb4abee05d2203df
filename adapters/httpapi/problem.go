package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
)

// problem is the answer to a failed request (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
}

// requestError is a failure for which the root has no sentinel.
type requestError struct {
	status int
	code   string
	detail string
}

func (e *requestError) Error() string { return e.detail }

func badRequest(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, "bad-request", fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &requestError{http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf(format, args...)}
}

// statuses maps the codes of errors that the client can act on; all others answer
// 500.
var statuses = map[string]int{
	laneswap.ErrorCode(laneswap.ErrServiceNotFound):     http.StatusNotFound,
	laneswap.ErrorCode(laneswap.ErrEventNotFound):       http.StatusNotFound,
	laneswap.ErrorCode(laneswap.ErrNotifierNotFound):    http.StatusNotFound,
	laneswap.ErrorCode(laneswap.ErrInvalidServiceID):    http.StatusUnprocessableEntity,
	laneswap.ErrorCode(laneswap.ErrInvalidRegistration): http.StatusUnprocessableEntity,
	laneswap.ErrorCode(laneswap.ErrInvalidHeartbeat):    http.StatusUnprocessableEntity,
	laneswap.ErrorCode(laneswap.ErrInvalidQuery):        http.StatusUnprocessableEntity,
	laneswap.ErrorCode(laneswap.ErrInvalidErrorReport):  http.StatusUnprocessableEntity,
	laneswap.ErrorCode(laneswap.ErrTooManyServices):     http.StatusTooManyRequests,
	laneswap.ErrorCode(laneswap.ErrNotStarted):          http.StatusServiceUnavailable,
	laneswap.ErrorCode(laneswap.ErrStopped):             http.StatusServiceUnavailable,
	laneswap.ErrorCode(laneswap.ErrLoading):             http.StatusServiceUnavailable,
	laneswap.ErrorCode(laneswap.ErrDegraded):            http.StatusServiceUnavailable,
	laneswap.ErrorCode(laneswap.ErrStorage):             http.StatusServiceUnavailable,
	laneswap.ErrorCode(laneswap.ErrSlowConsumer):        http.StatusServiceUnavailable,
	laneswap.ErrorCode(laneswap.ErrGone):                http.StatusGone,
}

// problemOf turns an error into its answer. The text of an internal error is not
// shown: it may hold secrets.
func problemOf(err error) problem {
	var request *requestError
	if errors.As(err, &request) {
		p := problem{Status: request.status, Code: request.code, Detail: request.detail}
		return p.named(http.StatusText(p.Status))
	}
	if code := laneswap.ErrorCode(err); code != "" {
		p := problem{Status: statuses[code], Code: code, Detail: strings.TrimPrefix(err.Error(), "laneswap: ")}
		var invalid *laneswap.ValidationError
		switch {
		case p.Status == 0:
			p.Status, p.Detail = http.StatusInternalServerError, "internal error"
		case private(err):
			p.Detail = laneswap.ErrorFromCode(code).Error()
		case errors.As(err, &invalid):
			p.Field, p.Detail = invalid.Field, invalid.Error()
		}
		return p.named(laneswap.ErrorFromCode(code).Error())
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "the request was canceled or timed out"}.named("service unavailable")
	}
	return problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "internal error"}.named("internal server error")
}

// private reports whether an error may hold text of a storage, and with it the
// address of the storage. It belongs in the log only.
func private(err error) bool {
	return errors.Is(err, laneswap.ErrStorage) || errors.Is(err, laneswap.ErrLoading) || errors.Is(err, laneswap.ErrDegraded)
}

// internal reports whether an error is to be logged: the client did not cause it.
func internal(p problem, err error) bool {
	return p.Status == http.StatusInternalServerError || errors.Is(err, laneswap.ErrStorage)
}

func (p problem) named(title string) problem {
	p.Type = "urn:laneswap:problem:" + p.Code
	p.Title = strings.ToLower(title)
	return p
}

// writeProblem answers with err instead of the answer that was prepared.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	header := w.Header()
	header.Del("Content-Length")
	if p.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	writeAs(w, p.Status, "application/problem+json", p)
}

// writeJSON answers with a value that can always be encoded.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	writeAs(w, status, "application/json", v)
	return nil
}

func writeAs(w http.ResponseWriter, status int, contentType string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("httpapi: encoding %T: %v", v, err)) // our own types only
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // an error means that the client disconnected
}
