package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// ErrPrivateNetwork is returned by New and Notify for an address that only
// WithPrivateNetworks allows.
var ErrPrivateNetwork = errors.New("address of a private network")

// howToOpen ends every error that refuses an address.
const howToOpen = "webhook.WithPrivateNetworks allows it"

// guardError is the error for an address that is not public.
type guardError struct {
	addr netip.Addr
	why  string
}

// Error shows the address. It does not show the host name, which may be a secret.
func (e *guardError) Error() string {
	return "not connected to " + e.addr.String() + ", an address that is " + e.why + ": " + howToOpen
}

// HoldsNoSecret has httppost.Failure return the error as it is.
func (e *guardError) HoldsNoSecret() {}

// Is matches ErrPrivateNetwork.
func (e *guardError) Is(target error) bool { return target == ErrPrivateNetwork }

func newDialer() *net.Dialer { return &net.Dialer{Timeout: 10 * time.Second} }

// transport connects by d, and to public addresses only unless open is set.
func transport(open bool, d *net.Dialer) *http.Transport {
	t := &http.Transport{
		DialContext:            d.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           2,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a small answer must not become a large one
	}
	if open {
		t.Proxy = http.ProxyFromEnvironment
		return t
	}
	d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error { return guard(address) }
	return t
}

// guard refuses an address (host and port) that is not public. The dialer calls it
// with the address that it is about to connect to.
func guard(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &guardError{why: "unknown"}
	}
	if why := private(ap.Addr()); why != "" {
		return &guardError{ap.Addr().Unmap().WithZone(""), why}
	}
	return nil
}

// named returns why a host in a URL is not public, as far as its text shows; "" if it
// may be public.
func named(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return "this machine"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return private(addr)
	}
	return ""
}

// network is a range of addresses that are not public, with the reason.
type network struct {
	prefix netip.Prefix
	why    string
}

func networks(why string, prefixes ...string) (out []network) {
	for _, p := range prefixes {
		out = append(out, network{netip.MustParsePrefix(p), why})
	}
	return out
}

// closed4 and closed6 are the ranges that IANA's special-purpose registries call not
// globally reachable, and those that clouds use internally.
var (
	closed4 = concat(
		networks("unspecified", "0.0.0.0/8"),
		networks("loopback", "127.0.0.0/8"),
		networks("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
		networks("shared by a carrier", "100.64.0.0/10"),
		networks("link-local", "169.254.0.0/16"),
		networks("a cloud's metadata service", "168.63.129.16/32"), // Azure's; others are in the ranges above
		networks("reserved", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
		networks("multicast", "224.0.0.0/4"),
	)
	closed6 = concat(
		networks("unspecified", "::/128"),
		networks("loopback", "::1/128"),
		networks("private", "fc00::/7", "fec0::/10"),
		networks("link-local", "fe80::/10"),
		networks("multicast", "ff00::/8"),
		networks("reserved", "2001::/23", "2001:db8::/32", "3fff::/20"),
	)
	// public6 holds all IPv6 addresses that are assigned for the Internet.
	public6 = netip.MustParsePrefix("2000::/3")
	// embeds are ranges of IPv6 addresses that lead to the IPv4 address in them, which
	// begins at byte at.
	embeds = []struct {
		prefix netip.Prefix
		at     int
	}{
		{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
		{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
	}
)

func concat(lists ...[]network) (out []network) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// private returns why an address is not public; "" if it is public.
func private(addr netip.Addr) string {
	addr = addr.WithZone("").Unmap() // ::ffff:10.0.0.1 is 10.0.0.1
	if addr.Is4() {
		return within(addr, closed4)
	}
	if why := within(addr, closed6); why != "" {
		return why
	}
	for _, e := range embeds {
		if e.prefix.Contains(addr) {
			b := addr.As16()
			return within(netip.AddrFrom4([4]byte(b[e.at:e.at+4])), closed4)
		}
	}
	if !addr.IsValid() || !public6.Contains(addr) {
		return "reserved"
	}
	return ""
}

func within(addr netip.Addr, list []network) string {
	for _, n := range list {
		if n.prefix.Contains(addr) {
			return n.why
		}
	}
	return ""
}
