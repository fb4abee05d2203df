package webhook

import (
	"net"
	"net/http"
	"net/netip"
	"time"
)

// RetryAfter, Receipt and Printable are what is parsed and written of foreign text.
var (
	RetryAfter = retryAfter
	Receipt    = receipt
	Printable  = printable
)

// Private says why an address is not public.
func Private(addr netip.Addr) string { return private(addr) }

// GuardedClient is the client that New makes without WithPrivateNetworks, with the
// name service that r asks.
func GuardedClient(r *net.Resolver) *http.Client {
	d := newDialer()
	d.Resolver = r
	return &http.Client{Transport: transport(false, d)}
}

// MaxDelay is the longest pause.
const MaxDelay time.Duration = maxDelay
