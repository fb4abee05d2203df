package server

import (
	"io"
	"log/slog"
	"os"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
)

// Option is an option of Open.
type Option func(*options)

type options struct {
	log     *slog.Logger
	output  io.Writer
	manager []laneswap.Option
	limits  stopLimits
}

// WithLogger sets the logger. It then ignores LogLevel, LogFormat and WithLogOutput. nil
// means the default.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.log = l }
}

// WithLogOutput sets the destination of the log. The default is standard error.
func WithLogOutput(w io.Writer) Option {
	return func(o *options) { o.output = w }
}

// WithManagerOptions adds options of the Manager, such as notifiers of the embedding
// program. They override those of the settings. If you add a storage, set
// Config.Storage to config.StorageMemory, and close your storage after Run.
func WithManagerOptions(opts ...laneswap.Option) Option {
	return func(o *options) { o.manager = append(o.manager, opts...) }
}

// logger returns the logger of WithLogger, or one as the settings say.
func (o options) logger(cfg config.Config) *slog.Logger {
	if o.log != nil {
		return o.log
	}
	var out io.Writer = os.Stderr
	if o.output != nil {
		out = o.output
	}
	opts := &slog.HandlerOptions{Level: cfg.Level()}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}
