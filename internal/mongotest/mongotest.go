// Package mongotest starts a database for tests that speaks MongoDB's protocol.
//
// It is built on demand from the module in the folder server, with nothing but Go
// and the module proxy, and listens on a free port of the loopback interface over
// a temporary folder. LANESWAP_TEST_MONGODB_URI points tests at a server of one's
// own instead; they leave databases with random names there.
package mongotest

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
)

// envURI names the server to use instead of one that is built.
const envURI = "LANESWAP_TEST_MONGODB_URI"

// External returns the URI that LANESWAP_TEST_MONGODB_URI holds, "" when tests
// run against the server that is built.
func External() string { return os.Getenv(envURI) }

// Start returns the URI of a running server, with the name of a database of its
// own in it: that of External, or a Server's that ends with the test.
func Start(t testing.TB) (uri string) {
	t.Helper()
	if uri := External(); uri != "" {
		return Fresh(uri)
	}
	return Fresh(New(t).URI())
}

// Fresh returns a URI of the same server with the name of another new database.
func Fresh(uri string) string {
	return WithDatabase(uri, "laneswap_test_"+strings.ToLower(rand.Text()))
}

// WithDatabase returns a URI of the same server with the name of a database.
func WithDatabase(uri, name string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	rest, query, asked := strings.Cut(rest, "?")
	hosts, _, _ := strings.Cut(rest, "/")
	uri = scheme + "://" + hosts + "/" + name
	if asked {
		uri += "?" + query
	}
	return uri
}
