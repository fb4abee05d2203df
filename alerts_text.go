package laneswap

import (
	"fmt"
	"strings"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/outbox"
	"github.com/laneswap/laneswap/internal/text"
)

// maxTextItems is how many lines the text of a digest has.
const maxTextItems = 50

// notificationOf composes the notification of a message. It needs no lock.
func notificationOf(msg *outbox.Message, now clock.Instant) Notification {
	if msg.Kind == outbox.KindTest {
		return testNotification(now)
	}
	items := make([]Item, len(msg.Parts))
	for i, p := range msg.Parts {
		items[i] = itemOf(p, now)
	}
	n := compose(NoticeKind(msg.Kind), items)
	n.ID, n.Attempt = msg.ID, msg.Attempt
	return n
}

func itemOf(p outbox.Part, now clock.Instant) Item {
	last := len(p.Events) - 1
	it := Item{Event: *p.Events[last].Of.(*Event), Flapping: p.Flapping}
	if p.Reminder {
		it.Reminder = max(time.Duration(now.Wall-it.Event.StartedAt.UnixNano()), time.Millisecond)
	}
	for _, ev := range p.Events[:last] {
		it.Earlier = append(it.Earlier, *ev.Of.(*Event))
	}
	return it
}

// compose fills the texts of items and of their notification.
func compose(kind NoticeKind, items []Item) Notification {
	for i := range items {
		items[i].Text = items[i].describe()
	}
	n := Notification{Kind: kind, Items: items, Event: items[0].Event}
	if len(items) == 1 && kind != NoticeMassSilence {
		n.Title, n.Text = items[0].title(), items[0].Text
		return n
	}
	n.Title = digestTitle(items)
	if kind == NoticeMassSilence {
		n.Title = plural(len(items), "service") + " fell silent at once: the cause may be LaneSwap or its network"
		if len(items) == 1 {
			n.Title = items[0].title() + ", like many others within a minute: the cause may be LaneSwap or its network"
		}
	}
	var b strings.Builder
	b.WriteString(n.Title)
	for i, item := range items {
		if i == maxTextItems {
			fmt.Fprintf(&b, "\nand %d more", len(items)-i)
			break
		}
		b.WriteString("\n" + item.Text)
	}
	n.Text = b.String()
	return n
}

// addFinding adds the result of the self-check.
func (n *Notification) addFinding(finding string) {
	n.Finding = finding
	title, rest, _ := strings.Cut(n.Text, "\n")
	n.Text = title + "\n" + finding + "\n" + rest
}

// testNotification returns a test message.
func testNotification(now clock.Instant) Notification {
	n := Notification{
		ID: fmt.Sprintf("test/%x", now.Wall), Kind: NoticeTest, Attempt: 1, Title: "LaneSwap: test message",
		Text: "This is a test message from LaneSwap. Nothing has happened. Alerts arrive here.",
	}
	n.Event = Event{ID: n.ID, Name: "LaneSwap", Message: n.Text, At: clock.WallTime(now.Wall / int64(time.Millisecond))}
	n.Items = []Item{{Event: n.Event, Text: n.Text}}
	return n
}

// title describes an item in a few words.
func (i *Item) title() string {
	ev := &i.Event
	switch {
	case ev.Service == "":
		return ev.Name + ": " + strings.ReplaceAll(string(ev.Kind), "_", " ")
	case ev.Kind == EventRemoved:
		return ev.Name + " was removed"
	case i.Flapping > 0:
		return ev.Name + " is flapping"
	case i.Reminder > 0:
		return ev.Name + " is still " + string(ev.To)
	}
	if ev.Kind == EventRecovered {
		return ev.Name + " recovered"
	}
	return ev.Name + " is " + string(ev.To)
}

