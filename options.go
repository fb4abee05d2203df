package laneswap

import (
	"context"
	"log/slog"
	"time"
)

// The defaults of the options, and the bounds of durations.
const (
	DefaultStaleThreshold = 60 * time.Second
	DefaultCheckInterval  = 30 * time.Second

	// MinDuration and MaxDuration bound every interval, window and threshold.
	MinDuration = 10 * time.Millisecond
	MaxDuration = 366 * 24 * time.Hour

	// DefaultGroupWait is how long notices wait for company; MaxGroupWait bounds it.
	DefaultGroupWait = 5 * time.Second
	MaxGroupWait     = 5 * time.Minute

	// DefaultFlapLimit is how many transitions in 30 minutes are not too many.
	DefaultFlapLimit = 5

	// DefaultRetention is how long history is stored; MinRetention and
	// MaxRetention bound it.
	DefaultRetention = 400 * 24 * time.Hour
	MinRetention     = 24 * time.Hour
	MaxRetention     = 3650 * 24 * time.Hour
)

// Option changes a Manager while it is made. A value out of its range is not
// dropped: Start and every verb then return an error that matches
// ErrInvalidOption and names the option.
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

// WithStaleThreshold sets the silence after which a service that says nothing
// of its own is stale; 60 seconds unless set.
func WithStaleThreshold(d time.Duration) Option {
	return func(o *options) { o.staleThreshold = d }
}

// WithCheckInterval sets the rhythm of housekeeping, such as forgetting services
// whose ForgetAfter has passed; 30 seconds unless set. Silence is noticed within
// milliseconds of its deadline whatever the interval.
func WithCheckInterval(d time.Duration) Option {
	return func(o *options) { o.checkInterval = d }
}

// WithNotifier adds a notifier. A Manager with one must be started before its
// verbs are used.
func WithNotifier(n Notifier) Option {
	return func(o *options) { o.notifiers = append(o.notifiers, n) }
}

// WithGroupWait sets how long the first notice waits for others to be told with
// it: 0, which is not at all, to 5 minutes; 5 seconds unless set. While many come, it
// is six times as long.
func WithGroupWait(d time.Duration) Option {
	return func(o *options) { o.groupWait = d }
}

// WithFlapLimit sets how many transitions of a service within 30 minutes are each
// told: 0, which is all, to 9; 5 unless set. With one more the service flaps,
// which is said once, and after that every 15 minutes what has become of it.
func WithFlapLimit(n int) Option {
	return func(o *options) { o.flapLimit = n }
}

// WithRemindEvery has notifiers be told again that a service is still bad, that
// long after they last were told of it. Without it they are not.
func WithRemindEvery(d time.Duration) Option {
	return func(o *options) { o.remindEvery = d }
}

// WithSelfCheck adds something that LaneSwap looks at when many services fall
// silent at once: check returns one line for people, such as "the gateway
// answers", within 5 seconds. It is called by one goroutine at a time.
func WithSelfCheck(check func(ctx context.Context) string) Option {
	return func(o *options) { o.selfChecks = append(o.selfChecks, check) }
}

// WithStorage has the Manager keep what it must not forget in s, and take it up
// again at Start. A Manager with one must be started before its verbs are used.
// It does not close s: who opened it does, after Stop.
func WithStorage(s Storage) Option {
	return func(o *options) { o.storage, o.stored = s, true }
}

// WithRetention sets how long events, spans, absences and reported errors are
// stored: 24 hours to 10 years, 400 days unless set.
func WithRetention(d time.Duration) Option {
	return func(o *options) { o.retention = d }
}

// WithRemark has Start make an event of kind EventStorageDamaged with this text:
// what somebody who opened the storage found and people must hear of.
func WithRemark(text string) Option {
	return func(o *options) { o.remarks = append(o.remarks, text) }
}

// WithInterceptor adds custom processing of heartbeats. Several run in the
// order in which they were given.
func WithInterceptor(i Interceptor) Option {
	return func(o *options) { o.interceptors = append(o.interceptors, i) }
}

// WithLogger sets where the Manager logs what it can return to nobody: failing
// notifiers, a storage that fails, and its own absences. Without it nothing is
// logged.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}

// WithLimits sets the limits; fields that are zero keep their defaults.
func WithLimits(l Limits) Option {
	return func(o *options) { o.limits = l }
}

// WithEventBuffer sets how many events are kept in memory for Events and Watch,
// 1 to 1,000,000; 16,384 unless set. The oldest go first.
func WithEventBuffer(n int) Option {
	return func(o *options) { o.events = n }
}

// check returns a *ValidationError for the first option out of its range, and
// fills in defaults.
func (o *options) check() error {
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
