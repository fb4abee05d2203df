package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a POST. Only a signed one has a timestamp and a signature.
const (
	HeaderNoticeID  = "LaneSwap-Notice-Id"
	HeaderTimestamp = "LaneSwap-Timestamp"
	HeaderSignature = "LaneSwap-Signature"
)

// ErrSignature is returned by Verify for a POST whose signature is not valid.
var ErrSignature = errors.New("webhook signature refused")

// DefaultTolerance is how far a timestamp may be off by default.
const DefaultTolerance = 5 * time.Minute

const signaturePrefix = "sha256="

// sign returns the signature of a body and a timestamp.
func sign(secret, stamp string, body []byte) string {
	return signaturePrefix + hex.EncodeToString(digest(secret, stamp, body))
}

func digest(secret, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify checks that a POST was signed with the secret, for servers in Go. body is the
// body as received. Verify refuses a timestamp more than tolerance away from now, in
// either direction, so that a recorded POST is useless later; 0 means
// DefaultTolerance. Within that time only the id of the message shows a repetition.
// Errors match ErrSignature and show neither the secret nor the right signature. The
// comparison takes constant time.
func Verify(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	if secret == "" {
		return fmt.Errorf("%w: the secret is empty", ErrSignature)
	}
	if tolerance <= 0 {
		tolerance = DefaultTolerance
	}
	stamp, err := only(header, HeaderTimestamp)
	if err != nil {
		return err
	}
	given, err := only(header, HeaderSignature)
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(given, signaturePrefix)
	if !ok {
		return fmt.Errorf("%w: %s does not begin with %s", ErrSignature, HeaderSignature, signaturePrefix)
	}
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("%w: %s is not %d hexadecimal digits", ErrSignature, HeaderSignature, 2*sha256.Size)
	}
	if !hmac.Equal(sum, digest(secret, stamp, body)) {
		return fmt.Errorf("%w: it does not match body, timestamp and secret", ErrSignature)
	}
	// After the comparison, so that only those who know the secret learn our time.
	seconds, err := strconv.ParseUint(stamp, 10, 40)
	if err != nil {
		return fmt.Errorf("%w: %s is not a number of seconds", ErrSignature, HeaderTimestamp)
	}
	if off := now.Sub(time.Unix(int64(seconds), 0)); off > tolerance || off < -tolerance {
		return fmt.Errorf("%w: %s is %v off, more than %v", ErrSignature, HeaderTimestamp, off.Round(time.Second), tolerance)
	}
	return nil
}

// only returns the value of a header that must occur once.
func only(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) != 1 {
		return "", fmt.Errorf("%w: there are %d headers %s, want one", ErrSignature, len(values), name)
	}
	return values[0], nil
}
