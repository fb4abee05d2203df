package config

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// problem is the error of a parser. It quotes a value only where it cannot be secret.
type problem string

func (p problem) Error() string { return string(p) }

// quote begins a problem with the value, cut to 40 characters. It hides what may be an
// address: a password may have been pasted into the wrong setting.
func quote(v any) string {
	s := laneswap.Sanitize(fmt.Sprint(v))
	if strings.Contains(s, "://") || strings.Contains(s, "@") {
		return "looks like an address"
	}
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "..."
	}
	return fmt.Sprintf("is %q", s)
}

// parseBool accepts the words of strconv.ParseBool in any case, and yes, no, on and off.
func parseBool(s string) (any, error) {
	switch s = strings.ToLower(s); s {
	case "yes", "on":
		return true, nil
	case "no", "off":
		return false, nil
	}
	return strconv.ParseBool(s)
}

// ParseDuration parses a duration. A bare number is seconds. Otherwise it takes Go's
// form, such as "90s" or "1h30m", also with whole days of 24 hours in front, such as
// "400d" or "1d12h". A negative duration is an error.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		d, err := laneswap.Seconds(seconds)
		if err != nil {
			return 0, problem(strings.TrimSpace(err.Error()))
		}
		return d, nil
	}
	d, err := parseUnits(s)
	switch {
	case err != nil:
		return 0, problem(quote(s) + ", it must be seconds, such as 30, or a duration, such as 90s, 5m or 2d")
	case d < 0:
		return 0, problem(quote(s) + ", it must not be negative")
	}
	return d, nil
}

const day = 24 * time.Hour

// parseUnits is time.ParseDuration with days.
func parseUnits(s string) (time.Duration, error) {
	number, rest, found := strings.Cut(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	days, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, err
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, err
		}
	}
	if d < 0 || days > uint64((math.MaxInt64-d)/day) {
		return 0, strconv.ErrRange
	}
	return time.Duration(days)*day + d, nil
}

// Host is an address to listen on: an IP address or the name of a host.
type Host string

// UnmarshalText checks the host and drops brackets around an IPv6 address.
func (h *Host) UnmarshalText(text []byte) error {
	s := string(text)
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	if _, err := netip.ParseAddr(s); err != nil {
		// Not quoted: a URL pasted here may hold a password.
		if strings.ContainsAny(s, " \t/@:[]") {
			return problem("must be only an IP address or a host name, without a scheme, a port or a path")
		}
		if len(s) > 253 {
			return problem("is " + strconv.Itoa(len(s)) + " bytes long, the limit is 253")
		}
	}
	*h = Host(s)
	return nil
}

// Origins lists the web origins that may use the API: "*" or entries such as
// "https://status.example.org".
type Origins []string

// UnmarshalText parses origins separated by commas; "none" means no origin.
func (o *Origins) UnmarshalText(text []byte) error {
	*o = nil
	if strings.TrimSpace(string(text)) == "none" {
		return nil
	}
	for i, part := range strings.Split(string(text), ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if part != "*" {
			u, err := url.Parse(strings.TrimSuffix(part, "/"))
			if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Host, "*") {
				// Not quoted: it may hold a password.
				return problem(fmt.Sprintf("has a wrong entry %d: it must be * or an origin such as https://status.example.org", i+1))
			}
			part = strings.ToLower(u.Scheme + "://" + u.Host)
		}
		*o = append(*o, part)
	}
	if *o == nil {
		return problem("has no origin: it must be *, none, or origins such as https://status.example.org")
	}
	return nil
}
