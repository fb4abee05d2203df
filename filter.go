package laneswap

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// Filter selects the events that a notifier gets; see Only. Levels, MinLevel,
// OnStatuses, Services, Tagged, Not and Where make one. The zero value is an error.
type Filter struct {
	text  string // what it selects
	match func(ev Event) bool
	err   error // why it cannot be used
}

// Only limits n to the events that all filters select. If n was alerted about an
// incident, it also gets the events that end it or make it better, whatever the filters
// say. Start and AddNotifier return an error for a filter that cannot be used, such as
// a malformed pattern.
func Only(n Notifier, filters ...Filter) Notifier { return &only{n, filters, false} }

// Immediately sends n the events of each service as soon as they happen: they are not
// grouped with those of other services, and the changes of a flapping service are not
// summarized. It is for logs and programs, not for chats.
func Immediately(n Notifier) Notifier { return &only{n, nil, true} }

// only is a notifier with filters. The Manager applies the filters itself.
type only struct {
	Notifier
	filters []Filter
	single  bool // nothing is grouped
}

// Name returns the name of the notifier without the filters.
func (o *only) Name() string { return notifierName(o.Notifier) }

// route returns the filters of a notifier, the outermost first, and whether its events
// are sent at once.
func route(n Notifier) (filters []Filter, single bool) {
	for {
		o, ok := n.(*only)
		if !ok {
			return filters, single
		}
		filters = append(filters, o.filters...)
		single = single || o.single
		n = o.Notifier
	}
}

// checkNotifier returns an error if n cannot be used.
func checkNotifier(n Notifier) error {
	if n == nil {
		return invalid(ErrInvalidOption, "notifier", "is nil")
	}
	for o, ok := n.(*only); ok; o, ok = n.(*only) {
		if n = o.Notifier; n == nil {
			return invalid(ErrInvalidOption, "notifier", "is nil")
		}
		for _, f := range o.filters {
			switch {
			case f.err != nil:
				return f.err
			case f.match == nil:
				return invalid(ErrInvalidOption, "filter", "is the zero Filter")
			}
		}
	}
	return nil
}

// passes reports whether all filters select ev, and if not, returns the text of the
// first that does not. A filter that panics selects.
func passes(filters []Filter, ev *Event) (ok bool, not string) {
	for _, f := range filters {
		if !f.selects(ev) {
			return false, f.text
		}
	}
	return true, ""
}

func (f Filter) selects(ev *Event) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = true // an alert too many is better than one too few
		}
	}()
	return f.match(*ev)
}

// Where selects the events for which match returns true. The Manager calls match while
// it holds the lock of a service: match must be quick and must not call the Manager.
// The text describes the filter in Explain.
func Where(text string, match func(ev Event) bool) Filter {
	f := Filter{text: text, match: match}
	if match == nil {
		f.err = invalid(ErrInvalidOption, "filter", "has no function")
	}
	return f
}

// Levels selects events of the given levels.
func Levels(levels ...Level) Filter {
	f := Where("level "+join(levels), func(ev Event) bool { return slices.Contains(levels, ev.Level()) })
	for _, l := range levels {
		if _, err := ParseLevel(string(l)); err != nil {
			f.err = err
		}
	}
	return f
}

// MinLevel selects events of that level and above.
func MinLevel(level Level) Filter {
	f := Where("level "+string(level)+" or louder", func(ev Event) bool { return ev.Level().rank() >= level.rank() })
	if _, err := ParseLevel(string(level)); err != nil {
		f.err = err
	}
	return f
}

// OnStatuses selects events that lead to one of the statuses.
func OnStatuses(statuses ...Status) Filter {
	f := Where("status "+join(statuses), func(ev Event) bool { return slices.Contains(statuses, ev.To) })
	for _, s := range statuses {
		if !s.Valid() {
			f.err = invalid(ErrInvalidOption, "status", "%q is not a status", text.Cut(string(s), 40))
		}
	}
	return f
}

// Services selects events of the services whose id or name matches one of the
// patterns of path.Match, such as "billing", "web-*" or "*@db-[12]". Patterns are
// case-sensitive.
func Services(patterns ...string) Filter {
	f := Where("service "+strings.Join(patterns, ", "), func(ev Event) bool {
		for _, p := range patterns {
			// A star has to match the slashes of a name as well.
			for _, s := range []string{string(ev.Service), ev.Name} {
				if ok, _ := path.Match(strings.ReplaceAll(p, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00")); ok && ev.Service != "" {
					return true
				}
			}
		}
		return false
	})
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			f.err = invalid(ErrInvalidOption, "service", "%q is not a pattern", text.Cut(p, 100))
		}
	}
	return f
}

// Tagged selects events of the services that have one of the tags.
func Tagged(tags ...string) Filter {
	return Where("tag "+strings.Join(tags, ", "), func(ev Event) bool {
		return slices.ContainsFunc(ev.Tags, func(t string) bool { return slices.Contains(tags, t) })
	})
}

// Not selects the events that f does not select.
func Not(f Filter) Filter {
	if f.match == nil {
		return f
	}
	return Filter{text: "not " + f.text, match: func(ev Event) bool { return !f.match(ev) }, err: f.err}
}

func join[T ~string](list []T) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = string(s)
	}
	return strings.Join(parts, ", ")
}

// String describes what the filter selects.
func (f Filter) String() string { return f.text }

// Notify calls the notifier, without the filters.
func (o *only) Notify(ctx context.Context, n Notification) error {
	if err := o.Notifier.Notify(ctx, n); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}
