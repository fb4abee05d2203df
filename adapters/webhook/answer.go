package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/laneswap/laneswap"
)

// maxDelay is the longest pause that a receiver's Retry-After is taken for.
const maxDelay = 24 * time.Hour

// judge says what an answer means. What its body says is not repeated: error pages
// quote URLs and headers, which hold secrets.
func judge(resp *http.Response, now time.Time) error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	err := fmt.Errorf("the receiver answers %d", code)
	if text := http.StatusText(code); text != "" {
		err = fmt.Errorf("the receiver answers %d %s", code, text)
	}
	switch code {
	case 400, 413, 414, 422, 431:
		return laneswap.Refused(err)
	case 401, 403, 404, 405, 410, 415:
		return laneswap.Permanent(err)
	}
	if code >= 300 && code < 400 {
		return fmt.Errorf("%w: redirects are not followed, give the address that it leads to", err)
	}
	if d, ok := retryAfter(resp.Header.Get("Retry-After"), now); ok {
		return laneswap.RetryAfter(err, d)
	}
	return err
}

// retryAfter reads the header of that name: seconds or a date. What is neither, or
// has passed, says nothing; then the pauses are the Manager's.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 40 {
		return 0, false
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return maxDelay, true // more than fits
		}
		return min(time.Duration(seconds)*time.Second, maxDelay), true
	}
	at, err := http.ParseTime(text)
	if err != nil || !at.After(now) {
		return 0, false
	}
	return min(at.Sub(now), maxDelay), true
}

// broken is the error of a post that had no answer. The errors of net/http hold the
// URL, and those below it the host, which may be a secret too: what they say is said
// again in our words, and what is wrapped is only what holds no text from outside.
func broken(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("no answer in time: %w", cause)
	}
	var (
		guarded   *guardError
		lookup    *net.DNSError
		untrusted x509.UnknownAuthorityError
		otherHost x509.HostnameError
		expired   x509.CertificateInvalidError
		unknown   *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		errno     syscall.Errno
		timeout   net.Error
	)
	switch {
	case errors.As(err, &guarded):
		return guarded
	case errors.As(err, &lookup):
		switch {
		case lookup.IsNotFound:
			return errors.New("the receiver's name is not known to the name service")
		case lookup.IsTimeout:
			return errors.New("the name service does not answer")
		}
		return errors.New("the receiver's name could not be looked up")
	case errors.As(err, &untrusted):
		return errors.New("the receiver's certificate is signed by nobody whom this machine trusts")
	case errors.As(err, &otherHost):
		return errors.New("the receiver's certificate is for another host")
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return errors.New("the receiver's certificate has expired or is not yet valid")
	case errors.As(err, &expired), errors.As(err, &unknown):
		return errors.New("the receiver's certificate cannot be verified")
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return errors.New("the receiver does not speak TLS")
	case errors.As(err, &alert):
		return fmt.Errorf("the receiver ends the TLS handshake: %w", alert)
	case errors.As(err, &errno):
		return fmt.Errorf("no connection to the receiver: %w", errno)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the receiver closed the connection without an answer")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	}
	return errors.New("the receiver gives no answer that can be understood")
}
