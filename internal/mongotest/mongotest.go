// Package mongotest starts a database for tests that speaks MongoDB's protocol.
//
// The database is FerretDB, built on demand from the module in the folder server.
// It needs Go and the module proxy only, listens on a free port of the loopback
// interface, and keeps its data in a temporary folder. With LANESWAP_TEST_MONGODB_URI
// tests use your own server instead; they leave databases with random names there.
// With -short, tests that need FerretDB are skipped.
package mongotest

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
)

// envURI holds the URI of the server to use instead of FerretDB.
const envURI = "LANESWAP_TEST_MONGODB_URI"

// External returns LANESWAP_TEST_MONGODB_URI, "" when tests use FerretDB.
func External() string { return os.Getenv(envURI) }

// Start returns the URI of a running server, with the name of a new database: of
// External, or of a Server that ends with the test.
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
