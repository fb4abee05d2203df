package discord

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// urlHelp ends errors about a URL. They do not show the URL: even a wrong one may hold
// a secret.
const urlHelp = "copy it from Discord: https://discord.com/api/webhooks/ID/TOKEN"

// address is where requests for a webhook go. Both fields are secrets.
type address struct {
	url   string
	token string
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

// hosts maps the hosts of webhook URLs to those that requests go to.
var hosts = map[string]string{
	"discord.com":           "discord.com",
	"canary.discord.com":    "canary.discord.com",
	"ptb.discord.com":       "ptb.discord.com",
	"discordapp.com":        "discord.com", // deprecated, with lower rate limits
	"canary.discordapp.com": "canary.discord.com",
	"ptb.discordapp.com":    "ptb.discord.com",
}

// parseAddress checks the URL of a webhook. Unless base is empty, requests go there
// instead of Discord.
func parseAddress(webhook, base string) (address, error) {
	invalid := func(why string) (address, error) { return address{}, fmt.Errorf("%w: %s", ErrInvalidURL, why) }
	webhook, base = strings.TrimSpace(webhook), strings.TrimSpace(base)
	if webhook == "" {
		return invalid("the URL is empty; " + urlHelp)
	}
	u, err := url.Parse(webhook)
	if err != nil {
		return invalid("it cannot be parsed; " + urlHelp)
	}
	api, err := parseBase(base)
	if err != nil {
		return address{}, err
	}
	host, known := hosts[strings.ToLower(u.Hostname())]
	switch atBase := api != nil && u.Scheme == api.Scheme && strings.EqualFold(u.Host, api.Host); {
	case u.User != nil || u.Fragment != "" || u.Opaque != "":
		return invalid("it has a user, a fragment or no host; " + urlHelp)
	case atBase: // a test server shows its own URL
	case u.Scheme != "https":
		return invalid("it does not begin with https://; " + urlHelp)
	case !known || u.Port() != "" && u.Port() != "443":
		return invalid("its host is not discord.com; " + urlHelp)
	}
	m := webhookPath.FindStringSubmatch(u.EscapedPath())
	if m == nil {
		return invalid("its path is not /api/webhooks/ID/TOKEN; " + urlHelp)
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
	// Without wait=true Discord answers before it has saved the message, and reports no
	// error if that fails.
	query := url.Values{"wait": {"true"}}
	if thread := u.Query().Get("thread_id"); thread != "" {
		if !threadID.MatchString(thread) {
			return invalid("its thread_id must be a number")
		}
		query.Set("thread_id", thread)
	}
	to.RawQuery = query.Encode()
	return address{url: to.String(), token: m[3]}, nil
}

// parseBase parses the base of the API. It returns nil for Discord's own.
func parseBase(base string) (*url.URL, error) {
	if base == "" || strings.TrimSuffix(base, "/") == DefaultAPIBase {
		return nil, nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the base of the API must be a URL such as %s, without user, query and fragment", ErrInvalidOption, DefaultAPIBase)
	}
	return u, nil
}
