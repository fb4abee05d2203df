package laneswap

import (
	"context"
	"log/slog"
	"time"
)

// The defaults of the options, and their bounds.
const (
	DefaultStaleThreshold = 60 * time.Second
	DefaultCheckInterval  = 30 * time.Second

	// DefaultGroupWait is how long a notice waits to be grouped with others.
	// MaxGroupWait bounds it.
	DefaultGroupWait = 5 * time.Second
	MaxGroupWait     = 5 * time.Minute

	// DefaultFlapLimit is how many transitions within 30 minutes are alerted one by
	// one.
	DefaultFlapLimit = 5

	// DefaultRetention is how long history is stored. MinRetention and MaxRetention
	// bound it.
	DefaultRetention = 400 * 24 * time.Hour
	MinRetention     = 24 * time.Hour
	MaxRetention     = 3650 * 24 * time.Hour
)

// Option configures a Manager in NewManager. When a value is out of its range, Start
// and every other method return an error that matches ErrInvalidOption and names the
// option.
type Option func(*options)

type options struct {
	staleThreshold time.Duration
	checkInterval  time.Duration
	limits         Limits
	events         int
	logger         *slog.Logger
	notifiers      []Notifier
	interceptors   []Interceptor
	storage        Storage
	stored         bool // WithStorage was given
	retention      time.Duration
	remarks        []string
	groupWait      time.Duration
	remindEvery    time.Duration
	flapLimit      int
	selfChecks     []func(ctx context.Context) string
}

// WithStaleThreshold sets the silence after which a service without a StaleAfter or
// Interval of its own becomes stale: 10 ms to 366 days, default 60 s.
func WithStaleThreshold(d time.Duration) Option {
	return func(o *options) { o.staleThreshold = d }
}

// WithCheckInterval sets how often the Manager does housekeeping, such as forgetting
// services whose ForgetAfter has passed: 10 ms to 366 days, default 30 s. It does not
// delay the detection of stale services: that happens within milliseconds of the
// deadline.
func WithCheckInterval(d time.Duration) Option {
	return func(o *options) { o.checkInterval = d }
}

// WithNotifier adds a notifier. A Manager with a notifier must be started before its
// other methods are used: they return ErrNotStarted until then.
func WithNotifier(n Notifier) Option {
	return func(o *options) { o.notifiers = append(o.notifiers, n) }
}

// WithGroupWait sets how long a notice waits to be grouped with others: 0 to 5
// minutes, default 5 s. Zero disables grouping. During a burst of notices the wait is
// six times as long.
func WithGroupWait(d time.Duration) Option {
	return func(o *options) { o.groupWait = d }
}

// WithFlapLimit sets how many transitions of a service within 30 minutes are alerted
// one by one: 0 to 9, default 5. Zero means no limit. Beyond that the service is
// flapping: notifiers receive one notice, then a summary every 15 minutes.
func WithFlapLimit(n int) Option {
	return func(o *options) { o.flapLimit = n }
}

// WithRemindEvery sets how long after the last notice about a bad service a reminder
// follows while the service stays bad: 10 ms to 366 days. By default, or with zero,
// there are no reminders.
func WithRemindEvery(d time.Duration) Option {
	return func(o *options) { o.remindEvery = d }
}

// WithSelfCheck adds a check of LaneSwap's own surroundings. The Manager calls it
// during a mass silence and adds its result to the alert. check returns one line of
// text within 5 seconds, such as "the gateway answers". At most one call runs at a
// time.
func WithSelfCheck(check func(ctx context.Context) string) Option {
	return func(o *options) { o.selfChecks = append(o.selfChecks, check) }
}

// WithStorage makes the Manager store its state in s and restore it at Start. A
// Manager with a storage must be started before its other methods are used: they
// return ErrNotStarted until then. The Manager does not close s. The caller closes it
// after Stop.
func WithStorage(s Storage) Option {
	return func(o *options) { o.storage, o.stored = s, true }
}

// WithRetention sets how long events, spans, absences and reported errors are stored:
// 24 hours to 3650 days, default 400 days.
func WithRetention(d time.Duration) Option {
	return func(o *options) { o.retention = d }
}

// WithRemark makes Start record an event of kind EventStorageDamaged with this text. A
// program that finds damage when it opens the storage alerts notifiers in this way.
func WithRemark(text string) Option {
	return func(o *options) { o.remarks = append(o.remarks, text) }
}

// WithInterceptor adds an Interceptor. Several interceptors run in the order in which
// they were added.
func WithInterceptor(i Interceptor) Option {
	return func(o *options) { o.interceptors = append(o.interceptors, i) }
}

// WithLogger sets where the Manager logs events that no caller receives: failures of
// notifiers and of the storage, and its own absences. By default nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}

// WithLimits sets the limits. Fields that are zero keep their defaults.
func WithLimits(l Limits) Option {
	return func(o *options) { o.limits = l }
}

// WithEventBuffer sets how many events stay in memory for Events and Watch: 1 to
// 1,000,000, default 16,384. The oldest are dropped first.
func WithEventBuffer(n int) Option {
	return func(o *options) { o.events = n }
}

// validate fills in the default limits. It returns a *ValidationError for the first
// option that is out of its range.
func (o *options) validate() error {
	if err := checkDuration(ErrInvalidOption, "stale_threshold", o.staleThreshold); err != nil {
		return err
	}
	if err := checkDuration(ErrInvalidOption, "check_interval", o.checkInterval); err != nil {
		return err
	}
	if o.events < 1 || o.events > 1_000_000 {
		return invalid(ErrInvalidOption, "event_buffer", "is %d, it must be from 1 to 1000000", o.events)
	}
	if o.retention < MinRetention || o.retention > MaxRetention {
		return invalid(ErrInvalidOption, "retention", "is %v, it must be from %v to %v (10 years)", o.retention, MinRetention, MaxRetention)
	}
	if o.stored && o.storage == nil {
		return invalid(ErrInvalidOption, "storage", "is nil")
	}
	for _, n := range o.notifiers {
		if err := checkNotifier(n); err != nil {
			return err
		}
	}
	if o.groupWait < 0 || o.groupWait > MaxGroupWait {
		return invalid(ErrInvalidOption, "group_wait", "is %v, it must be from 0 to %v", o.groupWait, MaxGroupWait)
	}
	if o.flapLimit < 0 || o.flapLimit >= maxStatusEvents {
		return invalid(ErrInvalidOption, "flap_limit", "is %d, it must be from 0 to %d", o.flapLimit, maxStatusEvents-1)
	}
	for _, check := range o.selfChecks {
		if check == nil {
			return invalid(ErrInvalidOption, "self_check", "is nil")
		}
	}
	if o.remindEvery != 0 {
		if err := checkDuration(ErrInvalidOption, "remind_every", o.remindEvery); err != nil {
			return err
		}
	}
	for _, i := range o.interceptors {
		if i == nil {
			return invalid(ErrInvalidOption, "interceptor", "is nil")
		}
	}
	return o.limits.fill()
}
