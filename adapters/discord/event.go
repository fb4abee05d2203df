package discord

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// Limits of single texts, chosen so that all of them together fit. "Own" events are
// about LaneSwap itself.
const (
	nameLimit    = 200
	causeLimit   = 512
	tagsLimit    = 512
	ownLimit     = 350 // characters of an own event
	ownAlone     = 11  // own events in an embed
	ownInDigest  = 6   // own events before the services of a digest
	ownPlain     = 3   // own events in plain text
	maxCourse    = 5   // statuses in a course
	maxEarlier   = 10  // earlier events, in a line each
	earlierLimit = 90  // characters of such a line
)

// itemEmbed returns the embed of a notification about one service, or about LaneSwap.
func itemEmbed(note laneswap.Notification, item laneswap.Item) embed {
	ev := item.Event
	e := embed{Title: title(note, ev), Color: colour(item), Footer: &footer{footerText(note, item)}, Timestamp: stamp(ev.At)}
	add := func(name, value string, inline bool) {
		if value != "" && len(e.Fields) < maxFields {
			e.Fields = append(e.Fields, field{name, value, inline})
		}
	}
	if ev.Service == "" {
		e.Description = ownText([]laneswap.Item{item}, ownAlone)
		if ev.Duration > 0 {
			add("Lasted", span(ev.Duration), true)
		}
		return e
	}
	over := ev.Kind == laneswap.EventRecovered || ev.Kind == laneswap.EventRemoved
	add("Service", serviceName(ev), true)
	add("Status", course(item), true)
	if item.Flapping > 0 {
		add("Changes", changes(item.Flapping)+" in 30 minutes; a summary follows every 15 minutes", true)
	}
	switch {
	case over && ev.Duration > 0:
		add("Down for", span(ev.Duration), true)
	case item.Reminder > 0:
		add("Down for", span(item.Reminder), true)
	case !over && !ev.StartedAt.IsZero() && ev.At.After(ev.StartedAt):
		add("Down for", span(ev.At.Sub(ev.StartedAt)), true)
	}
	add("Since", moment(ev.StartedAt), true)
	silent := silence(ev)
	if silent != "" && !over {
		silent += " (" + ago(ev.SilentSince) + ")"
	}
	add("Silent since", silent, true)
	if ev.Kind != laneswap.EventDown { // then the title and the message say it
		add("Cause", paragraph(ev.Cause, causeLimit), false)
	}
	add("Message", paragraph(ev.Message, maxValue), false)
	add("Before", earlier(item.Earlier), false)
	add("Tags", tags(ev.Tags), false)
	return e
}

// ownText returns the messages of at most limit events about LaneSwap itself, oldest
// first, and counts the rest. It prefers the last event, then those that report a loss
// of data, then the latest.
func ownText(items []laneswap.Item, limit int) string {
	var events []laneswap.Event
	for _, item := range items {
		events = append(append(events, item.Earlier...), item.Event)
	}
	events = slices.DeleteFunc(events, func(ev laneswap.Event) bool { return paragraph(ev.Message, ownLimit) == "" })
	slices.SortStableFunc(events, func(a, b laneswap.Event) int { return a.At.Compare(b.At) })
	shown := map[int]bool{len(events) - 1: true}
	for _, lost := range []bool{true, false} {
		for i := len(events) - 2; i >= 0 && len(shown) < limit; i-- {
			if kind := events[i].Kind; lost == (kind == laneswap.EventStorageLost || kind == laneswap.EventStorageDamaged) {
				shown[i] = true
			}
		}
	}
	var parts []string
	more := 0
	for i := range events {
		if !shown[i] {
			more++
			continue
		}
		if more > 0 {
			parts = append(parts, fmt.Sprintf("%d more, then", more))
			more = 0
		}
		parts = append(parts, paragraph(events[i].Message, ownLimit))
	}
	return strings.Join(parts, "\n")
}

// testEmbed returns the embed of a test message.
func testEmbed(note laneswap.Notification) embed {
	return embed{
		Title: title(note, note.Event), Description: paragraph(note.Text, maxValue), Color: blue,
		Footer: &footer{footerText(note, laneswap.Item{Event: note.Event})}, Timestamp: stamp(note.Event.At),
	}
}

// title returns the first line; never "".
func title(note laneswap.Notification, ev laneswap.Event) string {
	for _, text := range []string{note.Title, ev.Name, string(ev.Service)} {
		if text = escaped(text, maxTitle); text != "" {
			return text
		}
	}
	return "LaneSwap"
}

