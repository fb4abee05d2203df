package mongostore

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// uriHelp says what a URI looks like: what the driver finds wrong with one may
// quote it, password and all.
const uriHelp = "it looks like mongodb://user:password@host:27017/database?option=value, special characters in user and password percent-encoded"

// address is what a URI says that the store itself must know.
type address struct {
	srv      bool // the hosts are asked of a name server
	database string
}

// parseURI takes from a URI what the store needs. What is in the rest the driver
// checks.
func parseURI(uri string) (address, error) {
	var a address
	rest, plain := strings.CutPrefix(uri, "mongodb://")
	if !plain {
		if rest, a.srv = strings.CutPrefix(uri, "mongodb+srv://"); !a.srv {
			return a, fmt.Errorf("%w: it must begin with mongodb:// or mongodb+srv://", ErrInvalidURI)
		}
	}
	rest, _, _ = strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if credentials, host, ok := strings.Cut(hosts, "@"); ok {
		if strings.Contains(host, "@") || strings.Count(credentials, ":") > 1 {
			return a, fmt.Errorf("%w: %s", ErrInvalidURI, uriHelp)
		}
		hosts = host
	}
	if hosts == "" || a.srv && strings.ContainsAny(hosts, ",:") {
		return a, fmt.Errorf("%w: %s", ErrInvalidURI, uriHelp)
	}
	database, err := url.PathUnescape(path)
	if err != nil {
		return a, fmt.Errorf("%w: %s", ErrInvalidURI, uriHelp)
	}
	a.database = database
	if database == "" {
		a.database = "laneswap"
	}
	return a, nil
}

// check refuses settings out of their range.
func (o *settings) check() error {
	switch {
	case o.chunk < 1 || o.chunk > 10_000:
		return fmt.Errorf("%w: a chunk of %d rows is not within 1 and 10000", ErrInvalidOption, o.chunk)
	case o.timeout < time.Millisecond:
		return fmt.Errorf("%w: a timeout of %s is below 1ms", ErrInvalidOption, o.timeout)
	case o.ttl != 0 && (o.ttl < 24*time.Hour || o.ttl/time.Second > 1<<31-1):
		return fmt.Errorf("%w: a TTL of %s is neither 0 nor within 24h and 68 years", ErrInvalidOption, o.ttl)
	case o.log == nil:
		return fmt.Errorf("%w: no logger", ErrInvalidOption)
	}
	if o.database != "" {
		if err := checkDatabase(o.database, ErrInvalidOption); err != nil {
			return err
		}
	}
	names := map[string]bool{rowsCollection: true, seenCollection: true}
	for _, name := range []string{o.heartbeats, o.errors} {
		if name == "" || len(name) > 120 || strings.ContainsAny(name, "$\x00") || strings.HasPrefix(name, "system.") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			return fmt.Errorf("%w: %q is no name of a collection", ErrInvalidOption, name)
		}
		if names[name] {
			return fmt.Errorf("%w: the collection %q holds something else", ErrInvalidOption, name)
		}
		names[name] = true
	}
	return nil
}

// checkDatabase refuses names that MongoDB does, on any system. The name is not
// said: in a URI that is not well formed it may be part of a password.
func checkDatabase(name string, kind error) error {
	if name == "" || len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00") {
		return fmt.Errorf("%w: the name of the database must be 1 to 63 bytes without blanks and any of /\\.\"$*<>:|?", kind)
	}
	return nil
}
