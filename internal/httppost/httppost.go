// Package httppost holds what the notifiers share that post over HTTP: one request
// whose answer is read within bounds, Retry-After, and errors that show neither the
// URL nor anything else that may hold a secret.
package httppost

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MaxDelay is the longest delay that RetryAfter and Seconds return.
const MaxDelay = 24 * time.Hour

// Answer is the answer of a server. Do does not read the body of a 1xx: after a 101 it is
// the bare connection, which has no end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // perhaps a part of it: see Err
	Err    error  // why the body broke off; nil when it was read to its end or limit
}

// Client returns a copy of c that follows no redirect: that would carry the message,
// and secrets with it, to another server.
func Client(c *http.Client) *http.Client {
	copied := *c
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &copied
}

// Do sends req once, and reads at most limit bytes of the answer's body, for at most
// bodyTime. Its errors are those of Failure.
func Do(client *http.Client, req *http.Request, limit int64, bodyTime time.Duration) (Answer, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return Answer{}, Failure(ctx, err)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Status < 200 {
		return a, nil
	}
	late := time.AfterFunc(bodyTime, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	// To its end, so that the connection can be used again.
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, limit)); err != nil {
		a.Err = Failure(ctx, err)
	}
	return a, nil
}

// RetryAfter reads the header Retry-After: a number of seconds, or a date after now. It
// returns false for anything else.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text != "" && strings.Trim(text, "0123456789.") == "" {
		return Seconds(text)
	}
	at, err := http.ParseTime(text)
	if err != nil || !at.After(now) {
		return 0, false
	}
	return min(at.Sub(now), MaxDelay), true
}

// Seconds reads a number of seconds, which may have a fraction. It returns false for a
// negative number, and for other texts.
func Seconds(text string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if (err != nil && !errors.Is(err, strconv.ErrRange)) || math.IsNaN(f) || f < 0 {
		return 0, false
	}
	return time.Duration(math.Ceil(min(f, MaxDelay.Seconds()) * float64(time.Second))), true
}

// Safe is an error of a notifier's own dialer whose text holds no secret. Failure
// returns it as it is.
type Safe interface {
	error
	HoldsNoSecret()
}

// Failure describes why a request got no answer, or not all of it. The errors of
// net/http hold the URL, those of proxies and transports may hold it, and those below
// hold the host. So the text is our own, and Failure wraps only what holds no text
// from outside: the errors of contexts, errno and TLS alerts.
func Failure(ctx context.Context, err error) error {
	var (
		safe      Safe
		lookup    *net.DNSError
		untrusted x509.UnknownAuthorityError
		otherHost x509.HostnameError
		invalid   x509.CertificateInvalidError
		cert      *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		errno     syscall.Errno
		timeout   net.Error
	)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.Canceled), cause == nil && errors.Is(err, context.Canceled):
		return fmt.Errorf("no answer: %w", context.Canceled)
	case cause != nil, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.As(err, &safe):
		return safe
	case errors.As(err, &lookup):
		switch {
		case lookup.IsNotFound:
			return errors.New("the name of the server does not exist in DNS")
		case lookup.IsTimeout:
			return errors.New("DNS does not answer")
		}
		return errors.New("the name of the server could not be looked up")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.As(err, &untrusted):
		return errors.New("the server's certificate is not signed by a trusted authority")
	case errors.As(err, &otherHost):
		return errors.New("the server's certificate is for another host")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("the server's certificate has expired or is not yet valid")
	case errors.As(err, &invalid), errors.As(err, &cert):
		return errors.New("the server's certificate cannot be verified")
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return errors.New("the server does not speak TLS")
	case errors.As(err, &alert):
		return fmt.Errorf("the server ended the TLS handshake: %w", alert)
	case errors.As(err, &errno):
		return fmt.Errorf("the connection to the server failed: %w", errno)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return errors.New("the server closed the connection before its answer was complete")
	}
	return errors.New("the request failed")
}
