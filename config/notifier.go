package config

import (
	"slices"

	"github.com/laneswap/laneswap"
)

// Notifier is somebody who is told, and what of. One of Discord.Webhook,
// Webhook.URL and Command is set. A list that is empty selects everything; those
// that are not must all let an event pass.
type Notifier struct {
	Name    string
	Discord Discord // no pointers: fmt prints what they point at past our methods
	Webhook Webhook
	Command Command

	Levels   []laneswap.Level
	MinLevel laneswap.Level // "" is none
	Statuses []laneswap.Status
	// Services and NotServices are patterns of ids and names, as laneswap.Services
	// has them.
	Services, NotServices []string
	Tags                  []string
	// Immediately has it told of each service by itself, at once and in full.
	Immediately bool

	file   string            // that it is of, "" when of none
	entry  string            // which of the file
	called map[string]string // its keys that are variables

	variables []string // that its secrets were taken from
}

// Discord is a channel of Discord.
type Discord struct {
	Webhook Secret
	// Username and AvatarURL are empty where those of the Config hold.
	Username, AvatarURL string
}

// Webhook is an address that alerts are posted to.
type Webhook struct {
	URL Secret
	// Secret signs the posts; empty, they are not signed.
	Secret Secret
	// Private lets the address be in a private network.
	Private bool
	Headers map[string]Secret
}

// The names of the notifiers that variables make, and of the log, which is always
// told.
const (
	nameDiscord = "discord"
	nameWebhook = "webhook"
	nameCommand = "command"
	nameLog     = "slog"
)

// AllNotifiers returns the notifiers that the variables make, called "discord",
// "webhook" and "command", and then Notifiers, whose empty names and avatars are
// those of the variables. None of it is shared with c but its lists.
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

// SecretVariables returns the names of the variables that the file of notifiers takes
// secrets from: they are nobody else's business.
func (c Config) SecretVariables() (names []string) {
	for _, n := range c.Notifiers {
		names = append(names, n.variables...)
	}
	return names
}

// ofVariables are the notifiers that variables make.
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

// Called returns what people call a setting of n, such as "discord.webhook": its
// variable, or which key of which entry of which file it is.
func (n Notifier) Called(key string) string {
	if variable := n.called[key]; variable != "" {
		return variable
	}
	if n.file == "" {
		return key + " of the notifier " + n.Name
	}
	return key + " of " + n.entry + " in " + n.file
}

// Filters returns what n is told of, for laneswap.Only; nil when that is
// everything.
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