// footerText returns the ids of the incidents: they identify duplicates.
func footerText(note laneswap.Notification, item laneswap.Item) string {
	ids, many := incidents(item, maxFooter/8, words)
	what := "incident "
	if many {
		what = "incidents "
	}
	for _, id := range []struct{ what, text string }{{what, ids}, {"event ", words(item.Event.ID, maxFooter/8)}, {"", words(note.ID, maxFooter/8)}} {
		if id.text != "" {
			return "LaneSwap · " + id.what + id.text
		}
	}
	return "LaneSwap"
}

// incidents lists the ids of the incidents of an item, oldest first, and reports
// whether there are several: an incident may end, and the next one begin, before the
// message is sent. write cuts each id to limit units. Together they have at most twice
// as many; the oldest are counted only.
func incidents(item laneswap.Item, limit int, write func(string, int) string) (ids string, many bool) {
	var all []string
	add := func(id string) {
		if id != "" && (len(all) == 0 || all[len(all)-1] != id) {
			all = append(all, id)
		}
	}
	for i := range item.Earlier {
		add(item.Earlier[i].Incident)
	}
	add(item.Event.Incident)
	for i := len(all) - 1; i >= 0; i-- {
		id := write(all[i], limit)
		switch rest := fmt.Sprintf("%d more, ", i+1); {
		case id == "":
		case ids == "":
			ids = id
		case width(rest)+width(id)+2+width(ids) > 2*limit:
			return rest + ids, true
		default:
			ids, many = id+", "+ids, true
		}
	}
	return ids, many
}

// serviceName returns the name, with the id if that differs.
func serviceName(ev laneswap.Event) string {
	name, id := escaped(ev.Name, nameLimit), escaped(string(ev.Service), nameLimit)
	switch {
	case name == "" || string(ev.Service) == ev.Name:
		return id
	case id == "":
		return name
	}
	return name + " (" + id + ")"
}

// changes returns a number of changes; LaneSwap counts up to 10.
func changes(n int) string {
	if n < 10 {
		return strconv.Itoa(n)
	}
	return strconv.Itoa(n) + " or more"
}

// course returns how the status changed: "healthy → stale → healthy".
func course(item laneswap.Item) string {
	ev := item.Event
	if item.Reminder > 0 {
		return "still " + status(ev.To)
	}
	steps := []string{status(ev.From)}
	for i, before := range item.Earlier {
		if i == 0 {
			steps[0] = status(before.From)
		}
		steps = append(steps, status(before.To))
	}
	if ev.Kind == laneswap.EventRemoved {
		steps = append(steps, "removed")
	} else {
		steps = append(steps, status(ev.To))
	}
	if len(steps) > maxCourse {
		steps = append(append(steps[:2:2], "…"), steps[len(steps)-2:]...)
	}
	return strings.Join(steps, " → ")
}

// status returns the name of a status, "unknown" if it is not valid.
func status(s laneswap.Status) string {
	if !s.Valid() {
		return string(laneswap.StatusUnknown)
	}
	return string(s)
}

// silence returns since when a stale service is silent, or a recovered one was; "" for
// others.
func silence(ev laneswap.Event) string {
	switch {
	case ev.Kind == laneswap.EventRecovered, ev.To == laneswap.StatusStale && ev.Kind != laneswap.EventRemoved:
		return moment(ev.SilentSince)
	}
	return ""
}

// earlier lists events that were not sent when they happened, oldest first.
func earlier(events []laneswap.Event) string {
	var lines []string
	if more := len(events) - maxEarlier; more > 0 {
		lines, events = append(lines, fmt.Sprintf("%d changes, then", more)), events[more:]
	}
	for _, ev := range events {
		line := status(ev.From) + " → " + status(ev.To)
		if at := moment(ev.At); at != "" {
			line = at + " " + line
		}
		if left := earlierLimit - width(line) - 2; left > 10 {
			if message := escaped(ev.Message, left); message != "" {
				line += ": " + message
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func tags(all []string) string {
	return escaped(strings.Join(all, ", "), tagsLimit)
}

// colour returns the colour of the current status, orange for a flapping service.
func colour(item laneswap.Item) int {
	if item.Flapping > 0 {
		return orange
	}
	switch item.Event.Level() {
	case laneswap.LevelError:
		return red
	case laneswap.LevelWarning:
		return orange
	case laneswap.LevelSuccess:
		return green
	}
	return grey
}

// stamp returns a time in the format of embeds; "" for none.
func stamp(t time.Time) string {
	if moment(t) == "" {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
