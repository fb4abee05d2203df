package notifiertest

import (
	"fmt"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// Notifications returns realistic messages of every kind, as sent at now: a service that
// fell silent (the first message), one that reports an error, one that got worse, one
// that got better, a recovery, a service that was bad for a moment and has recovered, a
// removal, a service that LaneSwap could not receive, trouble with LaneSwap's storage, a
// digest, a mass silence, flapping, a reminder, and a test. Two calls with the same now
// return equal values that share nothing.
func Notifications(now time.Time) []laneswap.Notification {
	now = now.UTC().Truncate(time.Millisecond)
	stale := down(now, "billing@web-1", "billing")
	failed := reported(now, "import", "nightly import", laneswap.EventDown, laneswap.StatusHealthy, laneswap.StatusError,
		`could not open "orders_2026.csv": permission denied (tried 3 times) <see https://wiki.example.org/import>`)
	worse := reported(now, "search", "search", laneswap.EventWorse, laneswap.StatusWarning, laneswap.StatusCritical, "index is read-only: disk 99.8 % full")
	better := reported(now, "search", "search", laneswap.EventBetter, laneswap.StatusCritical, laneswap.StatusDegraded, "shards: 4 of 5")
	recovered := ended(stale, now.Add(7*time.Minute), laneswap.EventRecovered)
	brief := down(now.Add(-40*time.Second), "mailer", "mailer")
	removed := ended(failed, now.Add(time.Hour), laneswap.EventRemoved)
	unheard := laneswap.Event{
		ID: "backup/0/9", Sequence: 120, Kind: laneswap.EventUnheard, Service: "backup", Name: "backup", From: laneswap.StatusHealthy,
		To: laneswap.StatusUnknown, At: now, Cause: "LaneSwap could not hear for 6h12m0s",
	}
	away := laneswap.Event{
		ID: "storage/3", Sequence: 121, Kind: laneswap.EventStorageAway, Name: "LaneSwap", At: now,
		Message: "the storage does not take what it is given: storage failed; watching goes on",
	}
	flaps := reported(now, "vpn", "vpn", laneswap.EventDown, laneswap.StatusHealthy, laneswap.StatusWarning, "peer changed")

	items := []laneswap.Item{
		{Event: stale, Text: "billing (billing@web-1) is stale, was healthy, silent since " + clock(stale.SilentSince)},
		{Event: failed, Text: "nightly import (import) is error, was healthy: " + failed.Message},
		{Event: recovered, Text: "billing (billing@web-1) recovered and is healthy after 7m0s, since " + clock(recovered.StartedAt) + " (it was: " + recovered.Cause + ")"},
	}
	for i := range 9 {
		ev := down(now.Add(time.Duration(i)*100*time.Millisecond), laneswap.ServiceID(fmt.Sprintf("worker-%d@batch", i)), fmt.Sprintf("worker %d", i))
		items = append(items, laneswap.Item{Event: ev, Text: fmt.Sprintf("%s (%s) is stale, was healthy, silent since %s", ev.Name, ev.Service, clock(ev.SilentSince))})
	}
	var silent []laneswap.Item
	for i := range 60 {
		ev := down(now.Add(time.Duration(i)*300*time.Millisecond), laneswap.ServiceID(fmt.Sprintf("edge-%02d", i)), fmt.Sprintf("edge-%02d", i))
		silent = append(silent, laneswap.Item{Event: ev, Text: ev.Name + " is stale, was healthy, silent since " + clock(ev.SilentSince)})
	}
	mass := several("mass-1", laneswap.NoticeMassSilence, silent)
	mass.Title = "60 services fell silent at once: the cause may be LaneSwap or its network"
	mass.Text = lines(mass.Title, silent)
	mass.Finding = "the default gateway does not answer; beats of 3 services on this host still arrive"

	test := laneswap.Event{
		ID: "test/17f3a", Name: "LaneSwap", At: now,
		Message: "This is a test message from LaneSwap. Nothing has happened. Alerts arrive here.",
	}
	notes := []laneswap.Notification{
		single("n-1", laneswap.NoticeEvent, items[0]),
		single("n-2", laneswap.NoticeEvent, items[1]),
		single("n-3", laneswap.NoticeEvent, laneswap.Item{Event: worse, Text: "search is critical, was warning: " + worse.Message}),
		single("n-4", laneswap.NoticeEvent, laneswap.Item{Event: better, Text: "search is degraded, was critical: " + better.Message}),
		single("n-5", laneswap.NoticeEvent, items[2]),
		single("n-6", laneswap.NoticeEvent, laneswap.Item{
			Event: ended(brief, now, laneswap.EventRecovered), Earlier: []laneswap.Event{brief},
			Text: "mailer was stale for 40s, since " + clock(brief.StartedAt) + ", and is healthy again (it was: " + brief.Cause + ")",
		}),
		single("n-7", laneswap.NoticeEvent, laneswap.Item{Event: removed, Text: "nightly import (import) was removed while error, bad for 1h0m0s"}),
		single("n-8", laneswap.NoticeEvent, laneswap.Item{Event: unheard, Text: "backup is unknown, was healthy (" + unheard.Cause + ")"}),
		single("n-9", laneswap.NoticeEvent, laneswap.Item{Event: away, Text: "LaneSwap: " + away.Message}),
		several("n-10", laneswap.NoticeDigest, items),
		mass,
		single("n-12", laneswap.NoticeFlapping, laneswap.Item{Event: flaps, Flapping: 9, Text: "vpn is flapping, 9 changes in 30 minutes, and is warning now: " + flaps.Message}),
		single("n-13", laneswap.NoticeReminder, laneswap.Item{
			Event: failed, Reminder: 4 * time.Hour,
			Text: "nightly import (import) is still error, bad for 4h0m0s, since " + clock(failed.StartedAt) + ": " + failed.Message,
		}),
		single(test.ID, laneswap.NoticeTest, laneswap.Item{Event: test, Text: test.Message}),
	}
	// A title has the words of the text, without details.
	for i, title := range map[int]string{
		0: "billing is stale", 1: "nightly import is error", 2: "search is critical", 3: "search is degraded", 4: "billing recovered",
		5: "mailer recovered", 6: "nightly import was removed", 7: "backup is unknown", 8: "LaneSwap: storage away",
		11: "vpn is flapping", 12: "nightly import is still error", 13: "LaneSwap: test message",
	} {
		notes[i].Title = title
	}
	notes[12].Attempt = 3
	return notes
}

// single returns a message with one item.
func single(id string, kind laneswap.NoticeKind, item laneswap.Item) laneswap.Notification {
	return laneswap.Notification{
		ID: id, Kind: kind, Event: item.Event, Items: []laneswap.Item{item}, Title: item.Event.Name + " is " + string(item.Event.To), Text: item.Text, Attempt: 1,
	}
}

// several returns a message with several items.
func several(id string, kind laneswap.NoticeKind, items []laneswap.Item) laneswap.Notification {
	var order []laneswap.Status
	counts := map[laneswap.Status]int{}
	for _, item := range items {
		if counts[item.Event.To]++; counts[item.Event.To] == 1 {
			order = append(order, item.Event.To)
		}
	}
	parts := make([]string, len(order))
	for i, status := range order {
		parts[i] = fmt.Sprintf("%d %s", counts[status], status)
	}
	n := laneswap.Notification{ID: id, Kind: kind, Event: items[0].Event, Items: items, Attempt: 1}
	n.Title = fmt.Sprintf("%d services: %s", len(items), strings.Join(parts, ", "))
	n.Text = lines(n.Title, items)
	return n
}

// lines returns a title and a line for each item, up to 50.
func lines(title string, items []laneswap.Item) string {
	var b strings.Builder
	b.WriteString(title)
	for i, item := range items {
		if i == 50 {
			fmt.Fprintf(&b, "\nand %d more", len(items)-i)
			break
		}
		b.WriteString("\n" + item.Text)
	}
	return b.String()
}

// down returns the event of a service that fell silent.
func down(at time.Time, id laneswap.ServiceID, name string) laneswap.Event {
	return laneswap.Event{
		ID: string(id) + "/1/1", Sequence: 100, Kind: laneswap.EventDown, Service: id, Name: name, Tags: []string{"prod", "eu-west"},
		From: laneswap.StatusHealthy, To: laneswap.StatusStale, Message: "", At: at, Incident: string(id) + "/1", StartedAt: at,
		SilentSince: at.Add(-time.Minute), Cause: "silent for longer than 1m0s",
	}
}

// reported returns a transition by a heartbeat.
func reported(at time.Time, id laneswap.ServiceID, name string, kind laneswap.EventKind, from, to laneswap.Status, message string) laneswap.Event {
	return laneswap.Event{
		ID: string(id) + "/4/1", Sequence: 110, Kind: kind, Service: id, Name: name, From: from, To: to, Message: message,
		At: at, Incident: string(id) + "/4", StartedAt: at, Cause: "reported " + string(to) + ": " + message,
	}
}

// ended returns the end of the incident that began with ev.
func ended(ev laneswap.Event, at time.Time, kind laneswap.EventKind) laneswap.Event {
	end := ev
	end.ID, end.Sequence, end.Kind, end.At = ev.Incident+"/2", ev.Sequence+1, kind, at
	end.From, end.To, end.Duration, end.Message, end.SilentSince = ev.To, laneswap.StatusHealthy, at.Sub(ev.StartedAt), "", time.Time{}
	if kind == laneswap.EventRemoved {
		end.To = laneswap.StatusUnknown
	}
	return end
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
