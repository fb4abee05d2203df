package webhook

import (
	"net/http"
	"strings"

	"github.com/laneswap/laneswap"
)

// Option changes a Notifier while New creates it.
type Option func(*Notifier) error

// WithName sets the name of the notifier in logs, API answers and the storage. The
// default is "webhook".
func WithName(name string) Option {
	return func(n *Notifier) error {
		if name == "" {
			return invalid("name", "is empty")
		}
		n.name = name
		return nil
	}
}

// WithSecret signs each POST with HMAC-SHA256; see Verify. The secret should be random
// and at least 32 bytes long.
func WithSecret(secret string) Option {
	return func(n *Notifier) error {
		if secret == "" {
			return invalid("secret", "is empty")
		}
		n.secret = secret
		return nil
	}
}

// WithHeader adds a header to each POST, such as Authorization. A header that is given
// twice is sent twice. New refuses headers that belong to the transport or to
// LaneSwap. The value may be a secret: no error shows it.
func WithHeader(name, value string) Option {
	return func(n *Notifier) error {
		if !token(name) {
			return invalid("header", "has an invalid name")
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

// token reports whether s is valid as the name of a header.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// WithPrivateNetworks allows addresses that are not public, and the proxies of the
// environment. Use it if those who set the URL may reach everything that LaneSwap can
// reach.
func WithPrivateNetworks() Option {
	return func(n *Notifier) error {
		n.open = true
		return nil
	}
}

// WithHTTPClient sets the client that makes the requests. The guard against private
// networks is part of the default client and does not apply to this one. The Notifier
// uses a copy of the client that follows no redirects; the transport is shared.
func WithHTTPClient(client *http.Client) Option {
	return func(n *Notifier) error {
		if client == nil {
			return invalid("client", "is nil")
		}
		n.client = client
		return nil
	}
}
