// Package config turns flags and environment variables into checked settings:
// flags win over the environment, the environment over the defaults. It reads
// neither by itself; both are handed to Load, which reads one file only, that of
// the notifiers, and what that points at.
package config

import (
	"log/slog"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/caarlos0/env/v10"
)

// Config is the settings of a server. Each field is the whole definition of its
// setting: env is the variable, flag the flag, help what it is for, min and max
// its bounds, oneof its choices. A field added here is at once read, checked,
// and offered as a flag by the commands; one without a flag is set by the
// environment only, and one without a variable is made of others.
type Config struct {
	Host Host `env:"LANESWAP_HOST" envDefault:"0.0.0.0" flag:"host" help:"address to listen on"`
	// Port 0 picks a free one.
	Port           int           `env:"LANESWAP_PORT" envDefault:"8000" flag:"port" min:"0" max:"65535" help:"port to listen on; 0 picks a free one and says which"`
	CheckInterval  time.Duration `env:"LANESWAP_CHECK_INTERVAL" envDefault:"30" flag:"check-interval" min:"10ms" max:"8784h" help:"rhythm of housekeeping; silence is noticed at once whatever it is"`
	StaleThreshold time.Duration `env:"LANESWAP_STALE_THRESHOLD" envDefault:"60" flag:"stale-threshold" min:"10ms" max:"8784h" help:"silence after which a service is stale that says nothing of its own"`
	// CORSOrigins holds "*" or origins such as "https://status.example.org".
	CORSOrigins    Origins    `env:"LANESWAP_CORS_ORIGINS" envDefault:"*" flag:"cors-origins" help:"origins whose pages may use the API, by commas; * lets all of them read, none refuses all"`
	MaxConnections int        `env:"LANESWAP_MAX_CONNECTIONS" envDefault:"10000" flag:"max-connections" min:"1" max:"1000000" help:"connections held at once; more wait until one ends"`
	Debug          bool       `env:"LANESWAP_DEBUG" envDefault:"false" flag:"debug" help:"log at debug level and serve pprof on a loopback port of its own"`
	LogLevel       slog.Level `env:"LANESWAP_LOG_LEVEL" envDefault:"info" flag:"log-level" oneof:"debug info warn error" help:"least level that is logged"`
	LogFormat      string     `env:"LANESWAP_LOG_FORMAT" envDefault:"text" flag:"log-format" oneof:"text json" help:"how the log is written"`

	// Storage may be empty; ChosenStorage says what holds then.
	Storage   string        `env:"LANESWAP_STORAGE" flag:"storage" oneof:"memory file mongodb" help:"where state is kept: memory, file or mongodb; unset: mongodb where LANESWAP_MONGODB_URI is set, else file"`
	Data      string        `env:"LANESWAP_DATA" envDefault:"laneswap.db" flag:"data" help:"the file that state is kept in"`
	Retention time.Duration `env:"LANESWAP_RETENTION" envDefault:"400d" flag:"retention" min:"1d" max:"3650d" help:"how long history is kept"`
	// MongoDBURI has no flag: whoever lists processes would read its password.
	MongoDBURI        Secret `env:"LANESWAP_MONGODB_URI" help:"the MongoDB that state is kept in, such as mongodb://user:password@host:27017"`
	MongoDBDatabase   string `env:"LANESWAP_MONGODB_DATABASE" envDefault:"laneswap" flag:"mongodb-database" help:"database in MongoDB"`
	MongoDBHeartbeats string `env:"LANESWAP_MONGODB_HEARTBEATS" envDefault:"heartbeats" help:"collection of the services in MongoDB"`
	MongoDBErrors     string `env:"LANESWAP_MONGODB_ERRORS" envDefault:"errors" help:"collection of the reported errors in MongoDB"`

	GroupWait   time.Duration `env:"LANESWAP_GROUP_WAIT" envDefault:"5" flag:"group-wait" min:"0" max:"5m" help:"how long an alert waits for others to be told with it; 0 is not at all"`
	RemindEvery time.Duration `env:"LANESWAP_REMIND_EVERY" envDefault:"0" flag:"remind-every" min:"10ms" max:"8784h" zero:"off" help:"how often people are reminded of what is still bad; 0, as it is unless set, is never"`
	// NotifiersFile is read by Load, into Notifiers.
	NotifiersFile string `env:"LANESWAP_NOTIFIERS" flag:"notifiers" help:"a JSON file of notifiers, and of what each is told"`
	// DiscordWebhook alone switches Discord on. It has no flag, and WebhookURL and
	// WebhookSecret have none: whoever lists processes would read them.
	DiscordWebhook   Secret `env:"LANESWAP_DISCORD_WEBHOOK" help:"the webhook of a Discord channel to tell"`
	DiscordUsername  string `env:"LANESWAP_DISCORD_USERNAME" envDefault:"LaneSwap" help:"the name of who writes to Discord"`
	DiscordAvatarURL string `env:"LANESWAP_DISCORD_AVATAR_URL" help:"the picture of who writes to Discord"`
	DiscordAPIBase   string `env:"LANESWAP_DISCORD_API_BASE" envDefault:"https://discord.com" help:"where Discord is reached, such as a proxy"`
	WebhookURL       Secret `env:"LANESWAP_WEBHOOK_URL" help:"where alerts are posted to, as JSON"`
	WebhookSecret    Secret `env:"LANESWAP_WEBHOOK_SECRET" help:"what those posts are signed with"`
	WebhookPrivate   bool   `env:"LANESWAP_WEBHOOK_PRIVATE" envDefault:"false" help:"lets LANESWAP_WEBHOOK_URL be in a private network"`
	// Command is a program and its arguments, which may be secret.
	Command Command `env:"LANESWAP_COMMAND" help:"a program that gets alerts on its standard input, alone or as a JSON array with arguments"`

	// Notifiers are those of the NotifiersFile. AllNotifiers has those of the
	// variables as well.
	Notifiers []Notifier
}

// Default returns the settings that hold when nothing is set.
func Default() Config {
	c, err := Load(nil, nil)
	if err != nil {
		panic("config: the defaults break their own rules: " + err.Error()) // a test would have seen it
	}
	return c
}

// Load returns the settings made of the environment, in the form of os.Environ,
// and of the flags that were given, by name ("port") and without those that
// were not. An empty variable counts as not set, an empty flag is refused. The
// error joins an *Error for each setting that was refused.
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

// Level returns the least level that is logged: LogLevel, or debug with Debug.
func (c Config) Level() slog.Level {
	if c.Debug {
		return min(c.LogLevel, slog.LevelDebug)
	}
	return c.LogLevel
}
