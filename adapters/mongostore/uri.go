package mongostore

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// uriHelp describes a URI. Errors of the driver are not shown, as they may quote the
// URI with its password.
const uriHelp = "write it as mongodb://user:password@host:27017/database?option=value, with special characters in user and password percent-encoded"

// address holds the parts of a URI that the store needs.
type address struct {
	srv      bool // a name server knows the hosts
	database string
}

// parseURI reads a URI. The driver checks the rest of it.
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
		return fmt.Errorf("%w: the chunk is %d rows; it must be 1 to 10000", ErrInvalidOption, o.chunk)
	case o.timeout < time.Millisecond:
		return fmt.Errorf("%w: the timeout is %s; it must be at least 1ms", ErrInvalidOption, o.timeout)
	case o.ttl != 0 && (o.ttl < 24*time.Hour || o.ttl/time.Second > 1<<31-1):
		return fmt.Errorf("%w: the TTL is %s; it must be 0, or 24h to 68 years", ErrInvalidOption, o.ttl)
	case o.log == nil:
		return fmt.Errorf("%w: the logger is nil", ErrInvalidOption)
	}
	if o.database != "" {
		if err := checkDatabase(o.database, ErrInvalidOption); err != nil {
			return err
		}
	}
	names := map[string]bool{rowsCollection: true, seenCollection: true}
	for _, name := range []string{o.heartbeats, o.errors} {
		if name == "" || len(name) > 120 || strings.ContainsAny(name, "$\x00") || strings.HasPrefix(name, "system.") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			return fmt.Errorf("%w: %q is not a valid name of a collection", ErrInvalidOption, name)
		}
		if names[name] {
			return fmt.Errorf("%w: the name %q is taken by another collection of LaneSwap", ErrInvalidOption, name)
		}
		names[name] = true
	}
	return nil
}

// checkDatabase refuses the names that MongoDB refuses on any system. Its error does
// not quote the name: in a malformed URI it may be a part of the password.
func checkDatabase(name string, kind error) error {
	if name == "" || len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00") {
		return fmt.Errorf("%w: the name of the database must be 1 to 63 bytes without blanks and any of /\\.\"$*<>:|?", kind)
	}
	return nil
}
