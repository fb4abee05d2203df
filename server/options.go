package server

import (
	"io"
	"log/slog"
	"os"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
)

// Option changes a Server while it is opened.
type Option func(*options)

type options struct {
	log     *slog.Logger
	output  io.Writer
	manager []laneswap.Option
	limits  stopLimits
}

// WithLogger sets the logger; level and format of the settings then do not
// count. nil means the default.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.log = l }
}

// WithLogOutput sets where the log is written; standard error unless set.
func WithLogOutput(w io.Writer) Option {
	return func(o *options) { o.output = w }
}

// WithManagerOptions adds options of the Manager, such as notifiers of the
// embedding program. They come after those of the settings and win over them.
// Who brings a storage sets Config.Storage to config.StorageMemory, so that none
// is opened for nothing; who opens it closes it, after Run.
func WithManagerOptions(opts ...laneswap.Option) Option {
	return func(o *options) { o.manager = append(o.manager, opts...) }
}

// logger makes the logger of the settings unless one was given.
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