// digestTitle counts the services by what happened to them.
func digestTitle(items []Item) string {
	var order, parts []string
	counts, own := map[string]int{}, 0
	for _, item := range items {
		word := string(item.Event.To)
		switch {
		case item.Event.Service == "":
			own++
			continue
		case item.Event.Kind == EventRecovered:
			word = "recovered"
		case item.Event.Kind == EventRemoved:
			word = "removed"
		}
		if counts[word] == 0 {
			order = append(order, word)
		}
		counts[word]++
	}
	for _, word := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
	}
	title := plural(len(items)-own, "service") + ": " + strings.Join(parts, ", ")
	if own > 0 {
		title += ", and LaneSwap itself"
	}
	return title
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// describe describes an item in one line.
func (i *Item) describe() string {
	ev := &i.Event
	if ev.Service == "" {
		return ev.Name + ": " + i.own()
	}
	var b strings.Builder
	b.WriteString(ev.Name)
	if id := text.Trim(string(ev.Service)); id != "" && id != ev.Name {
		fmt.Fprintf(&b, " (%s)", id)
	}
	switch {
	case ev.Kind == EventRemoved:
		fmt.Fprintf(&b, " was removed while %s, bad for %s", ev.From, roundly(ev.Duration))
	case i.Flapping > 0:
		fmt.Fprintf(&b, " is flapping, %s, and is %s now", outbox.ChangesIn(i.Flapping), ev.To)
	case i.Reminder > 0:
		fmt.Fprintf(&b, " is still %s, bad for %s, since %s", ev.To, roundly(i.Reminder), stamp(ev.StartedAt))
	case ev.Kind == EventRecovered && len(i.Earlier) > 0:
		fmt.Fprintf(&b, " was %s for %s, since %s, and is %s %s", i.worst(), roundly(ev.Duration), stamp(ev.StartedAt), ev.To, i.again())
	case ev.Kind == EventRecovered:
		fmt.Fprintf(&b, " recovered and is %s after %s, since %s", ev.To, roundly(ev.Duration), stamp(ev.StartedAt))
	case ev.Kind == EventUnheard:
		fmt.Fprintf(&b, " is unknown, was %s (%s)", ev.From, text.Line(ev.Cause))
	default:
		from := ev.From
		if len(i.Earlier) > 0 {
			from = i.Earlier[0].From
		}
		for _, before := range i.Earlier {
			if before.Kind == EventRecovered {
				from = before.To
			}
		}
		fmt.Fprintf(&b, " is %s, was %s", ev.To, from)
	}
	if silent := ev.To == StatusStale || ev.Kind == EventUnheard; silent && !ev.SilentSince.IsZero() {
		until := ev.At
		if i.Reminder > 0 {
			until = ev.StartedAt.Add(i.Reminder)
		}
		fmt.Fprintf(&b, ", silent since %s for %s", stamp(ev.SilentSince), roundly(until.Sub(ev.SilentSince)))
	}
	if ev.Message != "" {
		fmt.Fprintf(&b, ": %s", text.Line(ev.Message))
	}
	if ev.Kind == EventRecovered && ev.Cause != "" {
		fmt.Fprintf(&b, " (it was: %s)", text.Line(ev.Cause))
	}
	if n := i.before(); n > 0 {
		over := "also over"
		if ev.bad() {
			over = "already over"
		}
		fmt.Fprintf(&b, "; %s, %s", plural(n, "earlier incident"), over)
	}
	if end := i.end(); end != nil {
		fmt.Fprintf(&b, "; the incident since %s ended after %s", stamp(end.StartedAt), roundly(end.Duration))
	}
	if i.Flapping > 0 && ev.Kind != EventRemoved {
		b.WriteString("; further changes are summarized every 15 minutes")
	}
	return b.String()
}

// before returns how many other incidents began in the earlier events of the item.
func (i *Item) before() (n int) {
	for _, ev := range i.Earlier {
		if ev.Kind == EventDown && ev.Incident != i.Event.Incident {
			n++
		}
	}
	return n
}

// again returns "again" if the service had its current status before, else "now".
func (i *Item) again() string {
	for _, ev := range i.Earlier {
		if ev.From == i.Event.To || ev.To == i.Event.To {
			return "again"
		}
	}
	return "now"
}

// end returns the earlier event that ended an incident whose beginning was sent in an
// earlier message; nil if there is none.
func (i *Item) end() *Event {
	for k := range i.Earlier {
		switch ev := &i.Earlier[k]; {
		case ev.Kind == EventDown:
			return nil
		case ev.ends():
			return ev
		}
	}
	return nil
}

// own joins the messages of events of LaneSwap itself.
func (i *Item) own() string {
	var parts []string
	for _, ev := range i.Earlier {
		parts = append(parts, text.Line(ev.Message))
	}
	return strings.Join(append(parts, text.Line(i.Event.Message)), "; ")
}

// worst returns the most urgent status in the incident of the event.
func (i *Item) worst() Status {
	worst := i.Event.From
	for _, ev := range i.Earlier {
		if ev.Incident != i.Event.Incident {
			continue
		}
		for _, s := range []Status{ev.From, ev.To} {
			if s.Compare(worst) < 0 {
				worst = s
			}
		}
	}
	return worst
}

func roundly(d time.Duration) time.Duration { return d.Round(time.Second / 10) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
