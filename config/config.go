// Package config turns flags and environment variables into checked settings.
// Flags win over the environment, the environment wins over the defaults. The
// caller passes both to Load. Load reads no other source except the notifiers file
// and the files with secrets that it names.
package config

import (
	"log/slog"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/caarlos0/env/v10"
)

// Config holds the settings of a server. The tags of a field define its setting:
//
//   - env and envDefault: the variable and its default, read by env/v10
//   - flag: the command line flag; without it only the environment sets the field
//   - min and max: the bounds; zero allows 0 although min is above it
//   - oneof: the allowed words
//   - help: the text in --help
//
// To add a setting, add a field. A field without an env tag is computed from others.
type Config struct {
	Host Host `env:"LANESWAP_HOST" envDefault:"0.0.0.0" flag:"host" help:"address to listen on"`
	// Port 0 picks a free one.
	Port           int           `env:"LANESWAP_PORT" envDefault:"8000" flag:"port" min:"0" max:"65535" help:"port to listen on; 0 picks a free one and logs it"`
	CheckInterval  time.Duration `env:"LANESWAP_CHECK_INTERVAL" envDefault:"30" flag:"check-interval" min:"10ms" max:"8784h" help:"interval of housekeeping; it does not delay the detection of stale services"`
	StaleThreshold time.Duration `env:"LANESWAP_STALE_THRESHOLD" envDefault:"60" flag:"stale-threshold" min:"10ms" max:"8784h" help:"default silence after which a service is stale"`
	// CORSOrigins holds "*" or origins such as "https://status.example.org".
	CORSOrigins    Origins    `env:"LANESWAP_CORS_ORIGINS" envDefault:"*" flag:"cors-origins" help:"web origins that may use the API, separated by commas; * allows reading from all, none allows no origin"`
	MaxConnections int        `env:"LANESWAP_MAX_CONNECTIONS" envDefault:"10000" flag:"max-connections" min:"1" max:"1000000" help:"maximum of open connections; more wait until one closes"`
	Debug          bool       `env:"LANESWAP_DEBUG" envDefault:"false" flag:"debug" help:"log at debug level and serve pprof on a separate loopback port"`
	LogLevel       slog.Level `env:"LANESWAP_LOG_LEVEL" envDefault:"info" flag:"log-level" oneof:"debug info warn error" help:"lowest level that is logged"`
	LogFormat      string     `env:"LANESWAP_LOG_FORMAT" envDefault:"text" flag:"log-format" oneof:"text json" help:"format of the log"`

	// Storage may be empty; ChosenStorage then decides.
	Storage   string        `env:"LANESWAP_STORAGE" flag:"storage" oneof:"memory file mongodb" help:"where state is stored: memory, file or mongodb (default mongodb if LANESWAP_MONGODB_URI is set, else file)"`
	Data      string        `env:"LANESWAP_DATA" envDefault:"laneswap.db" flag:"data" help:"file that stores the state"`
	Retention time.Duration `env:"LANESWAP_RETENTION" envDefault:"400d" flag:"retention" min:"1d" max:"3650d" help:"how long history is kept"`
	// MongoDBURI has no flag, because a list of processes would show its password.
	MongoDBURI        Secret `env:"LANESWAP_MONGODB_URI" help:"MongoDB that stores the state, such as mongodb://user:password@host:27017"`
	MongoDBDatabase   string `env:"LANESWAP_MONGODB_DATABASE" envDefault:"laneswap" flag:"mongodb-database" help:"MongoDB database"`
	MongoDBHeartbeats string `env:"LANESWAP_MONGODB_HEARTBEATS" envDefault:"heartbeats" help:"MongoDB collection of services"`
	MongoDBErrors     string `env:"LANESWAP_MONGODB_ERRORS" envDefault:"errors" help:"MongoDB collection of reported errors"`

	GroupWait   time.Duration `env:"LANESWAP_GROUP_WAIT" envDefault:"5" flag:"group-wait" min:"0" max:"5m" help:"how long an alert waits to be grouped with others; 0 sends at once"`
	RemindEvery time.Duration `env:"LANESWAP_REMIND_EVERY" envDefault:"0" flag:"remind-every" min:"10ms" max:"8784h" zero:"off" help:"interval of reminders about a service that is still bad; 0 sends none"`
	// Load reads NotifiersFile into Notifiers.
	NotifiersFile string `env:"LANESWAP_NOTIFIERS" flag:"notifiers" help:"JSON file of notifiers and their filters"`
	// DiscordWebhook alone enables Discord. It has no flag, like WebhookURL and
	// WebhookSecret, because a list of processes would show it.
	DiscordWebhook   Secret `env:"LANESWAP_DISCORD_WEBHOOK" help:"webhook of the Discord channel that gets alerts"`
	DiscordUsername  string `env:"LANESWAP_DISCORD_USERNAME" envDefault:"LaneSwap" help:"user name that Discord shows"`
	DiscordAvatarURL string `env:"LANESWAP_DISCORD_AVATAR_URL" help:"picture that Discord shows"`
	DiscordAPIBase   string `env:"LANESWAP_DISCORD_API_BASE" envDefault:"https://discord.com" help:"base address of Discord or of a proxy"`
	WebhookURL       Secret `env:"LANESWAP_WEBHOOK_URL" help:"address that alerts are posted to as JSON"`
	WebhookSecret    Secret `env:"LANESWAP_WEBHOOK_SECRET" help:"secret that signs these posts"`
	WebhookPrivate   bool   `env:"LANESWAP_WEBHOOK_PRIVATE" envDefault:"false" help:"allow LANESWAP_WEBHOOK_URL to be in a private network"`
	// Command is a program and its arguments. The arguments may be secret.
	Command Command `env:"LANESWAP_COMMAND" help:"program that gets alerts on its standard input: its path, or a JSON array with arguments"`

	// Notifiers are the entries of NotifiersFile. AllNotifiers adds those of the
	// variables.
	Notifiers []Notifier
}

// Default returns the settings that apply when nothing is set.
func Default() Config {
	c, err := Load(nil, nil)
	if err != nil {
		panic("config: the defaults break their own rules: " + err.Error()) // a test would have seen it
	}
	return c
}

// Load returns the settings from the environment, in the form of os.Environ, and
// from the flags that were given, by name ("port"). An empty variable counts as not
// set, an empty flag is an error. The error is of type Errors, with one *Error for
// each refused setting.
func Load(environ []string, flags map[string]string) (Config, error) {
	l := loader{environ: env.ToMap(environ), flags: maps.Clone(flags)}
	delete(l.flags, "") // a setting without a flag has this one
	var c Config
	if err := l.parse(&c); err != nil {
		return Config{}, err
	}
	l.checkStorage(c)
	l.readNotifiers(&c)
	if len(l.errs) > 0 {
		return Config{}, l.errs
	}
	return c, nil
}

// Address returns host and port as net.Listen takes them.
func (c Config) Address() string { return net.JoinHostPort(string(c.Host), strconv.Itoa(c.Port)) }

// Level returns the lowest level that is logged: LogLevel, or debug with Debug.
func (c Config) Level() slog.Level {
	if c.Debug {
		return min(c.LogLevel, slog.LevelDebug)
	}
	return c.LogLevel
}
