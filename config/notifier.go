package config

import (
	"slices"

	"github.com/laneswap/laneswap"
)

// Notifier describes a receiver of alerts and its filters. One of Discord.Webhook,
// Webhook.URL and Command is set. An empty filter lets every event pass; an event must
// pass all filters.
type Notifier struct {
	Name    string
	Discord Discord // no pointer: fmt would print its target without our methods
	Webhook Webhook
	Command Command

	Levels   []laneswap.Level
	MinLevel laneswap.Level // "" is none
	Statuses []laneswap.Status
	// Services and NotServices are patterns of ids and names, as in laneswap.Services.
	Services, NotServices []string
	Tags                  []string
	// Immediately sends each notice at once and by itself, never in a digest.
	Immediately bool

	file      string            // "" for a notifier of variables
	entry     string            // such as "entry 2 (ops)"
	called    map[string]string // the variables that set its keys
	variables []string          // the variables that hold its secrets
}

// Discord describes a Discord channel.
type Discord struct {
	Webhook Secret
	// Username and AvatarURL default to those of the Config.
	Username, AvatarURL string
}

// Webhook describes an address that alerts are posted to.
type Webhook struct {
	URL Secret
	// Secret signs the posts; without it they are not signed.
	Secret Secret
	// Private allows an address in a private network.
	Private bool
	Headers map[string]Secret
}

// The names of the notifiers that variables define, and of the log.
const (
	nameDiscord = "discord"
	nameWebhook = "webhook"
	nameCommand = "command"
	nameLog     = "slog"
)

// AllNotifiers returns the notifiers of the variables, named "discord", "webhook" and
// "command", followed by Notifiers. It fills in empty user names and avatars from the
// variables. The result shares only its lists with c.
func (c Config) AllNotifiers() []Notifier {
	all := slices.Concat(c.ofVariables(), c.Notifiers)
	for i, n := range all {
		if n.Discord.Webhook == "" {
			continue
		}
		d := n.Discord
		called := map[string]string{}
		for key, variable := range n.called {
			called[key] = variable
		}
		if d.Username == "" {
			d.Username, called["discord.username"] = c.DiscordUsername, "LANESWAP_DISCORD_USERNAME"
		}
		if d.AvatarURL == "" {
			d.AvatarURL, called["discord.avatar_url"] = c.DiscordAvatarURL, "LANESWAP_DISCORD_AVATAR_URL"
		}
		all[i].Discord, all[i].called = d, called
	}
	return all
}

// SecretVariables returns the names of the variables that the notifiers file reads
// secrets from. They must not be passed on to other programs.
func (c Config) SecretVariables() (names []string) {
	for _, n := range c.Notifiers {
		names = append(names, n.variables...)
	}
	return names
}

// ofVariables returns the notifiers that variables define.
func (c Config) ofVariables() []Notifier {
	var made []Notifier
	if c.DiscordWebhook != "" {
		made = append(made, Notifier{
			Name: nameDiscord, Discord: Discord{Webhook: c.DiscordWebhook},
			called: map[string]string{"discord.webhook": "LANESWAP_DISCORD_WEBHOOK"},
		})
	}
	if c.WebhookURL != "" {
		made = append(made, Notifier{
			Name: nameWebhook, Webhook: Webhook{URL: c.WebhookURL, Secret: c.WebhookSecret, Private: c.WebhookPrivate},
			called: map[string]string{
				"webhook.url": "LANESWAP_WEBHOOK_URL", "webhook.secret": "LANESWAP_WEBHOOK_SECRET", "webhook.private": "LANESWAP_WEBHOOK_PRIVATE",
			},
		})
	}
	if len(c.Command) > 0 {
		made = append(made, Notifier{Name: nameCommand, Command: c.Command, called: map[string]string{"command": "LANESWAP_COMMAND"}})
	}
	return made
}

// Called returns how the user knows a setting of n, such as "discord.webhook": the
// name of its variable, or its key, entry and file.
func (n Notifier) Called(key string) string {
	if variable := n.called[key]; variable != "" {
		return variable
	}
	if n.file == "" {
		return key + " of the notifier " + n.Name
	}
	return key + " of " + n.entry + " in " + n.file
}

// Filters returns the filters of n, for laneswap.Only; nil when every event passes.
func (n Notifier) Filters() []laneswap.Filter {
	var filters []laneswap.Filter
	add := func(given bool, f laneswap.Filter) {
		if given {
			filters = append(filters, f)
		}
	}
	add(len(n.Levels) > 0, laneswap.Levels(n.Levels...))
	add(n.MinLevel != "", laneswap.MinLevel(n.MinLevel))
	add(len(n.Statuses) > 0, laneswap.OnStatuses(n.Statuses...))
	add(len(n.Services) > 0, laneswap.Services(n.Services...))
	add(len(n.NotServices) > 0, laneswap.Not(laneswap.Services(n.NotServices...)))
	add(len(n.Tags) > 0, laneswap.Tagged(n.Tags...))
	return filters
}
