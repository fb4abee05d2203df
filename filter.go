package laneswap

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Filter says which events a notifier is to be told of; see Only. It is made by
// Levels, MinLevel, OnStatuses, Services, Tagged, Not or Where. The zero value is refused.
type Filter struct {
	text  string // what it selects, for people
	match func(ev Event) bool
	err   error // why it cannot be used
}

// Only gives n only the events that all filters select. What recovers, gets better
// or is removed is told all the same when n was owed a notice of the same
// incident: nobody is left with an alarm. A filter that cannot be used, such as a
// malformed pattern, is reported by Start or AddNotifier.
func Only(n Notifier, filters ...Filter) Notifier { return &only{n, filters, false} }

// Immediately gives n the events of each service as soon as they happen: they are
// not gathered with those of other services, and a service that flaps is told in
// full. It is for logs and for programs; people would drown.
func Immediately(n Notifier) Notifier { return &only{n, nil, true} }

// only is a notifier behind filters. The Manager asks the filters itself.
type only struct {
	Notifier
	filters []Filter
	single  bool // nothing is gathered
}

// Name is that of the notifier behind the filters.
func (o *only) Name() string { return notifierName(o.Notifier) }

// route is the filters of a notifier, from the outside in, and whether it is told
// of each service by itself.
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

// checkNotifier returns why n cannot be used, if so.
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

// passes reports whether ev passes the filters, and if not, which it is that it
// does not pass. A filter that panics selects.
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
			ok = true // rather told too much
		}
	}()
	return f.match(*ev)
}

// Where selects the events for which match returns true. It is called while a
// service's lock is held: it must be quick and must not call the Manager. The text
// says what it selects and is shown by Explain.
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

// MinLevel selects events of that level and louder ones.
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
			f.err = invalid(ErrInvalidOption, "status", "%q is not a status", cutBytes(string(s), 40))
		}
	}
	return f
}

// Services selects events of the services whose id or name matches one of the
// patterns, as path.Match has them: "billing", "web-*", "*@db-[12]". Letters must
// match in their case.
func Services(patterns ...string) Filter {
	f := Where("service "+strings.Join(patterns, ", "), func(ev Event) bool {
		for _, p := range patterns {
			// A name may hold slashes, which a star is to match as well.
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
			f.err = invalid(ErrInvalidOption, "service", "%q is not a pattern", cutBytes(p, 100))
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

// Not selects what the filter does not.
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

// String returns what the filter selects, for people.
func (f Filter) String() string { return f.text }

// Notify gives the notification to the notifier behind the filters.
func (o *only) Notify(ctx context.Context, n Notification) error {
	if err := o.Notifier.Notify(ctx, n); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}
