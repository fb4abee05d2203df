package webhook

import (
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
)

// Option changes what New makes.
type Option func(*Notifier) error

// WithName says what the notifier is called in logs, in answers and in the storage,
// instead of "webhook".
func WithName(name string) Option {
	return func(n *Notifier) error {
		if name == "" {
			return invalid("name", "is empty")
		}
		n.name = name
		return nil
	}
}

// WithSecret signs each post with HMAC-SHA256; see Verify. The secret should be
// random and at least 32 bytes long.
func WithSecret(secret string) Option {
	return func(n *Notifier) error {
		if secret == "" {
			return invalid("secret", "is empty")
		}
		n.secret = secret
		return nil
	}
}

// WithHeader adds a header to each post, such as Authorization. One that is given
// twice is sent twice. Headers that belong to the transport or to LaneSwap are
// refused. The value is a secret: no error repeats it.
func WithHeader(name, value string) Option {
	return func(n *Notifier) error {
		if !token(name) {
			return invalid("header", "has a name that is none")
		}
		canonical := http.CanonicalHeaderKey(name)
		switch canonical {
		case "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade", "Keep-Alive",
			"Proxy-Connection", "Expect", "Idempotency-Key", "X-Idempotency-Key":
			return invalid("header "+canonical, "cannot be set")
		}
		if strings.HasPrefix(canonical, "Laneswap-") {
			return invalid("header "+canonical, "cannot be set: it is LaneSwap's own")
		}
		for i := range len(value) {
			if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
				return invalid("header "+canonical, "has a value with control characters")
			}
		}
		if laneswap.Sanitize(value) != strings.ReplaceAll(value, "\t", " ") {
			return invalid("header "+canonical, "has a value with characters that cannot be sent")
		}
		n.header.Add(canonical, value)
		return nil
	}
}

// token reports whether s can be the name of a header.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// WithPrivateNetworks allows posts to addresses that are not public, and to proxies
// of the environment. Give it when whoever sets the URL may reach all that
// LaneSwap can reach.
func WithPrivateNetworks() Option {
	return func(n *Notifier) error {
		n.open = true
		return nil
	}
}

// WithHTTPClient posts through a client of the caller's, which decides whom it
// connects to: the guard against private networks is part of the client that New
// makes, and does not apply. Redirects are not followed with this one either. The
// client is copied, its transport is shared.
func WithHTTPClient(client *http.Client) Option {
	return func(n *Notifier) error {
		if client == nil {
			return invalid("client", "is nil")
		}
		n.client = client
		return nil
	}
}
