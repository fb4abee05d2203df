package discord

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// urlHelp says what a URL looks like; the URL itself is a secret, also a wrong one.
const urlHelp = "it looks like https://discord.com/api/webhooks/ID/TOKEN"

// address is a webhook.
type address struct {
	url   string // the whole: a secret
	token string // a secret
}

// Versions of the API. Below minVersion Discord writes retry_after in milliseconds,
// and for a URL without a version it takes an old one.
const (
	minVersion     = 8
	defaultVersion = "10"
)

var (
	webhookPath = regexp.MustCompile(`^/api(?:/v([1-9][0-9]?))?(/webhooks/[0-9]{1,20}/([A-Za-z0-9._-]{1,200}))/?$`)
	apiSuffix   = regexp.MustCompile(`/api(?:/v([1-9][0-9]?))?$`)
	threadID    = regexp.MustCompile(`^[0-9]{1,20}$`)
)

// hosts are those of the API; the value is where requests go.
var hosts = map[string]string{
	"discord.com":           "discord.com",
	"canary.discord.com":    "canary.discord.com",
	"ptb.discord.com":       "ptb.discord.com",
	"discordapp.com":        "discord.com", // deprecated, and limited more
	"canary.discordapp.com": "canary.discord.com",
	"ptb.discordapp.com":    "ptb.discord.com",
}

// parseAddress checks the URL of a webhook and moves it to the base, unless that is
// empty.
func parseAddress(webhook, base string) (address, error) {
	invalid := func(why string) (address, error) { return address{}, fmt.Errorf("%w: %s", ErrInvalidURL, why) }
	webhook, base = strings.TrimSpace(webhook), strings.TrimSpace(base)
	if webhook == "" {
		return invalid("it is empty; " + urlHelp)
	}
	u, err := url.Parse(webhook)
	if err != nil {
		return invalid("it cannot be read; " + urlHelp)
	}
	api, err := parseBase(base)
	if err != nil {
		return address{}, err
	}
	host, known := hosts[strings.ToLower(u.Hostname())]
	switch standIn := api != nil && u.Scheme == api.Scheme && strings.EqualFold(u.Host, api.Host); {
	case u.User != nil || u.Fragment != "" || u.Opaque != "":
		return invalid("it holds more than a webhook's; " + urlHelp)
	case standIn: // as the stand-in itself shows it
	case u.Scheme != "https":
		return invalid("it is not https; " + urlHelp)
	case !known || u.Port() != "" && u.Port() != "443":
		return invalid("its host is not Discord's; " + urlHelp)
	}
	m := webhookPath.FindStringSubmatch(u.EscapedPath())
	if m == nil {
		return invalid("its path is not a webhook's; " + urlHelp)
	}
	to, prefix, version := url.URL{Scheme: "https", Host: host}, "", m[1]
	if api != nil {
		to.Scheme, to.Host, prefix = api.Scheme, api.Host, strings.TrimSuffix(api.Path, "/")
		if suffix := apiSuffix.FindStringSubmatch(prefix); suffix != nil {
			prefix, version = strings.TrimSuffix(prefix, suffix[0]), cmp.Or(suffix[1], version)
		}
	}
	version = cmp.Or(version, defaultVersion)
	if v, _ := strconv.Atoi(version); v < minVersion {
		return invalid(fmt.Sprintf("version %d of the API is not supported; remove /v%[1]d from the URL, or write /v%s", v, defaultVersion))
	}
	to.Path = prefix + "/api/v" + version + m[2]
	// Without wait=true Discord answers before it has the message, and says nothing
	// when it does not get it.
	query := url.Values{"wait": {"true"}}
	if thread := u.Query().Get("thread_id"); thread != "" {
		if !threadID.MatchString(thread) {
			return invalid("its thread_id is not a number")
		}
		query.Set("thread_id", thread)
	}
	to.RawQuery = query.Encode()
	return address{url: to.String(), token: m[3]}, nil
}

// parseBase reads the base of the API; nil when there is none but Discord's own.
func parseBase(base string) (*url.URL, error) {
	if base == "" || strings.TrimSuffix(base, "/") == DefaultAPIBase {
		return nil, nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the base of the API must look like %s", ErrInvalidOption, DefaultAPIBase)
	}
	return u, nil
}
