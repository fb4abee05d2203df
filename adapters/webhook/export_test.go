package webhook

import (
	"net"
	"net/http"
	"net/netip"
)

// Receipt and Printable read and write text from outside.
var (
	Receipt   = receipt
	Printable = printable
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
