package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/command"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/adapters/webhook"
	"github.com/laneswap/laneswap/config"
)

// openNotifiers returns the notifiers of the settings, each with its filters. They do
// not connect yet. The error names the setting and holds no secret.
func openNotifiers(cfg config.Config) ([]laneswap.Option, error) {
	var options []laneswap.Option
	for _, n := range cfg.AllNotifiers() {
		made, err := openNotifier(cfg, n)
		if err != nil {
			return nil, err
		}
		if n.Immediately {
			made = laneswap.Immediately(made)
		}
		options = append(options, laneswap.WithNotifier(laneswap.Only(made, n.Filters()...)))
	}
	return options, nil
}

// warnUnused warns about settings that have no effect because the setting that they
// belong to is missing. Most often that one is misspelled, and no alerts would be sent.
func warnUnused(cfg config.Config, log *slog.Logger) {
	plain := config.Default()
	hasDiscord := slices.ContainsFunc(cfg.AllNotifiers(), func(n config.Notifier) bool { return n.Discord.Webhook != "" })
	for _, s := range []struct {
		unused       bool
		name, needed string
	}{
		{!hasDiscord && cfg.DiscordUsername != plain.DiscordUsername, "LANESWAP_DISCORD_USERNAME", "LANESWAP_DISCORD_WEBHOOK"},
		{!hasDiscord && cfg.DiscordAvatarURL != plain.DiscordAvatarURL, "LANESWAP_DISCORD_AVATAR_URL", "LANESWAP_DISCORD_WEBHOOK"},
		{!hasDiscord && cfg.DiscordAPIBase != plain.DiscordAPIBase, "LANESWAP_DISCORD_API_BASE", "LANESWAP_DISCORD_WEBHOOK"},
		{cfg.WebhookURL == "" && cfg.WebhookSecret != "", "LANESWAP_WEBHOOK_SECRET", "LANESWAP_WEBHOOK_URL"},
		{cfg.WebhookURL == "" && cfg.WebhookPrivate, "LANESWAP_WEBHOOK_PRIVATE", "LANESWAP_WEBHOOK_URL"},
	} {
		if s.unused {
			log.Warn(s.name + " has no effect: " + s.needed + " is not set")
		}
	}
}

func openNotifier(cfg config.Config, n config.Notifier) (laneswap.Notifier, error) {
	switch {
	case n.Discord.Webhook != "":
		return openDiscord(cfg, n)
	case n.Webhook.URL != "":
		return openWebhook(n)
	}
	return build(n, func(opts ...command.Option) (*command.Notifier, error) { return command.New(n.Command, opts...) },
		part[command.Option]{"command", command.WithName(n.Name)},
		part[command.Option]{"command", command.WithoutEnv(cfg.SecretVariables()...)})
}

func openDiscord(cfg config.Config, n config.Notifier) (laneswap.Notifier, error) {
	base := discord.WithAPIBase(cfg.DiscordAPIBase)
	// Checked with a valid webhook, because discord.New checks both together.
	if _, err := discord.New(anyWebhook, base); err != nil {
		return nil, unusable("LANESWAP_DISCORD_API_BASE", "discord", err)
	}
	return build(n, func(opts ...discord.Option) (*discord.Notifier, error) {
		return discord.New(n.Discord.Webhook.Reveal(), append(opts, base)...)
	},
		part[discord.Option]{"discord.webhook", discord.WithName(n.Name)},
		part[discord.Option]{"discord.username", discord.WithUsername(n.Discord.Username)},
		part[discord.Option]{"discord.avatar_url", discord.WithAvatarURL(n.Discord.AvatarURL)})
}

// anyWebhook has the form of a webhook and belongs to no one.
const anyWebhook = discord.DefaultAPIBase + "/api/webhooks/1/x"

func openWebhook(n config.Notifier) (laneswap.Notifier, error) {
	w := n.Webhook
	var parts []part[webhook.Option]
	if w.Private { // before the address is checked
		parts = append(parts, part[webhook.Option]{"webhook.url", webhook.WithPrivateNetworks()})
	}
	parts = append(parts, part[webhook.Option]{"webhook.url", webhook.WithName(n.Name)})
	if w.Secret != "" {
		parts = append(parts, part[webhook.Option]{"webhook.secret", webhook.WithSecret(w.Secret.Reveal())})
	}
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		parts = append(parts, part[webhook.Option]{"webhook.headers." + name, webhook.WithHeader(name, w.Headers[name].Reveal())})
	}
	made, err := build(n, func(opts ...webhook.Option) (*webhook.Notifier, error) { return webhook.New(w.URL.Reveal(), opts...) }, parts...)
	if errors.Is(err, webhook.ErrPrivateNetwork) {
		err = fmt.Errorf("%w (%s allows private networks)", err, n.Called("webhook.private"))
	}
	return made, err
}

// part is an option of an adapter and the key of its setting.
type part[O any] struct {
	key    string
	option O
}

// build creates the notifier again with each further part, so that it can name the part
// that the adapter refuses. Creating a notifier has no side effects.
func build[N laneswap.Notifier, O any](n config.Notifier, open func(...O) (N, error), parts ...part[O]) (laneswap.Notifier, error) {
	var made N
	var options []O
	for _, p := range parts {
		options = append(options, p.option)
		var err error
		if made, err = open(options...); err != nil {
			kind, _, _ := strings.Cut(p.key, ".")
			return nil, unusable(n.Called(p.key), kind, err)
		}
	}
	return made, nil
}

// unusable names the setting that an adapter refused. Errors of adapters hold no secret.
func unusable(setting, adapter string, err error) error {
	return fmt.Errorf("server: cannot use %s: %w", setting, refusal{without{adapter + ": ", err}, setting})
}

// refusal turns any error into one that matches laneswap.ErrInvalidOption and has a
// *laneswap.ValidationError.
type refusal struct {
	without
	setting string
}

func (r refusal) Unwrap() []error {
	return []error{&laneswap.ValidationError{Field: r.setting, Problem: r.Error(), Err: laneswap.ErrInvalidOption}, r.err}
}

// notifierNames returns the names of all notifiers, separated by commas.
func (s *Server) notifierNames(ctx context.Context) string {
	notifiers, err := s.manager.Notifiers(ctx)
	if err != nil {
		return ""
	}
	names := make([]string, len(notifiers))
	for i, n := range notifiers {
		names[i] = n.Name
	}
	return strings.Join(names, ",")
}
