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

// The headers of a post. Timestamp and signature are there when it is signed.
const (
	HeaderNoticeID  = "LaneSwap-Notice-Id"
	HeaderTimestamp = "LaneSwap-Timestamp"
	HeaderSignature = "LaneSwap-Signature"
)

// ErrSignature is matched by the errors of Verify.
var ErrSignature = errors.New("webhook signature refused")

// DefaultTolerance is how far a timestamp may be off when Verify is not told.
const DefaultTolerance = 5 * time.Minute

const signaturePrefix = "sha256="

// sign is the signature of a body at a time.
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

// Verify reports whether a post was signed with the secret, for receivers in Go.
// The body is the bytes as they came. A timestamp that is more than tolerance away
// from now, in either direction, is refused, so that a post that somebody recorded
// is worth nothing later; 0 means DefaultTolerance. Within that time only its id,
// header and body, tells a repetition. Errors match ErrSignature and say nothing
// of the secret or of the signature that would be right. The comparison takes the
// same time whatever is compared.
func Verify(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	if secret == "" {
		return fmt.Errorf("%w: there is no secret to verify it with", ErrSignature)
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
		return fmt.Errorf("%w: body, timestamp and secret do not belong together", ErrSignature)
	}
	// Behind the comparison: nobody without the secret learns how the clock goes here.
	seconds, err := strconv.ParseUint(stamp, 10, 40)
	if err != nil {
		return fmt.Errorf("%w: %s is not a number of seconds", ErrSignature, HeaderTimestamp)
	}
	if off := now.Sub(time.Unix(int64(seconds), 0)); off > tolerance || off < -tolerance {
		return fmt.Errorf("%w: %s is %v off, more than %v", ErrSignature, HeaderTimestamp, off.Round(time.Second), tolerance)
	}
	return nil
}

// only is the one value of a header. Of several nobody knows which was meant.
func only(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) != 1 {
		return "", fmt.Errorf("%w: %d headers %s, want one", ErrSignature, len(values), name)
	}
	return values[0], nil
}
